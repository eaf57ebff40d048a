"""Following corners from image to image."""

import cv2
import numpy as np
import pytest
from helpers.tracks import CAMERA, picture

from ace_slam_ros.core.data.image_pyramid import LEVELS, ImagePyramid
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, transform_points
from ace_slam_ros.core.odometry.flow import optical_flow
from ace_slam_ros.core.odometry.flow.corners import detect_corners
from ace_slam_ros.core.odometry.flow.optical_flow import (
    Patches,
    Template,
    cut_all_twin,
    find_all_twin,
    follow,
)
from ace_slam_ros.core.odometry.local_keyframe import expect, expect_twin

UNTURNED = np.eye(2, dtype=np.float32)


def turned(image, degrees, scale=1.0, right_px=0.0):
    """A turned image, where pixels of the other one are in it, and steps back."""
    turn = cv2.getRotationMatrix2D((320, 240), degrees, scale)
    turn[0, 2] += right_px
    return (cv2.warpAffine(image, turn, (640, 480)),
            lambda at: (at @ turn[:, :2].T + turn[:, 2]).astype(np.float32),
            np.linalg.inv(turn[:, :2]).astype(np.float32))


def errors_px(image, other, where, back, guess_off=0.0, wide=False):
    """Follow the corners of an image; returns (share that is found, errors of these)."""
    corners = detect_corners(image, 200)
    true = where(corners)
    index, found, _ = follow(
        Template(image, corners), ImagePyramid.of(other), (true + guess_off).astype(np.float32),
        np.tile(back, (len(corners), 1, 1)), wide)
    return len(index) / len(corners), np.linalg.norm(found - true[index], axis=1)


def test_corners_are_followed_through_a_turn():
    rng = np.random.default_rng(5)
    image = picture(rng)
    share, error = errors_px(
        image, *turned(image, 15.0, 1.15), guess_off=rng.uniform(-3, 3, 2))
    assert share > 0.6 and np.median(error) < 0.05 and np.percentile(error, 95) < 0.2


@pytest.mark.parametrize(("gain", "bias"), [(0.6, 0.0), (1.3, -20.0), (1.0, 40.0)])
def test_a_change_of_exposure_is_not_seen(gain, bias):
    image = picture(np.random.default_rng(8)) // 2 + 40
    other, where, back = turned(image, 3.0)
    share, error = errors_px(
        image, np.clip(gain * other + bias, 0, 255).astype(np.uint8), where, back, 2.0)
    assert share > 0.8 and np.median(error) < 0.05


def test_a_wide_search_finds_what_is_farther():
    image = picture(np.random.default_rng(9))
    other, where, back = turned(image, 0.0, right_px=5.0)
    near, far = (errors_px(image, other, where, back, 40.0, wide) for wide in (False, True))
    assert far[0] > 0.5 and np.median(far[1]) < 0.05 and near[0] < 0.5 * far[0]


def test_a_warped_patch_is_used_again_while_it_fits():
    """The turn is too large for patches that are not turned; the camera goes on and comes back."""
    image = picture(np.random.default_rng(7))
    corners = np.rint(detect_corners(image, 200))
    index, template, looks = np.arange(len(corners)), Template(image, corners), []
    for degrees in (25.0, 25.5, 0.0):
        other, where, back = turned(image, degrees)
        backs = np.tile(back, (len(corners), 1, 1))
        found, pixels, _ = follow(
            template, ImagePyramid.of(other), where(corners) + 1, backs, False)
        assert len(found) > 0.6 * len(corners)
        assert np.median(np.linalg.norm(pixels - where(corners[found]), axis=1)) < 0.1
        looks.append(template.towards(index[:1], backs[:1], 1).gray[0].copy())
    assert np.array_equal(looks[0], looks[1]), "half a degree"
    at = (corners[0] - 8).astype(int)
    assert np.array_equal(looks[2], image[at[1]:at[1] + 16, at[0]:at[0] + 16])


def test_patches_that_look_otherwise_say_so():
    """Light that falls on the picture moves corners, and most those that it misfits most."""
    image = picture(np.random.default_rng(33))
    corners = detect_corners(image, 200)
    backs = np.tile(UNTURNED, (len(corners), 1, 1))
    rows, columns = np.mgrid[:480, :640]
    light = 25.0 * np.sin(columns / 9.0) * np.cos(rows / 11.0)
    lit = np.clip(image + light, 0, 255).astype(np.uint8)
    for other, least, most in ((image, 0.0, 0.01), (lit, 0.05, np.inf)):
        index, pixels, misfit = follow(
            Template(image, corners), ImagePyramid.of(other), corners, backs, False)
        assert least < np.median(misfit[:, [0, 2]].sum(axis=1)) + 1e-6 < most
    error = np.linalg.norm(pixels - corners[index], axis=1)
    order = np.argsort(misfit[:, [0, 2]].sum(axis=1))
    best, worst = np.array_split(error[order], 2)
    assert np.median(worst) > 1.3 * np.median(best)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_is_followed_into_a_blank_image(value):
    image = picture(np.random.default_rng(6))
    share, _ = errors_px(image, np.full_like(image, value), lambda at: at, UNTURNED)
    assert share == 0.0


def test_kernels_of_patches_agree_with_their_twins():
    rng = np.random.default_rng(10)
    image = picture(rng)
    other, where, _ = turned(image, 4.0)
    pyramid, corners = ImagePyramid.of(image), detect_corners(image, 200)
    corners = np.concatenate([corners, rng.uniform(0, (640, 480), (50, 2))]).astype(np.float32)
    backs = (np.eye(2) + rng.normal(0, 0.1, (len(corners), 2, 2))).astype(np.float32)
    which = np.arange(0, len(corners), 2)
    made, twin = Patches.empty(len(corners)), Patches.empty(len(corners))
    made.cut(pyramid, corners, backs, which, LEVELS)
    cut_all_twin(pyramid.flat, pyramid.layout_L4, corners, backs, which, LEVELS, twin.gradient,
                 twin.inverse_nL3, twin.gray, twin.moments_n2)
    assert np.abs(made.gradient.astype(int) - twin.gradient).max() <= 1
    assert np.abs(made.gray.astype(int) - twin.gray).max() <= 1
    assert np.allclose(made.inverse_nL3, twin.inverse_nL3, rtol=0.01)
    assert np.allclose(made.moments_n2, twin.moments_n2, rtol=1e-3)
    guess = (where(corners) + rng.uniform(-2, 2, corners.shape)).astype(np.float32)[which]
    searched = ImagePyramid.of(other)
    found, alike, contrast, misfit = made.find(searched, which, guess, LEVELS)
    twins = (np.empty_like(found), np.empty_like(alike), np.empty_like(alike),
             np.empty_like(misfit))
    find_all_twin(searched.flat, searched.layout_L4, made.gradient, made.inverse_nL3, made.gray,
                  made.moments_n2, which, guess, LEVELS, *twins)
    good = alike > 0.7
    assert good.sum() > 80 and np.array_equal(good, twins[1] > 0.7)
    assert np.abs(found - twins[0])[good].max() < 0.01
    assert np.allclose(alike, twins[1], atol=0.01)
    assert np.allclose(contrast[good], twins[2][good], rtol=0.01)
    assert np.allclose(misfit[good], twins[3][good], rtol=0.05, atol=0.01)


def test_where_corners_are_expected_agrees_with_a_twin_and_with_projection():
    rng = np.random.default_rng(11)
    T_map_host, T_map_cam = (exp_se3(rng.normal(0, 0.1, 6)) for _ in range(2))
    pixels, depth = rng.uniform((0, 0), (640, 480), (60, 2)), rng.uniform(0.5, 3.0, 60)
    T_map_cam[:3, 3] += 0.8 * T_map_host[:3, 2]  # beyond some of them

    def seen(at):
        points = transform_points(T_map_host, CAMERA.unproject(at, depth))
        return points, transform_points(invert_pose(T_map_cam), points)

    points, in_cam = seen(pixels)
    guess, back = expect(
        points, depth, invert_pose(T_map_cam), T_map_host, CAMERA, CAMERA)
    R = (invert_pose(T_map_cam) @ T_map_host)[:3, :2] / (CAMERA.fx, CAMERA.fy)
    pinhole = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    twin = expect_twin(points, depth, invert_pose(T_map_cam), R, pinhole)
    assert np.allclose(guess, twin[0], rtol=1e-5) and np.allclose(back, twin[1], rtol=1e-4)
    ahead = in_cam[:, 2] > 0.2
    assert 10 < ahead.sum() < 60 and (guess[in_cam[:, 2] < 0.0] == -1.0).all()
    assert np.allclose(guess[ahead], CAMERA.project(in_cam[ahead]), atol=1e-3)
    for axis in range(2):
        forth = CAMERA.project(seen(pixels + 0.01 * np.eye(2)[axis])[1]) - CAMERA.project(in_cam)
        returned = np.einsum("nij,nj->ni", back[ahead], forth[ahead])
        assert np.allclose(returned, 0.01 * np.eye(2)[axis], atol=1e-4)


def test_borders_of_a_pyramid_repeat_its_edges():
    image = picture(np.random.default_rng(12))[:101, :75]
    pyramid = ImagePyramid.of(image)
    level = image
    for start, stride, width, height in pyramid.layout_L4:
        rows = pyramid.flat[start:start + stride * (height + 32)].reshape(-1, stride)
        assert np.array_equal(rows, np.pad(level, 16, mode="edge"))
        assert level.shape == (height, width)
        level = cv2.pyrDown(level)


def test_patches_are_followed_where_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(optical_flow, "AVAILABLE", False)
    image = picture(np.random.default_rng(13))
    share, error = errors_px(image, *turned(image, 5.0), guess_off=2.0)
    assert share > 0.6 and np.median(error) < 0.05
