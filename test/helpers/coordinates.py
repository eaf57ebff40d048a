"""Synthetic scene coordinates of views with known poses."""

from dataclasses import replace

import numpy as np

from ace_slam_ros.core.config.sections import SensorConfig, SolverConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points
from ace_slam_ros.core.localization.hypotheses import Hypotheses

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR, SOLVER = SensorConfig(), SolverConfig()


def scene(rng, count=600, outliers=0.5, sigma_m=0.015, hypotheses=3):
    """Random features with noisy depth and predictions, a share of them wrong."""
    T = exp_se3(rng.normal(size=6) * [2, 2, 2, 0.8, 0.8, 0.8])
    pixels = rng.uniform([0, 0], [640, 480], (count, 2))
    depth = rng.uniform(0.7, 3.0, count)
    true = CAMERA.unproject(pixels, depth)
    noisy_depth = depth + rng.normal(size=count) * (0.001 + 0.0025 * depth**2)
    y = CAMERA.unproject(pixels, noisy_depth).astype(np.float32)
    x = rng.uniform(-3, 3, (count, hypotheses, 3))
    slot = rng.integers(hypotheses, size=count)
    good = rng.random(count) > outliers
    rows = np.flatnonzero(good)
    x[rows, slot[rows]] = transform_points(T, true[rows]) + rng.normal(
        scale=sigma_m, size=(len(rows), 3))
    sigma = np.full((count, hypotheses), sigma_m, np.float32)
    sigma[:, -1][rng.random(count) < 0.3] = np.inf
    features = Features(np.zeros((count, 4), np.float32), pixels.astype(np.float32), y)
    return T, features, Predictions(x.astype(np.float32), sigma), good


def flat(features, predictions):
    """Return the hypotheses of all features, gates of 5.5 cm."""
    known = Hypotheses.of(features.points_cam_N3, predictions, np.ones(len(features), bool))
    return replace(known, gate2_M=np.full(len(known.x_M3), 0.003, np.float32))
