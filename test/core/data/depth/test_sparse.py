"""Sparse depth is filled where it shows one surface; dense depth is left alone."""

import re

import numpy as np
import pytest
from helpers.rooms import CONFIG
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.depth.sparse import explain_missing_depth, fill_sparse
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.slam import Slam

rng = np.random.default_rng(4)
ROWS, COLUMNS = np.mgrid[:240, :320]
#: A floor that comes near, and a box before it.
FLOOR = (1.0 / (0.2 + 0.002 * ROWS + 0.0005 * COLUMNS)).astype(np.float32)
SCENE = np.where((COLUMNS > 160) & (ROWS > 80), np.float32(1.1), FLOOR)


def one_in(share):
    return rng.random(FLOOR.shape) < share


def lines(step, axis):
    return ((ROWS, COLUMNS)[axis] % step == step // 2) & (FLOOR > 0)


@pytest.mark.parametrize(("kept", "least"), [
    (one_in(0.1), 0.95), (one_in(0.2), 0.95), ((ROWS % 3 == 0) & (COLUMNS % 3 == 0), 0.95),
    (lines(8, 0), 0.95), (lines(10, 0), 0.95), (lines(10, 1), 0.95), (lines(16, 0), 0.85),
])
def test_a_floor_is_filled(kept, least):
    sparse = np.where(kept, FLOOR, np.float32(0))
    found = fill_sparse(sparse)
    assert np.array_equal(found[kept], FLOOR[kept]) and found.dtype == np.float32
    known = found > 0
    assert known.mean() > least
    assert np.abs(found / FLOOR - 1)[known].max() < 0.02


@pytest.mark.parametrize("kept", [one_in(0.1), lines(8, 0)])
def test_no_surface_is_invented_between_two(kept):
    noisy = SCENE * (1 + 0.003 * rng.standard_normal(SCENE.shape)).astype(np.float32)
    found = fill_sparse(np.where(kept, noisy, np.float32(0)))
    known = found > 0
    off = np.minimum(np.abs(found / FLOOR - 1), np.abs(found / 1.1 - 1))
    assert known.mean() > 0.7 and (off[known] < 0.03).mean() > 0.995


@pytest.mark.parametrize("depth_m", [
    FLOOR, np.zeros_like(FLOOR), FLOOR * one_in(0.67), np.where(ROWS > 100, FLOOR, 0),
    FLOOR[:2, :2], FLOOR * (ROWS % 40 > 5),
])
def test_dense_depth_and_none_are_left_alone(depth_m):
    depth_m = depth_m.astype(np.float32)
    assert fill_sparse(depth_m) is depth_m


def test_odd_sizes_keep_their_shape():
    sparse = np.where(one_in(0.1), FLOOR, np.float32(0))[:101, :133]
    assert fill_sparse(sparse).shape == (101, 133)


@pytest.mark.parametrize(("depth_m", "reason"), [
    (None, "no depth"), (FLOOR, ""),
    (np.where(lines(16, 0), FLOOR, 0), r"only 6.2 % of the pixels have depth"),
    (FLOOR / 20, r"100 % of the depth is nearer than sensor.min_depth_m = 0.3 m .*set it lower"),
    (FLOOR * 4, r"farther than sensor.max_depth_m = 6 m .*set it higher"),
])
def test_the_reason_names_what_to_change(depth_m, reason):
    found = explain_missing_depth(depth_m, SensorConfig())
    assert re.search(reason, found) and bool(reason) == bool(found)


def frames(change, count):
    wall = Wall(3)
    for number, T_world_cam in enumerate(wander(60)[:count]):
        image, depth_mm = wall.look(T_world_cam)
        depth_m = change((depth_mm / 1000).astype(np.float32))
        yield T_world_cam, Frame(50_000_000 * number, image, depth_m, CAMERA)


def test_one_pixel_in_ten_is_enough_to_track(encoder):
    random = np.random.default_rng(1)
    slam, gaps_m, first = Slam(CONFIG, encoder), [], None
    for T_world_cam, frame in frames(
            lambda d: fill_sparse(np.where(random.random(d.shape) < 0.1, d, np.float32(0))), 6):
        result = slam.process(frame)
        assert result.has_map_pose, result.reason
        first = result.T_map_cam @ np.linalg.inv(T_world_cam) if first is None else first
        gaps_m.append(pose_error(first @ T_world_cam, result.T_map_cam)[0])
    assert max(gaps_m) < 0.03


@pytest.mark.parametrize(("change", "reason"), [
    (lambda d: d / 20, "sensor.min_depth_m"), (lambda d: d * 10, "sensor.max_depth_m"),
    (lambda d: np.where(np.arange(240)[:, None] % 32 == 0, d, np.float32(0)), "one in ten"),
])
def test_a_camera_that_cannot_begin_says_why(encoder, change, reason):
    _, frame = next(frames(change, 1))
    result = Slam(CONFIG, encoder).process(frame)
    assert not result.has_map_pose and reason in result.reason
