"""The pose graph: drifted loops closed, wrong edges rejected."""

import numpy as np
from helpers.keyframes import loop, ring, worst_m

from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.mapping.pose_graph import PoseGraph


def in_map(poses):
    return {k: SubmapPose(T) for k, T in poses.items()}


def test_a_drifted_loop_is_closed_and_wrong_edges_are_rejected():
    rng = np.random.default_rng(0)
    true, drifted, odometry = ring(rng)
    graph = PoseGraph()
    for edge in odometry:
        graph.add(edge)
    alone_ = graph.optimize(in_map(drifted))
    assert worst_m(alone_.poses, drifted) < 1e-6 and alone_.rejected == 0
    for k in range(6):
        graph.add(loop(rng, true, k, 54 + k))
    wrong = [(5, 40, np.eye(4)), (12, 45, exp_se3(np.array([1.0, 0, 0, 0, 0, 0.3])))]
    for a, b, T in wrong:
        graph.add(loop(rng, true, a, b, T))
    found = graph.optimize(in_map(drifted))
    assert worst_m(drifted, true) > 0.2 and worst_m(found.poses, true) < 0.05
    assert found.rejected == 2 and found.error_after < 0.5 * found.error_before
    assert np.allclose(found.poses[0], drifted[0])
    again = graph.optimize(in_map(drifted))
    assert all(np.array_equal(found.poses[k], again.poses[k]) for k in true)


def test_a_single_wrong_loop_changes_nothing():
    rng = np.random.default_rng(1)
    true, drifted, odometry = ring(rng, bias_rad=0.0)
    graph = PoseGraph()
    for edge in odometry:
        graph.add(edge)
    graph.add(loop(rng, true, 3, 33, np.eye(4)))
    found = graph.optimize(in_map(drifted))
    assert found.rejected == 1 and worst_m(found.poses, drifted) < 1e-3


def test_a_removed_keyframe_leaves_the_others_joined():
    rng = np.random.default_rng(2)
    true, _, odometry = ring(rng, count=12)
    graph = PoseGraph()
    for edge in odometry:
        graph.add(edge)
    graph.add(loop(rng, true, 1, 11))
    size = len(graph)
    for gone in (4, 5, 1, 7):
        graph.remove(gone)
        assert len(graph) < size
        size = len(graph)
    left = sorted(set(true) - {4, 5, 1, 7})
    reached, frontier = {left[0]}, [left[0]]
    while frontier:
        for edge in graph.at(frontier.pop()):
            if edge.b not in reached:
                reached.add(edge.b)
                frontier.append(edge.b)
            assert edge.squared_error(true[edge.a], true[edge.b]) < 60
    assert reached == set(left)
