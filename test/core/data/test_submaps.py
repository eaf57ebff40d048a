"""Submaps: numbers, corrections of poses in them, hypotheses apart."""

import numpy as np

from ace_slam_ros.core.data.poses import AlignedPose, SubmapPose
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.data.submaps import (
    MOST_SUBMAPS,
    SubmapMotion,
    by_submap,
    corrected,
    explain_submap,
    free_submap,
    only_submap,
)
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head, read_info, unpack_head


def test_the_lowest_free_number_is_taken():
    assert free_submap(()) == 1 and free_submap((1, 3)) == 2
    assert free_submap(range(1, MOST_SUBMAPS + 1)) is None
    assert explain_submap(0) == "" and "submap 3: place unknown" in explain_submap(3)


def test_a_correction_moves_the_poses_of_its_submap_alone():
    T = exp_se3(np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
    motions = {1: SubmapMotion(T, 0)}
    here = SubmapPose(np.eye(4), submap=2)
    assert corrected(here, motions) is here
    there = corrected(AlignedPose(np.eye(4), np.eye(6), 5, 9, submap=1), motions)
    assert there.submap == 0 and np.array_equal(there.T_map_cam, T) and there.inliers == 5


def test_hypotheses_of_other_submaps_are_dropped():
    coords, sigma = np.zeros((1, 3, 3), np.float32), np.ones((1, 3), np.float32)
    several = Predictions(coords, sigma, np.array([[0, 1, 1]], np.uint8))
    assert np.isfinite(only_submap(several, 1).sigma_m_NS).tolist() == [[False, True, True]]
    one = Predictions(coords, sigma)
    assert only_submap(one, 0) is one
    assert not np.isfinite(only_submap(one, 2).sigma_m_NS).any()
    assert list(by_submap(several, 1, (1, 3), everywhere=False)) == [1]
    assert list(by_submap(several, 1, (1, 3), everywhere=True)) == [0, 1, 3]


def test_weights_tell_revision_unjoined_submaps_and_poses():
    info = HeadInfo("m", "cafe", "affine", 3, 4, 7, (1, 3))
    poses = {5: SubmapPose(np.eye(4)), 9: SubmapPose(exp_se3(np.full(6, 0.25)), submap=3)}
    blob = pack_head({"a": np.ones(1)}, info, poses)
    assert read_info(blob) == info
    found = unpack_head(blob)
    assert found.info == info and list(found.arrays) == ["a"]
    assert {i: p.submap for i, p in found.keyframe_poses.items()} == {5: 0, 9: 3}
    assert np.allclose(found.keyframe_poses[9].T_map_cam, poses[9].T_map_cam, atol=1e-6)
    assert unpack_head(pack_head({"a": np.ones(1)}, info)).keyframe_poses == {}
