"""Odometry that is late, of another clock, or gone: the right map -> odom, or a reason."""

import numpy as np
import pytest

from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose
from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.odometry import OdometryLink
from ace_slam_ros.ros.tf.tree import TransformTree

MS = 10**6
DRIFT = exp_se3(np.array([0.1, -0.2, 0.0, 0.3, 0.1, 0.0]))


def robot(ns):
    """Pose of the base in the map: it drives and turns."""
    s = ns / 1e9
    return exp_se3(np.array([0.0, 0.0, 0.5 * s, 0.8 * s, 0.0, 0.0]))


class Drive:
    """A camera at 30 Hz and odometry at 50 Hz, `late_s` behind, `shift_s` off in its stamps."""

    def __init__(self, late_s=0.0, shift_s=0.0, static_footprint=False):
        self.tree, self.late_ns, self.shift_ns = TransformTree(), int(late_s * 1e9), int(
            shift_s * 1e9)
        self.child = "base_footprint" if static_footprint else "base_link"
        if static_footprint:
            self.tree.add(StampedTransform("base_footprint", "base_link", 0, np.eye(4)), True)
        self.link = OdometryLink(RosConfig(), self.tree)

    def run(self, begin_ms, end_ms, with_odometry=True):
        for ms in range(begin_ms, end_ms, 10):
            ns = ms * MS
            if with_odometry and ms % 20 == 0:
                at_ns = ns - self.late_ns
                self.tree.add(StampedTransform(
                    "odom", self.child, at_ns + self.shift_ns, invert_pose(DRIFT) @ robot(at_ns)),
                    False)
            if ms % 30 == 0:
                self.link.add(ns - 30 * MS, robot(ns - 30 * MS))
            self.link.update()


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("static_footprint", [False, True])
def test_late_odometry_gives_the_right_transform(late_s, static_footprint):
    drive = Drive(late_s, static_footprint=static_footprint)
    drive.run(10_000, 13_000)
    assert drive.link.known and not drive.link.problem()
    assert np.allclose(drive.link.T_map_odom, DRIFT, atol=1e-3), "not the newest, the fitting one"
    assert abs(drive.link.lag_s() - (late_s - 0.03)) < 0.04


@pytest.mark.parametrize(("late_s", "shift_s", "said"), [
    (0.8, 0.0, "behind the images"), (0.0, -5000.0, "behind the images"),
    (0.0, 5000.0, "ahead of the images")])
def test_clocks_that_differ_give_nothing_and_a_reason(late_s, shift_s, said):
    drive = Drive(late_s, shift_s)
    drive.run(10_000, 13_000)
    assert drive.link.known, "the base has a parent, whatever the clocks say"
    assert drive.link.T_map_odom is None
    assert said in drive.link.problem() and "ros.odom_tolerance_s is 0.5 s" in drive.link.problem()


def test_odometry_that_stops_is_not_used_for_ever():
    drive = Drive(0.1)
    drive.run(10_000, 12_000)
    drive.run(12_000, 12_300, with_odometry=False)
    assert drive.link.T_map_odom is not None, "a short pause is none"
    drive.run(12_300, 13_000, with_odometry=False)
    assert drive.link.T_map_odom is None and "behind the images" in drive.link.problem()
    drive.run(13_000, 13_500)
    assert np.allclose(drive.link.T_map_odom, DRIFT, atol=1e-3) and not drive.link.problem()


def test_without_odometry_nothing_is_said():
    drive = Drive()
    drive.run(10_000, 12_000, with_odometry=False)
    assert not drive.link.known and not drive.link.problem() and drive.link.T_map_odom is None
    drive.link.interrupt()
    assert not drive.link._waiting


def test_static_odometry_fits_any_time():
    drive = Drive()
    drive.tree.add(StampedTransform("odom", "base_link", 5, np.eye(4)), True)
    drive.run(10_000, 10_100, with_odometry=False)
    assert drive.link.known and drive.link.T_map_odom is not None and not drive.link.problem()
