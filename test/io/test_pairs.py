"""Pairs of color and depth are right; lenses are straightened."""

import cv2
import numpy as np
import pytest
from helpers.sequences import LENS, make_frames, steps
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.io import open_source, write_tum_folder
from ace_slam_ros.io.pairs import associate, rectify


@given(
    st.lists(st.integers(0, 60), max_size=7, unique=True),
    st.lists(st.integers(0, 60), max_size=7, unique=True), st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_association_is_greedy_by_gap(color, depth, slop):
    color, depth = np.array(sorted(color), np.int64), np.array(sorted(depth), np.int64)
    gaps = np.abs(color[:, None] - depth[None]).astype(float)
    expected = np.full(len(color), -1)
    while gaps.size and gaps.min() <= slop:  # brute force: the closest pair left, again and again
        i, j = np.unravel_index(np.argmin(gaps), gaps.shape)
        expected[i] = j
        gaps[i], gaps[:, j] = np.inf, np.inf
    np.testing.assert_array_equal(associate(color, depth, slop), expected)


FISHEYE = Camera(80, 60, 60.0, 61.0, 39.0, 30.5, (0.1, 0.02, -0.01, 0.003), "equidistant")
BARREL = Camera(80, 60, 60.0, 61.0, 39.0, 30.5, (-0.2, 0.05, 0.003, -0.002, 0.01))


@pytest.mark.parametrize("camera", [FISHEYE, BARREL])
def test_rectification_against_undistorted_points(camera):
    """Depth carries the number of its source pixel, whose undistorted place is then compared."""
    rows, columns = np.mgrid[0:60, 0:80]
    number = (rows * 80 + columns + 1).astype(np.float32)
    image = np.stack([columns * 3, rows * 4, columns + rows], 2).astype(np.uint8)
    straight, moved = rectify(camera, image, number)
    d = np.array(camera.distortion)
    valid = moved > 0
    assert valid.mean() > 0.7
    source = moved[valid].astype(int) - 1
    pixels = np.stack([source % 80, source // 80], 1).astype(np.float64)[:, None]
    undistort = (
        cv2.fisheye.undistortPoints if camera is FISHEYE else cv2.undistortPoints)
    error = undistort(pixels, camera.K_33, d, None, None, camera.K_33)[:, 0] - np.stack(
        [columns[valid], rows[valid]], 1)
    assert np.abs(error).max() < 0.85, "farther than the nearest pixel, stretched by the lens"
    assert np.abs(error.mean(0)).max() < 0.03, "rounded, not cut off"
    # Color: the forward lens model says where each straight pixel comes from.
    rays = np.stack([
        (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones((60, 80))
    ], 2).reshape(-1, 1, 3)
    zero = np.zeros(3)
    project = cv2.fisheye.projectPoints if camera is FISHEYE else cv2.projectPoints
    exact = project(rays, zero, zero, camera.K_33, d)[0].reshape(60, 80, 2)
    inside = ((exact >= 0) & (exact <= [79, 59])).all(2)
    expected = np.stack([exact[..., 0] * 3, exact[..., 1] * 4], 2)
    assert np.abs(straight[..., :2] - expected)[inside].max() < 1.0


def test_rectified_frames_come_from_sources(tmp_path):
    frames = list(make_frames(steps(2), LENS))
    write_tum_folder(tmp_path / "a", frames, None, LENS, jpeg_quality=0)
    source = open_source(tmp_path / "a")
    assert source.camera == LENS.without_distortion()
    for got, frame in zip(source, frames, strict=True):
        image, depth_m = rectify(LENS, frame.image, frame.depth_m)
        assert got.camera == source.camera
        assert not np.array_equal(image, frame.image)
        np.testing.assert_array_equal(got.image, image)
        np.testing.assert_allclose(got.depth_m, depth_m, atol=1e-6)
    raw = next(source.raw_frames())
    np.testing.assert_array_equal(raw.image(), frames[0].image)
