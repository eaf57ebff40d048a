"""Following surfaces where texture is missing."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers.local_maps import LocalParts
from helpers.tracking import process
from helpers.worlds import world_shots

from ace_slam_ros.core.config.sections import EncoderConfig, SensorConfig, SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error
from ace_slam_ros.core.odometry.residuals import Sightings
from ace_slam_ros.core.odometry.surface_alignment import Surface, _match, align_surface
from ace_slam_ros.core.tracking.result import TrackerState, TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR = SensorConfig()
NOTHING = Sightings(np.empty((0, 3)), np.empty((0, 2)), np.empty(0))
MOTION = exp_se3(np.array([0.03, -0.02, 0.04, 0.02, -0.03, 0.01]))


def planes_seen_from(T_map_cam, normals, offsets, rng=None):
    """Depth (480, 640) of planes n . x = d (the nearest counts), with noise."""
    v, u = np.mgrid[:480, :640]
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], 2)
    directions = rays @ T_map_cam[:3, :3].T
    nearest = np.full((480, 640), np.inf)
    for n, d in zip(normals, offsets, strict=True):
        depth = (d - np.dot(n, T_map_cam[:3, 3])) / (directions @ np.asarray(n))
        nearest = np.minimum(nearest, np.where(depth > 0, depth, np.inf))
    if rng is not None:
        nearest += rng.normal(0, 1, nearest.shape) * SENSOR.depth_sigma_m(nearest)
    return nearest.astype(np.float32)


CORNER = ([(0.0, 0.0, 1.0), (0.8, 0.0, 0.6), (0.0, 0.8, 0.6)], (2.5, 1.8, 1.8))


def surface(T_map_cam, planes, rng=None):
    return Surface.of(planes_seen_from(T_map_cam, *planes, rng), CAMERA, SENSOR)


def test_normals_point_towards_the_camera():
    made = surface(np.eye(4), ([(0.6, 0.0, 0.8)], (2.0,)))
    known = np.isfinite(made.normals_hw3[..., 0])
    assert known.mean() > 0.8
    assert np.allclose(made.normals_hw3[known], (-0.6, 0.0, -0.8), atol=0.02)


def test_derivatives_are_those_of_the_gap():
    frame, reference = surface(MOTION, CORNER), surface(np.eye(4), CORNER)
    points = frame.points_hw3[4:-4:6, 4:-4:6].reshape(-1, 3).astype(np.float64)
    sigma = np.full(len(points), 0.01)

    def gaps(xi):
        T_cam_map = exp_se3(xi) @ invert_pose(MOTION)
        found = _match(points, sigma, T_cam_map, reference, np.eye(4), CAMERA)
        out = np.full(len(points), np.nan)
        out[found.both] = found.gap_m
        return out, found

    plain, found = gaps(np.zeros(6))
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-6
        numeric = ((gaps(step)[0] - gaps(-step)[0]) / 2e-6)[found.both]
        same = np.abs(numeric) < 10.0  # not those that change to another cell
        assert same.mean() > 0.9
        assert np.allclose(numeric[same], found.J_m6[same, k], atol=1e-4)


def test_a_corner_determines_the_pose():
    rng = np.random.default_rng(0)
    found = align_surface(np.eye(4), surface(MOTION, CORNER, rng), surface(np.eye(4), CORNER, rng),
                          np.eye(4), NOTHING, CAMERA, SENSOR)
    translation_m, rotation_rad = pose_error(found.T_map_cam, MOTION)
    assert translation_m < 0.005 and rotation_rad < np.deg2rad(0.2)
    assert found.held_well
    sigma_m = np.sqrt(np.linalg.eigvalsh(found.covariance_66[:3, :3])[-1])
    assert translation_m < 4 * sigma_m < 0.05


def test_a_wall_alone_is_no_answer_but_with_tracks_it_is():
    wall = ([(0.0, 0.0, 1.0)], (2.0,))
    frame, reference = surface(MOTION, wall), surface(np.eye(4), wall)
    assert align_surface(
        np.eye(4), frame, reference, np.eye(4), NOTHING, CAMERA, SENSOR) is None
    marks = np.array([(x, y, 2.0) for x in (-0.6, 0.0, 0.5) for y in (-0.4, 0.1, 0.4)])
    in_cam = (marks - MOTION[:3, 3]) @ MOTION[:3, :3]
    seen = Sightings(marks, CAMERA.project(in_cam), np.full(len(marks), np.nan))
    found = align_surface(np.eye(4), frame, reference, np.eye(4), seen, CAMERA, SENSOR)
    assert pose_error(found.T_map_cam, MOTION)[0] < 0.003


def test_something_else_in_front_is_no_answer():
    before = surface(np.eye(4), ([(0.0, 0.0, 1.0)], (0.6,)))
    assert align_surface(np.eye(4), before, surface(np.eye(4), CORNER), np.eye(4), NOTHING,
                         CAMERA, SENSOR) is None


@pytest.mark.render
@pytest.mark.parametrize("surfaces", [True, False])
def test_a_place_without_texture_is_crossed_by_its_surfaces(surfaces):
    config = SlamConfig().with_values({"device": "cpu", "tracker.surfaces": surfaces})
    tracker = Tracker(config, load_encoder(EncoderConfig(), torch.device("cpu")))
    rng = np.random.default_rng(0)
    states, worst_m, first = [], 0.0, None
    for number, item in enumerate(world_shots("room", 3, range(32))):
        frame = item.frame
        if 10 <= number < 28:  # the lights go out
            dark = rng.integers(8, 14, frame.image.shape, dtype=np.uint8)
            frame = Frame(frame.stamp_ns, dark, frame.depth_m, frame.camera)
        first = item.T_world_cam_44 if first is None else first
        result = process(tracker, frame, TrackingHints(T_map_cam_first=np.eye(4)))
        states.append(result.state)
        if result.T_map_cam is not None:
            true = invert_pose(first) @ item.T_world_cam_44
            worst_m = max(worst_m, pose_error(result.T_map_cam, true)[0])
    if surfaces:
        assert set(states) == {TrackerState.TRACKING} and worst_m < 0.04
    else:
        assert states[26] is TrackerState.LOST


def test_a_keyframe_without_corners_is_one_only_beside_others():
    depth_m = planes_seen_from(np.eye(4), *CORNER)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    gray = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    blank = Frame(0, np.full((480, 640, 3), 90, np.uint8), depth_m, CAMERA)
    parts = LocalParts(SlamConfig())
    assert not parts.add(blank, np.eye(4))
    assert parts.add(replace(blank, image=gray), np.eye(4))
    assert parts.add(blank, MOTION)
    parts.window.finish()
    assert np.array_equal(parts.pose(1), MOTION)
    assert parts.aligner.brings_texture(replace(blank, image=gray), SubmapPose(MOTION))
    assert not parts.aligner.brings_texture(blank, SubmapPose(MOTION))
