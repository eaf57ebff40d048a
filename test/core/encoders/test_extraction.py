"""What is made of the encoder's grid: points on the surface, keyframes of eight bits."""

import numpy as np
import pytest
from helpers.pictures import picture

from ace_slam_ros.core.config.sections import FeatureConfig, SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.extraction import extract_features

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_features_lie_on_the_surface(encoder, mode):
    depth = np.full((240, 320), 1.5, np.float32)
    depth[:, 200:] = 0
    frame = Frame(0, picture(), depth, CAMERA)
    features = extract_features(
        encoder, frame, FeatureConfig(mode=mode, count=200), SensorConfig())
    assert 30 < len(features) <= 200
    assert np.allclose(features.points_cam_N3[:, 2], 1.5)
    assert np.allclose(CAMERA.project(features.points_cam_N3), features.pixels_N2, atol=1e-3)
    assert features.pixels_N2[:, 0].max() < 200


def test_nan_and_missing_depth(encoder):
    nan = Frame(0, picture(), np.full((240, 320), np.nan, np.float32), CAMERA)
    assert len(extract_features(encoder, nan, FeatureConfig(), SensorConfig())) == 0
    blind = Frame(0, picture(), None, CAMERA)
    features = extract_features(encoder, blind, FeatureConfig(count=300), SensorConfig())
    assert len(features) == 300 and np.isnan(features.points_cam_N3[:, 2]).all()


def test_keyframes_keep_descriptors_to_a_percent(encoder):
    frame = Frame(0, picture(), np.full((240, 320), 1.5, np.float32), CAMERA)
    features = extract_features(encoder, frame, FeatureConfig(count=300), SensorConfig())
    features.points_cam_N3[0] = np.nan
    keyframe = Keyframe.from_features(3, 7, np.eye(4), features, CAMERA)
    assert len(keyframe.points_cam_N3) == len(features) - 1
    cosine = (keyframe.descriptors_ND * features.descriptors_ND[1:]).sum(axis=1)
    assert cosine.min() > 0.9995
