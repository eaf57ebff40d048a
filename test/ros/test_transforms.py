"""The transform tree against composing by hand, and the camera's place on the robot."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.config.sections import RosConfig
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import (
    R_BODY_OPTICAL_33,
    exp_se3,
    invert_pose,
    log_se3,
    make_pose,
)
from ace_slam_ros.ros.inputs.extrinsic import Extrinsic, check_optical
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.tree import TransformTree

SECOND = 10**9
rng = np.random.default_rng(3)


def pose():
    return exp_se3(rng.normal(size=6) * 0.5)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_any_two_frames_of_a_random_tree(parents, a, b):
    """Frame i+1 hangs below frame min(parents[i], i): compare with poses in the root."""
    tree, T_root = TransformTree(), [np.eye(4)]
    for child, parent in enumerate(parents, 1):
        parent = min(parent, child - 1)
        T_parent_child = pose()
        T_root.append(T_root[parent] @ T_parent_child)
        tree.add(StampedTransform(f"f{parent}", f"f{child}", 5, T_parent_child), child % 2 == 0)
    found = tree.lookup(f"f{a}", f"f{b}", 5)
    if a == b:
        assert np.allclose(found, np.eye(4))
    elif max(a, b) > len(parents):
        assert found is None
    else:
        assert np.allclose(found, invert_pose(T_root[a]) @ T_root[b], atol=1e-9)


def test_moving_frames_interpolate_and_never_extrapolate():
    tree, T_a, T_b = TransformTree(), pose(), pose()
    tree.add(StampedTransform("odom", "base", 3 * SECOND, T_b), False)
    tree.add(StampedTransform("odom", "base", 1 * SECOND, T_a), False)  # out of order
    quarter = tree.lookup("odom", "base", 3 * SECOND // 2)
    assert np.allclose(quarter, T_a @ exp_se3(0.25 * log_se3(invert_pose(T_a) @ T_b)))
    assert np.allclose(tree.lookup("base", "odom", 3 * SECOND), invert_pose(T_b))
    assert tree.lookup("odom", "base", 3 * SECOND + 1) is None
    assert tree.lookup("odom", "base", SECOND - 1) is None
    assert tree.lookup("odom", "nothing", SECOND) is None


def test_memory_is_bounded_and_a_new_bag_pass_starts_anew():
    tree = TransformTree()
    for i in range(3000):
        stamp_ns = 100 * SECOND + i * SECOND // 50
        tree.add(StampedTransform("odom", "base", stamp_ns, pose()), False)
    assert len(tree._moving["base"]) <= 502
    T_new = pose()
    tree.add(StampedTransform("odom", "base", 100 * SECOND, T_new), False)
    assert np.allclose(tree.lookup("odom", "base", 100 * SECOND), T_new)
    assert len(tree._moving["base"]) == 1


def test_clearing_keeps_static_frames():
    tree, T_mount = TransformTree(), pose()
    tree.add(StampedTransform("odom", "base", SECOND, pose()), False)
    tree.add(StampedTransform("base", "camera", 0, T_mount), True)
    tree.clear()
    assert tree.lookup("odom", "base", SECOND) is None
    assert np.allclose(tree.lookup("base", "camera", SECOND), T_mount)


def test_nothing_is_added_while_another_thread_looks_up():
    """Otherwise the list shrinks between the search and the access."""
    tree, T_odom_base = TransformTree(), pose()
    transform = StampedTransform("odom", "base", SECOND, T_odom_base)
    tree.add(transform, False)
    chain, waited = tree._chain, []

    def chain_while_another_adds(frame, stamp_ns):
        adder = threading.Thread(target=tree.add, args=(transform, False))
        adder.start()
        adder.join(0.05)
        waited.append(adder.is_alive())
        return chain(frame, stamp_ns)

    tree._chain = chain_while_another_adds
    assert np.allclose(tree.lookup("odom", "base", SECOND), T_odom_base)
    assert waited == [True, True]


def test_a_loop_of_frames_ends():
    tree = TransformTree()
    tree.add(StampedTransform("a", "b", 0, pose()), True)
    tree.add(StampedTransform("b", "a", 0, pose()), True)
    assert tree.lookup("a", "c", 0) is None


class Graph:
    """What Extrinsic needs of a node and of TF."""

    available = True

    def __init__(self):
        self.T_base_cam, self.publishers, self.said = None, 0, []

    def get_logger(self):
        return SimpleNamespace(warning=self.said.append, info=self.said.append)

    def count_publishers(self, topic):
        return self.publishers

    def lookup(self, target, source, stamp_ns):
        assert (target, source) == ("base_link", "cam_frame")
        return self.T_base_cam


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr("ace_slam_ros.ros.inputs.extrinsic.time", SimpleNamespace(
        monotonic=lambda: now[0]))
    return now


OPTICAL = make_pose(R_BODY_OPTICAL_33, np.array([0.2, 0.0, 0.5]))


def test_extrinsic_from_the_parameter(clock):
    found = Extrinsic(Graph(), RosConfig(camera_extrinsic="1 2 3 0 0 0 1"), Graph())
    assert np.allclose(found.at("cam_frame", 0)[:3, 3], [1, 2, 3]) and found.source == "parameter"


def test_extrinsic_from_tf_is_awaited_then_followed(clock):
    graph = Graph()
    graph.publishers = 2
    extrinsic = Extrinsic(graph, RosConfig(), graph)
    assert extrinsic.at("cam_frame", 0) is None
    graph.T_base_cam = OPTICAL
    assert np.array_equal(extrinsic.at("cam_frame", 1), OPTICAL) and extrinsic.source == "TF"
    moved = OPTICAL @ exp_se3(np.array([0, 0, 0, 0, 0.3, 0]))
    graph.T_base_cam = moved
    assert np.array_equal(extrinsic.at("cam_frame", 2), moved)
    graph.T_base_cam = None
    assert np.array_equal(extrinsic.at("cam_frame", 3), moved)


@pytest.mark.parametrize("publishers", [0, 2])
def test_extrinsic_is_assumed_when_nobody_knows(clock, publishers):
    graph = Graph()
    graph.publishers = publishers
    extrinsic = Extrinsic(graph, RosConfig(), graph)
    first = extrinsic.at("cam_frame", 0)
    assert (first is None) == bool(publishers)
    clock[0] += Extrinsic.WAIT_S
    assumed = extrinsic.at("cam_frame", 1)
    assert extrinsic.source == "assumed"
    # the viewing direction is the base's x axis, the image's upper edge points along z
    assert np.allclose(assumed[:3, :3] @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(assumed[:3, :3] @ [0, -1, 0], [0, 0, 1])


def test_late_tf_is_told_and_adopted_by_the_next_map(clock):
    graph = Graph()
    extrinsic = Extrinsic(graph, RosConfig(), graph)
    assumed = extrinsic.at("cam_frame", 0)
    assert "set ros.camera_extrinsic" in extrinsic.problem()
    assert graph.said == [extrinsic.problem()]  # the log says it as well, once
    graph.T_base_cam = OPTICAL
    for stamp_ns in (1, 2):
        assert np.array_equal(extrinsic.at("cam_frame", stamp_ns), assumed)
    assert len(graph.said) == 2 and "reset service" in extrinsic.problem()
    extrinsic.forget()
    assert np.array_equal(extrinsic.at("cam_frame", 3), OPTICAL)
    assert extrinsic.source == "TF" and not extrinsic.problem()
    assert "from TF" in graph.said[2]


def test_an_optical_joint_without_rotation_is_refused_with_the_fix():
    forgotten = make_pose(np.eye(3), np.array([0.2, 0.0, 0.5]))
    with pytest.raises(DataError, match='rpy="-1.5708 0 -1.5708"'):
        check_optical("camera_optical_frame", forgotten)
    check_optical("camera_optical_frame", OPTICAL)
    ceiling = exp_se3(np.array([0, 0, 0, 0, 0, 0.5])) @ forgotten  # looks up, turned about z
    check_optical("camera_optical_frame", ceiling)


def test_a_body_pose_as_parameter_is_a_warning(clock):
    found = Extrinsic(Graph(), RosConfig(camera_extrinsic="0.2 0 0.5 0 0 0 1"), Graph())
    assert "-0.5 0.5 -0.5 0.5" in found.problem()
    ahead = Extrinsic(
        Graph(), RosConfig(camera_extrinsic="0.2 0 0.5 -0.5 0.5 -0.5 0.5"), Graph())
    assert not ahead.problem() and np.allclose(ahead.at("cam", 0), OPTICAL)


def test_a_body_frame_is_refused_with_the_fix(clock):
    graph = Graph()
    graph.T_base_cam = make_pose(np.eye(3), np.array([0.2, 0.0, 0.5]))
    with pytest.raises(DataError, match="optical"):
        Extrinsic(graph, RosConfig(), graph).at("cam_frame", 0)
