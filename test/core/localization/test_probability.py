"""Evidence for a pose, and the probability that it is right."""

import numpy as np

from ace_slam_ros.core.data.poses import PoseEstimate
from ace_slam_ros.core.localization.probability import Evidence


def pose(confidence, spread=1.0):
    return PoseEstimate(np.eye(4), np.eye(6), np.ones(9, bool), 1.0, confidence, spread)


def test_evidence_weighs_the_best_pose_elsewhere():
    found = Evidence.of(pose(0.5), pose(0.2), has_depth=True, head_type="affine")
    assert found.confidence == 0.5 and np.isclose(found.rival_share, 0.4)
    found = Evidence.of(pose(0.5, 2.0), None, has_depth=True, head_type="affine")
    assert found.rival_share == 0.0 and found.spread == 2.0
    assert Evidence.of(pose(0.5, 9.0), None, has_depth=True, head_type="trimlp").spread is None


def test_more_support_is_more_probable_a_rival_and_spread_less():
    for has_depth, usual in ((True, 1.3), (False, 3.0)):
        claimed = [Evidence(c, 0.0, usual, has_depth).probability
                   for c in (0.05, 0.1, 0.2, 0.4, 0.7)]
        assert claimed == sorted(claimed) and claimed[0] < 0.8 and claimed[-1] > 0.9
        rivaled = [Evidence(0.5, share, usual, has_depth).probability for share in (0.0, 0.5, 1.0)]
        assert rivaled == sorted(rivaled, reverse=True)
        spread = [Evidence(0.2, 0.0, times * usual, has_depth).probability
                  for times in (0.5, 1.0, 1.5, 2.0)]
        assert spread == sorted(spread, reverse=True) and spread[-1] < 0.5


def test_of_two_places_that_explain_as_much_each_is_as_likely():
    for has_depth in (True, False):
        assert Evidence(0.9, 1.0, 0.3, has_depth).probability <= 0.5
