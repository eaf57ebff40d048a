"""Brings poses in the map together with the robot's odometry, which may come later."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from ...core.geometry.se3 import invert_pose

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ..config import RosConfig
    from .interface import Transforms

_NS = 1_000_000_000
#: More poses than a camera gives within the largest tolerance are not worth their memory.
_MOST = 600


class OdometryLink:
    """Gives `T_map_odom` of the newest pose whose time odometry has reached.

    Odometry that is a tenth of a second behind the images is the rule, not a fault: a pose waits
    for it, up to `ros.odom_tolerance_s`. Beyond, clocks differ or odometry has stopped, and there
    is no `T_map_odom`: pairing times that do not belong together would shift the robot.

    Any thread may call it.

    Attributes:
        known: the odometry frame and the base were once connected, so that somebody else gives
            the base its parent.
        T_map_odom: pose of the odometry frame in the map, None while it is not known.
        T_odom_base: where odometry had the robot when that was computed.
    """

    def __init__(self, config: RosConfig, transforms: Transforms) -> None:
        self._frames = config.odom_frame, config.base_frame
        self._transforms = transforms
        self._tolerance_ns = round(config.odom_tolerance_s * _NS)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Float64Array]] = deque(maxlen=_MOST)
        self._last_ns: int | None = None
        self._used_ns = self._begun_ns = 0
        self._newest_ns: int | None = None
        self.known = False
        self.T_map_odom: Float64Array | None = None
        self.T_odom_base: Float64Array | None = None

    def add(self, stamp_ns: int, T_map_base: Float64Array) -> None:
        """Add the pose of the base in the map at a time."""
        with self._lock:
            if self._last_ns is None:
                self._begun_ns = self._used_ns = stamp_ns
            self._last_ns = stamp_ns
            self._waiting.append((stamp_ns, T_map_base))
            while self._waiting[0][0] < stamp_ns - self._tolerance_ns:
                self._waiting.popleft()
        self.update()

    def update(self) -> None:
        """Look whether odometry has reached poses that wait for it."""
        with self._lock:
            if self._last_ns is None or not self._frames[0]:
                return
            newest_ns = self._newest_ns = self._transforms.newest_ns(*self._frames)
            if newest_ns is None:
                return self._forget_late(self._last_ns)
            self.known = True
            reached = [w for w in self._waiting if newest_ns == 0 or w[0] <= newest_ns]
            if reached:
                stamp_ns, T_map_base = reached[-1]
                T_odom_base = self._transforms.lookup(*self._frames, stamp_ns)
                if T_odom_base is not None:
                    self.T_odom_base = T_odom_base
                    self.T_map_odom = T_map_base @ invert_pose(T_odom_base)
                    self._used_ns = stamp_ns
                    while self._waiting and self._waiting[0][0] <= stamp_ns:
                        self._waiting.popleft()
            self._forget_late(self._last_ns)

    def _forget_late(self, last_ns: int) -> None:
        if last_ns - self._used_ns > self._tolerance_ns:
            self.T_map_odom = None

    def problem(self) -> str:
        """Say that odometry is known but of another time than the images; empty when it fits."""
        with self._lock:
            if (not self.known or self._last_ns is None or self.T_map_odom is not None
                    or self._last_ns - self._begun_ns <= self._tolerance_ns):
                return ""
            odom, base = self._frames
            return (f"TF {odom} -> {base} {self._gap()}, ros.odom_tolerance_s is "
                    f"{self._tolerance_ns / _NS:g} s: TF of the map is not sent; synchronize the "
                    "clocks of camera and odometry, or see why odometry is late")

    def lag_s(self) -> float | None:
        """Return how far odometry is behind the newest pose, None while that is not known."""
        if self._last_ns is None or not self._newest_ns:
            return None
        return (self._last_ns - self._newest_ns) / _NS

    def _gap(self) -> str:
        late_s = self.lag_s()
        if late_s is None:
            return "is no longer heard"
        return f"is {abs(late_s):.2f} s {'behind' if late_s > 0 else 'ahead of'} the images"

    def interrupt(self) -> None:
        """Forget poses: LOST, paused, or a time jump; what was known of the robot stays."""
        with self._lock:
            self._waiting.clear()
            self._last_ns, self.T_map_odom = None, None
