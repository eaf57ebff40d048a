"""Poses that rest on one plane."""

import numpy as np
import pytest

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.poses import PoseEstimate
from ace_slam_ros.core.localization.flatness import is_flat

SENSOR = SensorConfig()


def seen(off_plane, confidence=0.08, agreeing=100, noise_m=0.005):
    """A pose that agrees with a tilted wall at 2 m, and with so many points nearer than that."""
    rng = np.random.default_rng(1)
    points = rng.uniform([-1.0, -0.8, 0.0], [1.0, 0.8, 0.0], (400, 3))
    points[:, 2] = 2.0 + 0.4 * points[:, 0] + noise_m * rng.standard_normal(400)
    points[:off_plane, 2] -= 0.5
    points[agreeing:, 2] = rng.uniform(0.5, 5.0, 400 - agreeing)  # what does not agree
    agrees = np.arange(400) < agreeing
    features = Features(np.zeros((400, 2), np.float32), np.zeros((400, 2), np.float32),
                        points.astype(np.float32))
    return PoseEstimate(np.eye(4), np.eye(6), agrees, agreeing / 400, confidence), features


@pytest.mark.parametrize(("off_plane", "flat"), [(0, True), (2, True), (10, False), (50, False)])
def test_few_that_agree_must_not_all_lie_in_one_plane(off_plane, flat):
    assert is_flat(*seen(off_plane), SENSOR) is flat


def test_a_wall_of_which_much_agrees_is_a_place():
    assert not is_flat(*seen(0, confidence=0.3, agreeing=300), SENSOR)


def test_nothing_is_known_of_pixels_alone():
    pose, features = seen(0)
    features.points_cam_N3[:] = np.nan
    assert not is_flat(pose, features, SENSOR)


def test_the_same_point_again_and_again_is_no_plane():
    pose, features = seen(0)
    features.points_cam_N3[:] = np.float32([0.1, 0.2, 1.0])
    assert not is_flat(pose, features, SENSOR)
