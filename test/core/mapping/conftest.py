"""Keyframes of a rendered corridor."""

import pytest
from helpers.keyframes import SENSOR
from helpers.worlds import world_shots

from ace_slam_ros.core.config.sections import FeatureConfig
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.extraction import extract_features


@pytest.fixture(scope="session")
def corridor(encoder):
    """Keyframes of a corridor, eight frames (a quarter of a meter) apart, at their true poses."""
    made = []
    for k, item in enumerate(world_shots("corridor", 1, range(0, 110, 9))):
        features = extract_features(encoder, item.frame, FeatureConfig(), SENSOR)
        made.append(Keyframe.from_features(
            k, item.frame.stamp_ns, item.T_world_cam_44, features, item.frame.camera))
    return made
