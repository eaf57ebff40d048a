"""Obstacles in a world of boxes on a floor whose every height is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from ace_slam_ros.core.config.navigation import ObstacleConfig
from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, exp_se3, make_pose
from ace_slam_ros.core.navigation.obstacle_cloud import (
    floor_of_base,
    obstacle_cloud,
    obstacle_cloud_twin,
)
from ace_slam_ros.core.navigation.voxels import thin, thin_twin

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR, CONFIG = SensorConfig(), ObstacleConfig()
#: Half a meter above the floor, 15 degrees down.
T_BASE_CAM = make_pose(np.eye(3), np.array([0.1, 0.0, 0.5])) @ exp_se3(
    np.array([0, 0, 0, 0, np.deg2rad(15.0), 0])) @ make_pose(R_BODY_OPTICAL_33, np.zeros(3))
FLOOR_4 = floor_of_base(T_BASE_CAM, 0.0)
#: Lowest and highest corners: a low box, a thin pole, a thing far away, a shelf, a wall, a sill
#: that is floor.
BOXES = np.array([
    [[1.2, -0.3, 0.0], [1.4, -0.1, 0.10]],
    [[1.8, 0.4, 0.0], [1.84, 0.44, 1.5]],
    [[2.6, -0.6, 0.0], [2.8, -0.3, 0.15]],
    [[1.5, -1.2, 0.3], [1.9, -0.8, 0.35]],
    [[4.8, -6.0, 0.0], [5.0, 6.0, 2.5]],
    [[2.0, -0.2, 0.0], [2.2, 0.1, 0.03]],
])


def depth_of_world(boxes: np.ndarray = BOXES) -> np.ndarray:
    """Depth (480, 640) of floor and boxes, exact, by intersecting rays."""
    v, u = np.mgrid[0:CAMERA.height, 0:CAMERA.width].astype(float).reshape(2, -1)
    rays = CAMERA.unproject(np.stack([u, v], axis=1), np.ones(len(u))) @ T_BASE_CAM[:3, :3].T
    origin = T_BASE_CAM[:3, 3]
    with np.errstate(divide="ignore"):
        best = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        for low, high in boxes:
            a, b = (low - origin) / rays, (high - origin) / rays
            enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
            hit = (enter <= leave) & (enter > 0)
            best = np.where(hit & (enter < best), enter, best)
    best[best > SENSOR.max_depth_m] = 0
    return best.reshape(CAMERA.height, CAMERA.width).astype(np.float32)


def as_measured(depth_m: np.ndarray, seed: int) -> np.ndarray:
    """The depth with noise of the sensor model, holes, and wrong pixels in the air."""
    rng = np.random.default_rng(seed)
    noisy = depth_m + rng.standard_normal(depth_m.shape) * SENSOR.depth_sigma_m(depth_m)
    noisy[rng.random(depth_m.shape) < 0.05] = 0
    wrong = rng.random(depth_m.shape) < 0.002
    noisy[wrong] = rng.uniform(0.4, 2.0, wrong.sum())
    noisy[depth_m == 0] = 0
    return noisy.astype(np.float32)


def true_points(depth_m: np.ndarray) -> np.ndarray:
    """Points (n, 3) in the base of pixels that have a depth and no edge within a pixel."""
    v, u = np.nonzero(depth_m)
    points = CAMERA.unproject(np.stack([u, v], axis=1).astype(float), depth_m[v, u].astype(float))
    return points @ T_BASE_CAM[:3, :3].T + T_BASE_CAM[:3, 3]


@pytest.fixture(scope="module")
def world() -> np.ndarray:
    return depth_of_world()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_floor_is_free_and_what_stands_on_it_is_there(world: np.ndarray, seed: int) -> None:
    cloud = obstacle_cloud(
        as_measured(world, seed), CAMERA, T_BASE_CAM, FLOOR_4, SENSOR, CONFIG)
    truth = true_points(world)
    found = cloud.obstacles_N3
    assert found[:, 2].min() > 0.05, "a floor that is an obstacle stops the robot"
    above = truth[(truth[:, 2] > 0.08) & (
        np.linalg.norm(truth - T_BASE_CAM[:3, 3], axis=1) < 3.0)]
    gap = cKDTree(found).query(above)[0]
    assert gap.max() < 0.06, "what is above 8 cm and nearer than 3 m is there"
    off = cKDTree(truth[truth[:, 2] > 0.02]).query(found)[0]
    assert off.max() < 0.12 and np.mean(off < 0.06) > 0.99, "no speckle in the air"
    assert np.linalg.norm(found - T_BASE_CAM[:3, 3], axis=1).max() < CONFIG.range_m + 0.05
    assert cloud.measured > 0.8 and not cloud.is_blind
    free = cloud.free_M3
    assert np.abs(free[free[:, 0] < 2.0, 2]).max() < CONFIG.low_m, "rays end on the near floor"
    assert (free[:, 0] > 4.5).any(), "and on the wall that is too far to be an obstacle"


def test_a_few_wrong_pixels_are_no_obstacle(world: np.ndarray) -> None:
    empty = depth_of_world(BOXES[:0])
    empty[200:203, 300:302] = 0.7
    empty[300, 100] = 0.5
    cloud = obstacle_cloud(empty, CAMERA, T_BASE_CAM, FLOOR_4, SENSOR, CONFIG)
    assert len(cloud.obstacles_N3) == 0 and len(cloud.free_M3) > 500


def test_kernels_do_as_their_twins(world: np.ndarray) -> None:
    depth = as_measured(world, 2)
    shown = np.full(depth.shape, 255, np.uint8)
    shown[-60:, 200:400] = 0
    depth[0, :50], depth[100, 100] = np.nan, np.inf
    for stride_image, camera in ((depth, CAMERA), (np.ascontiguousarray(depth[::2, ::2]),
                                                   CAMERA.scaled(0.5))):
        mask = shown if stride_image is depth else np.ascontiguousarray(shown[::2, ::2])
        given = stride_image, camera, T_BASE_CAM, FLOOR_4, SENSOR, CONFIG, mask
        fast, slow = obstacle_cloud(*given), obstacle_cloud_twin(*given)
        assert fast.measured == pytest.approx(slow.measured, abs=1e-4)
        for one, other in ((fast.obstacles_N3, slow.obstacles_N3), (fast.free_M3, slow.free_M3)):
            assert abs(len(one) - len(other)) <= 2
            distance = cKDTree(other).query(one)[0]
            assert np.mean(distance < 1e-4) > 0.995  # points on the border of a voxel


def test_what_the_mask_hides_is_neither_obstacle_nor_free(world: np.ndarray) -> None:
    depth = world.copy()
    depth[400:, 250:390] = 0.35  # a gripper
    shown = np.full(depth.shape, 255, np.uint8)
    shown[395:, 245:395] = 0
    given = depth, CAMERA, T_BASE_CAM, FLOOR_4, SENSOR, CONFIG
    near = [np.linalg.norm(obstacle_cloud(*given, mask).obstacles_N3 - T_BASE_CAM[:3, 3],
                           axis=1).min() for mask in (None, shown)]
    assert near[0] < 0.5 < 0.9 < near[1]


def test_thinning_of_few_points() -> None:
    points = np.array([[0.01, 0.01, 0.01], [0.02, 0.02, 0.02], [-0.01, 0.0, 0.0]], np.float32)
    for function in (thin, thin_twin):
        assert function(points[:0], np.ones(0, np.float32), 0.03).shape == (0, 3)
        kept = function(points, np.full(3, 0.5, np.float32), 0.03)
        assert np.allclose(kept, [[0.015, 0.015, 0.015]])
        assert len(function(points, np.ones(3, np.float32), 0.03)) == 2


def test_a_camera_that_sees_nothing_is_blind() -> None:
    nothing = np.zeros((480, 640), np.float32)
    cloud = obstacle_cloud(nothing, CAMERA, T_BASE_CAM, FLOOR_4, SENSOR, CONFIG)
    assert cloud.is_blind and cloud.measured == 0 and cloud.obstacles_N3.shape == (0, 3)


def test_the_floor_of_a_base() -> None:
    floor = floor_of_base(T_BASE_CAM, -0.1)
    assert floor is not None and floor[3] == pytest.approx(0.6), "so high is the camera"
    ahead = np.linalg.inv(T_BASE_CAM) @ [2.0, 0.5, -0.1, 1.0]
    assert floor[:3] @ ahead[:3] == pytest.approx(floor[3])
    assert floor_of_base(make_pose(R_BODY_OPTICAL_33, np.zeros(3)), 0.0) is None
    assert floor_of_base(make_pose(R_BODY_OPTICAL_33, np.array([0, 0.015, 0])), 0.0) is None


def test_heights_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"obstacles.high_m=0.05 is not above"):
        ObstacleConfig(high_m=0.05)
