"""The keyframe buffer: culling, and cells that moved."""

import numpy as np
from helpers.keyframes import keyframe, wall
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer, covered_cells


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(8, 12), st.integers(2, 20))
def test_culling_loses_no_cell_while_a_keyframe_is_redundant(seed, capacity, places):
    rng = np.random.default_rng(seed)
    buffer = KeyframeBuffer(capacity, newest=5)
    centers = rng.uniform(-20, 20, (places, 3))
    views = [wall(rng) for _ in range(places)]
    for k in range(2 * capacity):
        place = int(rng.integers(places))
        before = buffer.coverage()
        old = buffer.ids[: len(buffer) + 1 - 5]
        sole = [alone(buffer, i) for i in old]
        new = keyframe(k, np.eye(4), views[place] + centers[place])
        victim = buffer.add(new, SubmapPose(np.eye(4)))
        after = buffer.coverage()
        assert len(buffer) <= capacity and buffer.ids[-5:] == list(range(max(0, k - 4), k + 1))
        if victim is not None:
            lost = len(np.setdiff1d(before, after))
            assert victim in old and lost <= min(sole)
        else:
            assert len(np.setdiff1d(before, after)) == 0


def alone(buffer, identifier):
    """How many cells only one keyframe of the buffer covers."""
    others = KeyframeBuffer(1000)
    for k in buffer.keyframes:
        if k.id != identifier:
            others.add(k, buffer.poses[k.id])
    return len(np.setdiff1d(buffer.coverage(), others.coverage()))


def test_moved_keyframes_cover_other_cells():
    rng = np.random.default_rng(0)
    buffer = KeyframeBuffer(3)
    buffer.add(keyframe(7, np.eye(4), wall(rng)), SubmapPose(np.eye(4)))
    before = buffer.coverage()
    buffer.correct({7: SubmapPose(exp_se3(np.array([5.0, 0, 0, 0, 0, 0])))})
    assert len(np.intersect1d(before, buffer.coverage())) == 0 and len(before) > 5
    assert np.allclose(buffer.pose(7)[:3, 3], (5, 0, 0)) and 7 in buffer and len(buffer) == 1


def test_poses_of_earlier_revisions_are_remembered_for_a_while():
    buffer = KeyframeBuffer(3)
    poses = [SubmapPose(exp_se3(np.array([float(k), 0, 0, 0, 0, 0])), submap=k % 2)
             for k in range(30)]
    buffer.add(keyframe(7, np.eye(4), wall(np.random.default_rng(0))), poses[0])
    for pose in poses[1:]:
        buffer.correct({})  # another part of the map moved
        buffer.correct({7: pose})
    assert buffer.revision == 58
    for k in range(14, 30):
        assert buffer.pose_at(7, 2 * k) is buffer.pose_at(7, 2 * k + 1)
        assert np.array_equal(buffer.pose_at(7, 2 * k).T_map_cam, poses[k].T_map_cam)
        assert buffer.pose_at(7, 2 * k).submap == k % 2
    assert np.array_equal(buffer.pose_at(7, 0).T_map_cam, poses[13].T_map_cam), "the oldest known"


def test_submaps_at_the_same_coordinates_cover_different_cells():
    points = wall(np.random.default_rng(0))
    here, there = (covered_cells(keyframe(0, np.eye(4), points), SubmapPose(np.eye(4), submap=k))
                   for k in (0, 1))
    assert len(here) == len(there) and len(np.intersect1d(here, there)) == 0
