"""Our transform tree answers as tf2's buffer does, whatever the robot broadcasts."""

import importlib

import numpy as np
import pytest
from helpers import robot_libraries
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.time import Time

from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.ros.messages.poses import transform_from_msg
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.tree import TransformTree

MS = 10**6
BASE_NS = 100 * 10**9


class OurTree:
    def __init__(self):
        self.tree = TransformTree()

    def add(self, transform, static):
        self.tree.add(transform, static)

    def lookup(self, target, source, stamp_ns):
        return self.tree.lookup(target, source, stamp_ns)

    def newest_ns(self, target, source):
        return self.tree.newest_ns(target, source)

    def clear(self):
        self.tree.clear()


class Tf2Buffer:
    """tf2_ros's buffer, or its stand-in; used as `Tf2Transforms` uses it."""

    def __init__(self, library):
        self.library, self.buffer = library, library.Buffer()

    def add(self, transform, static):
        store = self.buffer.set_transform_static if static else self.buffer.set_transform
        store(transform.to_msg(), "test")

    def lookup(self, target, source, stamp_ns):
        try:
            found = self.buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except self.library.TransformException:
            return None
        return transform_from_msg(found.transform)

    def newest_ns(self, target, source):
        try:
            found = self.buffer.lookup_transform(target, source, Time())
        except self.library.TransformException:
            return None
        return Time.from_msg(found.header.stamp).nanoseconds

    def clear(self):
        self.buffer.clear()


@pytest.fixture(scope="module")
def tf2():
    real = "tf2_ros" in robot_libraries.INSTALLED
    return importlib.import_module("tf2_ros") if real else robot_libraries


def transform(parent, child, offset_ms, seed):
    T_44 = exp_se3(np.random.default_rng(seed).normal(size=6))
    return StampedTransform(parent, child, BASE_NS + offset_ms * MS, T_44)


FRAMES = st.integers(0, 4)
OFFSETS = st.integers(0, 40).map(lambda k: 50 * k)  # frames share their stamps
EVENTS = st.lists(st.tuples(
    FRAMES, FRAMES, OFFSETS, st.sampled_from(["moving"] * 6 + ["static"] * 2 + ["clear"])),
    max_size=30)
QUESTIONS = st.lists(
    st.tuples(FRAMES, FRAMES, st.integers(-100, 2100)), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(EVENTS, QUESTIONS)
def test_same_answers(tf2, events, questions):
    ours, theirs = OurTree(), Tf2Buffer(tf2)
    said = set()  # two transforms of a frame with one stamp: tf2's releases differ
    for i, (a, b, offset_ms, what) in enumerate(events):
        parent, child = min(a, b), max(a, b)
        if what == "clear":
            ours.clear()
            theirs.clear()
        elif parent != child and (child, offset_ms) not in said:
            # A tree: the parent always has the smaller number.
            said.add((child, offset_ms))
            for side in (ours, theirs):
                side.add(transform(f"f{parent}", f"f{child}", offset_ms, i), what == "static")
    for a, b, offset_ms in questions:
        stamp_ns = BASE_NS + offset_ms * MS
        found, expected = (s.lookup(f"f{a}", f"f{b}", stamp_ns) for s in (ours, theirs))
        assert (found is None) == (expected is None), (events, a, b, offset_ms, found, expected)
        if found is not None:
            assert np.allclose(found, expected, atol=1e-9)


@pytest.fixture(params=["ours", "tf2"])
def side(request, tf2):
    return OurTree() if request.param == "ours" else Tf2Buffer(tf2)


def test_a_frame_is_where_it_is_even_when_nobody_knows_it(side):
    assert np.allclose(side.lookup("camera", "camera", BASE_NS), np.eye(4))
    assert side.lookup("base", "camera", BASE_NS) is None


def test_between_two_parents_the_older_one_holds(side):
    before, after = transform("map", "base", 0, 1), transform("odom", "base", 100, 2)
    side.add(before, False)
    side.add(after, False)
    assert np.allclose(side.lookup("map", "base", BASE_NS + 50 * MS), before.T_parent_child)
    assert side.lookup("odom", "base", BASE_NS + 50 * MS) is None
    assert np.allclose(side.lookup("odom", "base", BASE_NS + 100 * MS), after.T_parent_child)


def test_the_newest_kind_of_a_frame_counts(side):
    fixed, moving = transform("base", "camera", 0, 1), transform("base", "camera", 100, 2)
    side.add(fixed, True)
    assert side.lookup("base", "camera", BASE_NS + 10**12) is not None
    side.add(moving, False)
    assert side.lookup("base", "camera", BASE_NS + 10**12) is None
    assert np.allclose(side.lookup("base", "camera", BASE_NS + 100 * MS), moving.T_parent_child)
    side.add(fixed, True)
    assert np.allclose(side.lookup("base", "camera", BASE_NS + 10**12), fixed.T_parent_child)


def test_the_newest_common_time(side):
    """What late odometry is judged by: that of the slowest frame on the way, 0 where all stand."""
    side.add(transform("base", "camera", 0, 1), True)
    assert side.newest_ns("base", "camera") == 0
    assert side.newest_ns("odom", "camera") is None
    for offset_ms in (0, 100, 300):
        side.add(transform("odom", "footprint", offset_ms, 2), False)
    for offset_ms in (0, 200):
        side.add(transform("footprint", "base", offset_ms, 3), False)
    assert side.newest_ns("odom", "camera") == BASE_NS + 200 * MS == side.newest_ns(
        "camera", "odom")
    assert side.newest_ns("odom", "footprint") == BASE_NS + 300 * MS


def test_a_half_turn_moves_on_a_straight_line(side):
    turned = np.eye(4)
    turned[:3, :3], turned[:3, 3] = np.diag([-1.0, -1.0, 1.0]), [2.0, 0.0, 0.0]
    turned[0, 1], turned[1, 0] = -1e-3, 1e-3  # which way it turns is decided
    turned[:3, :3] = np.linalg.qr(turned[:3, :3])[0] @ np.diag(
        np.sign(np.diag(np.linalg.qr(turned[:3, :3])[1])))
    side.add(StampedTransform("odom", "base", BASE_NS, np.eye(4)), False)
    side.add(StampedTransform("odom", "base", BASE_NS + 100 * MS, turned), False)
    found = side.lookup("odom", "base", BASE_NS + 25 * MS)
    assert np.allclose(found[:3, 3], [0.5, 0.0, 0.0])
    assert abs(abs(np.arctan2(found[1, 0], found[0, 0])) - np.pi / 4) < 1e-3
