"""Proposed poses and their scores against a slow twin."""

import numpy as np
import pytest
from helpers.coordinates import flat, scene

from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.localization.hypotheses import expand
from ace_slam_ros.core.localization.proposals import propose, score_poses, score_poses_reference


def test_scores_equal_the_slow_twin():
    rng = np.random.default_rng(4)
    T, features, predictions, _ = scene(rng, count=60)
    poses = np.stack([T, *(T @ exp_se3(rng.normal(scale=0.02, size=6)) for _ in range(6))])
    known = flat(features, predictions)
    assert np.allclose(score_poses(poses, known), score_poses_reference(poses, known), atol=0.05)
    some = np.array([3, 17, 41])
    assert np.allclose(score_poses(poses, known.of(some)),
                       score_poses_reference(poses, known.of(some)), atol=0.01)


def test_ranges_are_listed_in_order():
    owner, element = expand(np.array([4, 0, 9]), np.array([2, 0, 3]))
    assert owner.tolist() == [0, 0, 2, 2, 2] and element.tolist() == [4, 5, 9, 10, 11]


@pytest.mark.parametrize("hypotheses", [1, 8, 40])
def test_the_right_pose_is_proposed_among_many_hypotheses(hypotheses):
    """One hypothesis in eighty is right: random triplets would need half a million tries."""
    rng = np.random.default_rng(5)
    T, features, predictions, _ = scene(rng, count=900, outliers=0.5, hypotheses=hypotheses)
    poses = propose(flat(features, predictions), rng, 128)
    assert 0 < len(poses) <= 128
    near = [pose_error(pose, T)[0] < 0.2 for pose in poses]
    assert np.sum(near) >= 3
