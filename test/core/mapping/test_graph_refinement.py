"""Refinement of the graph: loops closed, references followed, rest."""

from dataclasses import replace

import numpy as np
from helpers.keyframes import keyframe, loop, ring, wall, worst_m

from ace_slam_ros.core.config.sections import (
    SlamConfig,
)
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.mapping.graph_refinement import GraphRefinement
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer


class _TrueLoops:
    """Stands in for image alignment: what it proves is true."""

    def __init__(self, true, rng):
        self.true, self.rng = true, rng

    def __call__(self, a, b):
        return loop(self.rng, self.true, a, b)


def drifting(monkeypatch, drift):
    """A refinement that was fed a drifted ring twice round, and the truth."""
    rng = np.random.default_rng(4)
    true, drifted, odometry = ring(rng, count=40, radius_m=1.0, bias_rad=drift)
    steps = {e.b: e.T_a_b for e in odometry}
    buffer = KeyframeBuffer(400)
    refinement = GraphRefinement(SlamConfig(), buffer)
    monkeypatch.setattr(refinement._finder, "verify", _TrueLoops(true, rng))
    for k in sorted(true):
        frame = keyframe(k, drifted[k], wall(rng), None if k == 0 else (k - 1, steps[k]))
        buffer.add(frame, refinement.place(frame))
        refinement.add(frame)
    return refinement, buffer, true


def present(buffer):
    return {i: buffer.pose(i) for i in buffer.ids}


def settle(refinement, buffer):
    steps = corrections = 0
    while refinement.wants_work:
        refinement.step()
        poses = refinement.correction()
        if poses is not None:
            buffer.correct({i: SubmapPose(T) for i, T in poses.items()})
            corrections += 1
        steps += 1
        assert steps < 1000
    return steps, corrections


def test_refinement_closes_the_loop_and_comes_to_rest(monkeypatch):
    refinement, buffer, true = drifting(monkeypatch, 0.001)
    before = worst_m(present(buffer), true)
    steps, corrections = settle(refinement, buffer)
    assert corrections >= 1 and worst_m(present(buffer), true) < 0.5 * before
    assert steps <= 6 * len(true) and not refinement.wants_work
    assert refinement.correction() is None


def test_a_keyframe_follows_the_corrections_that_its_tracker_missed():
    rng = np.random.default_rng(0)
    buffer = KeyframeBuffer(10)
    refinement = GraphRefinement(SlamConfig(), buffer)
    first = keyframe(0, np.eye(4), wall(rng))
    buffer.add(first, refinement.place(first))
    refinement.add(first)
    moved = [exp_se3(np.array([0.1 * k, 0, 0, 0, 0, 0.1 * k])) for k in range(4)]
    for T in moved[1:]:
        buffer.correct({0: SubmapPose(T)})
    step = exp_se3(np.array([0.2, 0, 0, 0, 0, 0]))
    for revision, T in enumerate(moved):  # several corrections in flight are told apart
        for reference in ((0, step), None):
            sent = replace(keyframe(1, T @ step, wall(rng), reference), map_revision=revision)
            assert np.allclose(refinement.place(sent).T_map_cam, moved[-1] @ step)


def test_without_the_graph_nothing_is_done(monkeypatch):
    rng = np.random.default_rng(0)
    config = SlamConfig().with_values({"mapper.pose_graph": False})
    buffer = KeyframeBuffer(10)
    refinement = GraphRefinement(config, buffer)
    for k in range(12):
        frame = keyframe(k, np.eye(4), wall(rng))
        victim = buffer.add(frame, SubmapPose(np.eye(4)))
        if victim is not None:
            refinement.forget(victim)
        refinement.add(frame)
    assert not refinement.wants_work and len(refinement.graph) == 0
