"""Evidence for a pose, and the probability that it is right."""

import numpy as np

from ace_slam_ros.core.data.poses import PoseEstimate
from ace_slam_ros.core.localization.probability import Evidence


def pose(confidence):
    return PoseEstimate(np.eye(4), np.eye(6), np.ones(9, bool), 1.0, confidence)


def test_evidence_weighs_the_best_pose_elsewhere():
    found = Evidence.of(pose(0.5), pose(0.2), has_depth=True)
    assert found.confidence == 0.5 and np.isclose(found.rival_share, 0.4)
    assert Evidence.of(pose(0.5), None, has_depth=True).rival_share == 0.0


def test_more_support_is_more_probable_and_a_rival_less():
    for has_depth in (True, False):
        claimed = [Evidence(c, 0.0, has_depth).probability for c in (0.05, 0.1, 0.2, 0.4, 0.7)]
        assert claimed == sorted(claimed) and claimed[0] < 0.5 and claimed[-1] > 0.9
        rivaled = [Evidence(0.5, share, has_depth).probability for share in (0.0, 0.5, 1.0)]
        assert rivaled == sorted(rivaled, reverse=True)
