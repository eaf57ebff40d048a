"""The keyframe buffer: culling, and cells that moved."""

import numpy as np
from helpers.keyframes import keyframe, wall
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer


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
        victim = buffer.add(keyframe(k, np.eye(4), views[place] + centers[place]), np.eye(4))
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
            others.add(k, buffer.pose(k.id))
    return len(np.setdiff1d(buffer.coverage(), others.coverage()))


def test_moved_keyframes_cover_other_cells():
    rng = np.random.default_rng(0)
    buffer = KeyframeBuffer(3)
    buffer.add(keyframe(7, np.eye(4), wall(rng)), np.eye(4))
    before = buffer.coverage()
    buffer.move({7: exp_se3(np.array([5.0, 0, 0, 0, 0, 0]))})
    assert len(np.intersect1d(before, buffer.coverage())) == 0 and len(before) > 5
    assert np.allclose(buffer.pose(7)[:3, 3], (5, 0, 0)) and 7 in buffer and len(buffer) == 1
