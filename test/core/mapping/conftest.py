"""Keyframes of a rendered corridor."""

import pytest
from helpers.keyframes import SENSOR

from ace_slam_ros.core.config.sections import FeatureConfig
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.synth.worlds import make_world


@pytest.fixture(scope="session")
def corridor(encoder):
    """Keyframes of a corridor, eight frames (a quarter of a meter) apart, at their true poses."""
    world = make_world("corridor", 1)
    made = []
    for k, item in enumerate(world.frames(110, step=9)):
        features = extract_features(encoder, item.frame, FeatureConfig(), SENSOR)
        made.append(Keyframe.from_features(
            k, item.frame.stamp_ns, item.T_world_cam_44, features, item.frame.camera))
    return made
