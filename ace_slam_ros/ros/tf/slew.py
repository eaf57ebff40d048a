"""Corrections of map -> odom spread over time, so that a controller's costmap does not jump."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from ...core.geometry.se3 import exp_se3, invert_pose, make_pose, pose_error, rotation_vector

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

#: Farther away the robot is somewhere else (carried, found again): then it is told at once.
ELSEWHERE_M, ELSEWHERE_RAD = 1.0, 0.8


def slewed(
    T_map_odom_sent: Float64Array, T_map_odom: Float64Array, T_odom_base: Float64Array,
    step: float,
) -> Float64Array:
    """Return the transform to send next, on the way from the last one to the true one.

    What is limited is the robot: turning the map about a far origin of the odometry would carry
    it away. It comes `step` meters and `step` radians nearer to where it is, no more of either,
    both arriving together.

    Args:
        T_map_odom_sent: (4, 4) transform that was sent last.
        T_map_odom: (4, 4) transform that is true.
        T_odom_base: (4, 4) where the robot is by its odometry.
        step: meters, and radians.

    Returns:
        (4, 4) T_map_odom; the true one when it is within the step, or the robot is elsewhere.
    """
    T_sent, T_true = T_map_odom_sent @ T_odom_base, T_map_odom @ T_odom_base
    off_m, off_rad = pose_error(T_sent, T_true)
    if off_m > ELSEWHERE_M or off_rad > ELSEWHERE_RAD or max(off_m, off_rad) <= step:
        return T_map_odom
    share = step / max(off_m, off_rad)
    turn_3 = share * rotation_vector(T_sent[:3, :3].T @ T_true[:3, :3])
    R_33 = T_sent[:3, :3] @ exp_se3(np.concatenate([np.zeros(3), turn_3]))[:3, :3]
    t_3 = T_sent[:3, 3] + share * (T_true[:3, 3] - T_sent[:3, 3])
    return make_pose(R_33, t_3) @ invert_pose(T_odom_base)


class SlewLimit:
    """Limits how fast the sent map -> odom follows the true one; any thread may call it.

    Args:
        limit: meters and radians per second; 0 = at once.

    Attributes:
        left_m: how far the robot by TF is from where it is.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._sent: tuple[float, Float64Array] | None = None
        self.left_m = 0.0

    def next(
        self, now_s: float, T_map_odom: Float64Array, T_odom_base: Float64Array
    ) -> Float64Array:
        """Return the T_map_odom (4, 4) to send at a time; the first after `forget` is true."""
        if not self._limit:
            return T_map_odom
        with self._lock:
            T_next = T_map_odom
            if self._sent is not None:
                before_s, T_before = self._sent
                T_next = slewed(
                    T_before, T_map_odom, T_odom_base, self._limit * (now_s - before_s))
            self._sent = now_s, T_next
            self.left_m = pose_error(T_next @ T_odom_base, T_map_odom @ T_odom_base)[0]
            return T_next

    def forget(self) -> None:
        """Begin anew: nothing was sent for a while, or the map is another."""
        with self._lock:
            self._sent, self.left_m = None, 0.0
