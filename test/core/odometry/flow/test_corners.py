"""Corners are found in noise and blur; those that move by themselves are not followed."""

import cv2
import numpy as np
import pytest
from helpers.local_maps import LocalParts
from helpers.tracks import CAMERA, picture

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    invert_pose,
    transform_points,
)
from ace_slam_ros.core.odometry.flow.corners import detect_corners, noise_sigma, spread


def test_corners_that_move_are_known_by_where_they_go():
    """A third of the picture slides by two pixels a frame; its depth is that of the wall."""
    picture_HW = picture(np.random.default_rng(24))
    depth = np.full((480, 640), 2.0, np.float32)
    parts = LocalParts(SlamConfig())
    assert parts.add(Frame(0, picture_HW, depth, CAMERA), np.eye(4))
    for n in range(1, 11):
        gray = picture_HW.copy()
        gray[100:380, 200 + 2 * n:420 + 2 * n] = picture_HW[100:380, 200:420]
        seen = Frame(n, gray, depth, CAMERA)
        assert parts.aligner.align(seen, SubmapPose(np.eye(4))) is not None
    motion = parts.local[0].corner_motion
    assert (motion.followed_n <= 10).all()
    x, y = CAMERA.project(motion.points_cam_n3).T
    inside = (x > 230) & (x < 390) & (y > 120) & (y < 360)
    outside = (x < 180) | (x > 460) | (y < 80) | (y > 400)
    assert (motion.followed_n[outside] == 10).mean() > 0.9
    found = motion.moving_near(motion.points_cam_n3.astype(np.float32))
    assert found[inside].mean() > 0.9 and not found[outside].any()


def test_corners_on_what_moves_are_not_followed():
    rng = np.random.default_rng(23)
    gray = cv2.GaussianBlur(rng.integers(0, 255, (480, 640), np.uint8), (5, 5), 0)
    depth = np.full((480, 640), 3.0, np.float32)
    depth[:, 200:400] = 1.5
    frame, pose = Frame(0, gray, depth, CAMERA), exp_se3(np.array([0.3, 0, 0.1, 0, 0.4, 0]))

    def standing(points):
        return transform_points(invert_pose(pose), points)[:, 2] > 2.0

    nearest = []
    for tells in (None, standing):
        parts = LocalParts(SlamConfig(), tells)
        assert parts.add(frame, pose)
        nearest.append(parts.nearest(pose).measured_m_n.min())
    assert nearest[0] < 2.0 < nearest[1]
    parts = LocalParts(SlamConfig())
    assert parts.add(frame, pose)
    keyframe = parts.nearest(pose)
    keyframe.stands_n &= standing(parts.aligner.points(keyframe))  # known later
    index, *_ = parts.aligner.find(keyframe, parts.aligner.points(keyframe), frame, pose)
    assert len(index) > 150 and (keyframe.measured_m_n[index] > 2.0).all()
    assert not LocalParts(SlamConfig(), lambda p: np.zeros(len(p), bool)).add(frame, pose)


def dots():
    """Dark dots on a bright wall, and where they are."""
    image, places = np.full((480, 640), 150.0, np.float32), []
    for x in range(40, 600, 60):
        for y in range(40, 440, 60):
            cv2.circle(image, (x, y), 5, 60.0, -1)
            places.append((x, y))
    return image, np.array(places)


@pytest.mark.parametrize("sigma", [0.0, 4.0, 8.0])
def test_corners_in_noise_are_those_of_things(sigma):
    image, places = dots()
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    assert noise_sigma(noisy) == pytest.approx(sigma, abs=0.2 + 0.1 * sigma)
    found = detect_corners(noisy, 200)
    gap = np.linalg.norm(found[:, None] - places[None], axis=2)
    assert (gap.min(axis=1) < 9).mean() > 0.9 and (gap.min(axis=0) < 9).mean() > 0.6


def test_a_blurred_image_has_corners_too():
    image, places = dots()
    blurred = cv2.blur(image.astype(np.uint8), (21, 5))
    found = detect_corners(blurred, 300)
    gap = np.linalg.norm(found[:, None] - places[None], axis=2).min(axis=0)
    assert len(found) > 40 and (gap < 16).mean() > 0.5


def test_the_dark_has_corners_too():
    """Fainter ones, of things and not of noise; a wall has none."""
    image, places = dots()
    noise = np.random.default_rng(2).normal(0, 1.0, image.shape)
    dark = 4.0 + (image - image.min()) * (9.0 / np.ptp(image))
    found = detect_corners(np.clip(dark + noise, 0, 255).astype(np.uint8), 300)
    gap = np.linalg.norm(found[:, None] - places[None], axis=2)
    assert (gap.min(axis=1) < 12).mean() > 0.9 and (gap.min(axis=0) < 12).mean() > 0.3
    assert len(detect_corners(np.clip(8.0 + noise, 0, 255).astype(np.uint8), 300)) < 10


def test_texture_is_not_noise():
    rng = np.random.default_rng(1)
    rough = cv2.resize(rng.uniform(0, 255, (60, 80)).astype(np.float32), (640, 480),
                       interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    assert noise_sigma(rough) < 0.5


def test_every_half_of_the_picture_has_its_share_of_corners():
    rng = np.random.default_rng(0)
    strong = rng.uniform((0, 60), (100, 80), (300, 2))  # a plate at the lower edge
    weak = rng.uniform((0, 0), (100, 60), (60, 2))
    found = spread(np.concatenate([strong, weak]).astype(np.float32), 100, 100, 80)
    assert len(found) == 100 and (np.diff(found) > 0).all(), "the best first"
    upper = np.flatnonzero(np.concatenate([strong, weak])[:, 1] < 40)
    assert np.isin(found, upper).sum() == 25 and set(upper[:25]) <= set(found)


def test_corners_that_are_spread_already_are_the_best_ones():
    rng = np.random.default_rng(1)
    pixels = rng.uniform((0, 0), (100, 80), (400, 2)).astype(np.float32)
    assert spread(pixels, 100, 100, 80).tolist() == list(range(100))
    assert spread(pixels[:50], 100, 100, 80).tolist() == list(range(50))
    lone = pixels[pixels[:, 1] > 40]
    assert spread(lone, 60, 100, 80).tolist()[:30] == list(range(30))
    assert len(spread(lone, 60, 100, 80)) == 60
