"""Keyframes before walls, in a rendered corridor, and on a ring."""

import numpy as np

from ace_slam_ros.core.config.sections import (
    SensorConfig,
    SolverConfig,
)
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.edge import Edge, EdgeKind, odometry_edge
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR, SOLVER = SensorConfig(), SolverConfig()


def keyframe(identifier, T_map_cam, points_cam, reference=None):
    count = len(points_cam)
    return Keyframe(identifier, identifier, T_map_cam, np.ones((count, 4), np.int8),
                    np.zeros((count, 2), np.float32), np.asarray(points_cam, np.float32), CAMERA,
                    reference)


def wall(rng, count=60):
    """Points of a wall two meters ahead."""
    return np.column_stack([rng.uniform(-1, 1, (count, 2)), np.full(count, 2.0)])


def ring(rng, count=60, radius_m=4.0, bias_rad=0.001):
    """True poses of a loop, and what a tracker with noise and a heading drift makes of them."""
    true, drifted, odometry = {}, {0: None}, []
    for k in range(count):
        angle = 2 * np.pi * k / count
        T = exp_se3(np.array([0, 0, 0, 0, 0, angle]))
        T[:3, 3] = radius_m * np.cos(angle), radius_m * np.sin(angle), 0
        true[k] = T
    drifted[0] = true[0]
    for k in range(1, count):
        noise = rng.normal(size=6) * np.repeat([0.002, 0.0005], 3)
        noise[5] += bias_rad
        step = invert_pose(true[k - 1]) @ true[k] @ exp_se3(noise)
        odometry.append(odometry_edge(k - 1, k, step))
        drifted[k] = drifted[k - 1] @ step
    return true, drifted, odometry


def loop(rng, true, a, b, wrong=None):
    T = invert_pose(true[a]) @ true[b] if wrong is None else wrong
    sigma = np.repeat([0.005, 0.002], 3)
    return Edge(a, b, exp_se3(rng.normal(size=6) * sigma) @ T, np.diag(sigma**2), EdgeKind.LOOP)


def worst_m(poses, true):
    return max(pose_error(poses[k], true[k])[0] for k in true)
