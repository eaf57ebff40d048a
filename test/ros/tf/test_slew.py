"""Corrections of map -> odom are spread over time, at the robot; jumps elsewhere are not."""

import numpy as np
import pytest

from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error
from ace_slam_ros.ros.tf.slew import SlewLimit, slewed

T_ODOM_BASE = exp_se3(np.array([30.0, -10.0, 0.0, 0.0, 0.0, 1.0]))


def moved(x_m, yaw_rad):
    """T_map_odom that has the robot off by a distance and a turn about itself."""
    return T_ODOM_BASE @ exp_se3(np.array([x_m, 0, 0, 0, 0, yaw_rad])) @ invert_pose(T_ODOM_BASE)


@pytest.mark.parametrize("x_m, yaw_rad, step, left", [
    (0.5, 0.0, 0.1, (0.4, 0.0)),
    (0.0, 0.4, 0.1, (0.0, 0.3)),
    (0.4, 0.2, 0.1, (0.3, 0.15)),  # both arrive together
    (0.05, 0.09, 0.1, (0.0, 0.0)),  # within the step
    (1.2, 0.0, 0.1, (0.0, 0.0)),  # elsewhere: carried, or found again
    (0.1, 1.0, 0.1, (0.0, 0.0)),
])
def test_one_step_limits_the_robot_however_far_odometry_began(x_m, yaw_rad, step, left):
    T_true = moved(x_m, yaw_rad)
    T_next = slewed(np.eye(4), T_true, T_ODOM_BASE, step)
    off = pose_error(T_next @ T_ODOM_BASE, T_true @ T_ODOM_BASE)
    assert off == pytest.approx(left, abs=2e-3)


def test_a_correction_arrives_in_the_time_that_the_limit_says():
    limit, T_true = SlewLimit(0.25), moved(0.5, 0.1)
    assert limit.next(0.0, np.eye(4), T_ODOM_BASE) is not None and limit.left_m == 0.0
    left = []
    for n in range(1, 71):
        T_sent = limit.next(n / 30, T_true, T_ODOM_BASE)
        left.append(limit.left_m)
    assert max(-np.diff(left)) < 0.25 / 30 + 1e-6
    assert left[28] > 0.2 and left[-1] < 1e-9 and np.allclose(T_sent, T_true)


def test_after_a_break_the_truth_is_sent_at_once_and_without_a_limit_always():
    limit = SlewLimit(0.25)
    limit.next(0.0, np.eye(4), T_ODOM_BASE)
    limit.forget()
    assert np.allclose(limit.next(0.1, moved(0.5, 0.0), T_ODOM_BASE), moved(0.5, 0.0))
    free = SlewLimit(0.0)
    free.next(0.0, np.eye(4), T_ODOM_BASE)
    assert np.allclose(free.next(0.1, moved(0.5, 0.0), T_ODOM_BASE), moved(0.5, 0.0))
