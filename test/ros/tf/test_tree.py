"""The transform tree against composing by hand."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose
from ace_slam_ros.ros.config import RosConfig
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
    turned = Slerp([0, 1], Rotation.from_matrix([T_a[:3, :3], T_b[:3, :3]]))(0.25)
    assert np.allclose(quarter[:3, :3], turned.as_matrix())
    assert np.allclose(quarter[:3, 3], 0.75 * T_a[:3, 3] + 0.25 * T_b[:3, 3])
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


def test_one_repeated_stamp_and_many_frames_are_bounded():
    """The same stamp again and again grew without end."""
    tree = TransformTree()
    for _ in range(50):
        newest = pose()
        tree.add(StampedTransform("odom", "base", SECOND, newest), False)
    assert len(tree._moving["base"]) == 1
    assert np.allclose(tree.lookup("odom", "base", SECOND), newest)
    T_44 = pose()
    for i in range(tree.MOST_KEPT + 50):
        tree.add(StampedTransform("odom", "base", SECOND + i, T_44), False)
    assert len(tree._moving["base"]) == tree.MOST_KEPT
    with pytest.raises(DataError, match="1000 frames"):
        for i in range(tree.MOST_FRAMES):
            tree.add(StampedTransform("map", f"frame{i}", 0, T_44), i % 2 == 0)
    tree.add(StampedTransform("odom", "base", 2 * SECOND, T_44), False)  # known ones go on


def test_frame_ids_as_people_write_them():
    """With and without a leading slash, as ROS 1 bridges and old drivers send them."""
    tree, T_base_cam = TransformTree(), pose()
    tree.add(StampedTransform("/base_link", "/cam", 5, T_base_cam), True)
    for target, source in (("base_link", "cam"), ("/base_link", "/cam"), (" base_link", "cam ")):
        assert np.allclose(tree.lookup(target, source, 5), T_base_cam)
    config = RosConfig(map_frame="/map", odom_frame="", base_frame=" /base_link")
    assert (config.map_frame, config.odom_frame, config.base_frame) == ("map", "", "base_link")
