"""Evidence for a pose, and the probability that it is right."""

import numpy as np

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.poses import PoseEstimate
from ace_slam_ros.core.localization.probability import Evidence

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)


def pose(inliers_N, confidence):
    return PoseEstimate(np.eye(4), np.eye(6), inliers_N, float(inliers_N.mean()), confidence)


def test_evidence_counts_what_agrees_and_where():
    pixels = np.array([[10, 10], [20, 20], [630, 470], [300, 200]], np.float32)
    features = Features(np.zeros((4, 2), np.float32), pixels, np.zeros((4, 3), np.float32))
    inliers = np.array([True, True, True, False])
    found = Evidence.of(
        pose(inliers, 0.5), pose(inliers, 0.2), features, CAMERA, has_depth=True)
    assert found.inliers == 3 and np.isclose(found.spread, 2 / 48)
    assert np.isclose(found.rival_share, 0.4)
    assert Evidence.of(pose(inliers, 0.5), None, features, CAMERA, True).rival_share == 0.0


def test_more_support_is_more_probable_and_a_rival_less():
    for has_depth in (True, False):
        strong = Evidence(0.5, 600, 0.05, 0.9, has_depth)
        weak = Evidence(0.06, 70, 0.3, 0.2, has_depth)
        rivaled = Evidence(0.5, 600, 0.95, 0.9, has_depth)
        assert strong.probability > 0.95
        assert weak.probability < 0.7 < strong.probability
        assert rivaled.probability < strong.probability
