"""Proposed poses and their scores against slow twins."""

import numpy as np
import pytest
from helpers.coordinates import flat, scene

from ace_slam_ros.core.geometry.rigid_alignment import kabsch_batch
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.localization.proposals import (
    align_triplets,
    propose,
    propose_reference,
)
from ace_slam_ros.core.localization.ranges import expand
from ace_slam_ros.core.localization.scoring import score_poses, score_poses_reference


def test_scores_equal_the_slow_twin():
    rng = np.random.default_rng(4)
    T, features, predictions, _ = scene(rng, count=60)
    poses = np.stack([T, *(T @ exp_se3(rng.normal(scale=0.02, size=6)) for _ in range(6))])
    known = flat(features, predictions)
    for some in (np.arange(len(known.y_n3)), np.array([3, 17, 41])):
        assert np.allclose(score_poses(poses, known, some),
                           score_poses_reference(poses, known, some), rtol=1e-4)


def test_ranges_are_listed_in_order():
    owner, element = expand(np.array([4, 0, 9]), np.array([2, 0, 3]))
    assert owner.tolist() == [0, 0, 2, 2, 2] and element.tolist() == [4, 5, 9, 10, 11]


def test_triangles_are_aligned_as_by_the_slow_twin():
    rng = np.random.default_rng(9)
    y, x = rng.normal(size=(2, 90, 3)).astype(np.float32)
    here, there = np.arange(90).reshape(30, 3), rng.permutation(90).reshape(30, 3)
    x[there[:20]] = y[here[:20]] @ exp_se3(rng.normal(size=6))[:3, :3].T.astype(np.float32) + 1
    found = np.empty((30, 4, 4))
    align_triplets(y, x, here, there, found)
    expected = kabsch_batch(y[here].astype(np.float64), x[there].astype(np.float64))
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("hypotheses", [1, 8, 40])
def test_the_right_pose_is_proposed_among_many_hypotheses(hypotheses):
    """One hypothesis in eighty is right: random triplets would need half a million tries."""
    rng = np.random.default_rng(5)
    T, features, predictions, _ = scene(rng, count=900, outliers=0.5, hypotheses=hypotheses)
    poses = propose(flat(features, predictions), rng, 128)
    assert 0 < len(poses) <= 128
    near = [pose_error(pose, T)[0] < 0.2 for pose in poses]
    assert np.sum(near) >= 3


@pytest.mark.parametrize("hypotheses", [1, 4, 12])
def test_as_many_poses_are_right_as_those_of_the_slow_twin(hypotheses):
    rng = np.random.default_rng(6)
    share = {propose: [], propose_reference: []}
    for _ in range(12):
        T, features, predictions, _ = scene(rng, outliers=0.7, hypotheses=hypotheses)
        known = flat(features, predictions)
        for find, near in share.items():
            near.extend(pose_error(pose, T)[0] < 0.2 for pose in find(known, rng, 128))
    assert np.mean(share[propose]) > 0.9 * np.mean(share[propose_reference])
