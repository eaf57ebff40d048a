"""The transform of the map: map -> odom where the robot has odometry, else map -> base."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from .factory import others_publish_tf
from .guard import TfGuard
from .interface import StampedTransform, Transforms
from .odometry import OdometryLink
from .slew import SlewLimit

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ..config import RosConfig

#: How long to wait at start for odometry before map -> base is broadcast.
_ODOMETRY_WAIT_S = 3.0
_REPEAT_S = 1.0 / 30.0
_TF_TOLERANCE_NS = 100_000_000


class TfMode(Enum):
    """Which transform is broadcast."""

    UNDECIDED = "undecided"  #: odometry may still come up
    ODOM = "odom"  #: map -> odom
    BASE = "base"  #: map -> base


class MapTransform:
    """Broadcasts the pose of the robot in the map as the one transform that fits its TF tree.

    Once the odometry frame and the base were seen connected, map -> base is never sent again: the
    base would have two parents. Odometry whose times do not fit the images is waited for and told.
    With `ros.map_jump_limit` corrections of map -> odom are spread over time, see `slewed`.
    """

    def __init__(self, node: Node, config: RosConfig, transforms: Transforms) -> None:
        self._node, self._config, self._transforms = node, config, transforms
        self._started_s = time.monotonic()
        self.mode = TfMode.UNDECIDED
        self.odometry = OdometryLink(config, transforms)
        self.odometry_used = 0
        self.slew = SlewLimit(config.map_jump_limit)
        self._told = ""
        self.guard = TfGuard(node, config)
        transforms.watcher = self.guard
        self._sends = config.publish_tf and transforms.available
        self._timer = None
        if self._sends:
            # Odometry moves on between frames, also while simulated time stands still.
            self._timer = node.create_timer(
                _REPEAT_S, self.repeat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def show(self, stamp_ns: int, T_map_base: Float64Array) -> None:
        """Broadcast a tracked pose of the base."""
        if not self._sends:
            return
        self.odometry.add(stamp_ns, T_map_base)
        self._decide()
        base = self._config.base_frame
        if self.mode is TfMode.BASE and not self.guard.blocks(base):
            self._transforms.send(
                [StampedTransform(self._config.map_frame, base, stamp_ns, T_map_base)])

    def _decide(self) -> None:
        """Choose the transform; odometry may come up late."""
        config = self._config
        if self.odometry.known:
            if self.mode is TfMode.BASE:
                self._node.get_logger().info(
                    f"TF knows {config.odom_frame} -> {config.base_frame} now: broadcasting "
                    f"{config.map_frame} -> {config.odom_frame} instead of -> "
                    f"{config.base_frame}")
            self.mode = TfMode.ODOM
            self.guard.base_has_odometry = True
        elif self.mode is TfMode.UNDECIDED:
            waited_s = time.monotonic() - self._started_s
            if not (config.odom_frame and waited_s < _ODOMETRY_WAIT_S
                    and others_publish_tf(self._node, self._transforms)):
                self.mode = TfMode.BASE

    def repeat(self) -> None:
        """Send map -> odom again, valid a little into the future."""
        self.odometry.update()
        self._tell()
        T_map_odom, T_odom_base = self.odometry.T_map_odom, self.odometry.T_odom_base
        odom = self._config.odom_frame
        if (self.mode is not TfMode.ODOM or T_map_odom is None or T_odom_base is None
                or self.guard.blocks(odom)):
            self.slew.forget()
            return
        T_map_odom = self.slew.next(time.monotonic(), T_map_odom, T_odom_base)
        stamp_ns = self._node.get_clock().now().nanoseconds + _TF_TOLERANCE_NS
        self._transforms.send(
            [StampedTransform(self._config.map_frame, odom, stamp_ns, T_map_odom)])

    def _tell(self) -> None:
        """Log once that odometry does not fit, and once that it does again."""
        problem = self.odometry.problem()
        if problem and not self._told:
            self._node.get_logger().error(problem)
        elif self._told and self.odometry.T_map_odom is not None:
            self._node.get_logger().info("odometry fits the images again")
        else:
            return
        self._told = problem

    def camera_in_odometry(
        self, stamp_ns: int, T_base_cam: Float64Array
    ) -> Float64Array | None:
        """Return the camera's pose in the odometry frame at a stamp; None without odometry."""
        config = self._config
        if not (config.odom_frame and config.use_odometry):
            return None
        T_odom_base = self._transforms.lookup(config.odom_frame, config.base_frame, stamp_ns)
        self.odometry_used += T_odom_base is not None
        return None if T_odom_base is None else T_odom_base @ T_base_cam

    def problem(self) -> str:
        """Say why the transform is held back or disputed; empty when it is not."""
        return "; ".join(filter(None, (self.guard.problem(), self.odometry.problem())))

    def interrupt(self) -> None:
        """Send nothing until the next pose, which is then sent as it is."""
        self.odometry.interrupt()
        self.slew.forget()

    def close(self) -> None:
        """Drop the timer."""
        self._transforms.watcher = None
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
