"""Poses that somebody guesses for the robot, on the topic `initialpose`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geometry_msgs.msg import PoseWithCovarianceStamped

from ...core.errors import AceSlamError, DataError
from ...core.geometry.frame_names import frame_name
from ..messages.poses import pose_from_msg
from ..qos import reliable_qos

if TYPE_CHECKING:
    from rclpy.node import Node

    from ...core.geometry.arrays import Float64Array


class InitialPose:
    """Keeps the newest guess of the base in the map until it is used."""

    def __init__(self, node: Node, map_frame: str) -> None:
        self._node, self._map_frame = node, map_frame
        self._guess: Float64Array | None = None
        self._subscription = node.create_subscription(
            PoseWithCovarianceStamped, "initialpose", self.receive, reliable_qos())

    def receive(self, msg: PoseWithCovarianceStamped) -> None:
        """Remember a guess; in the executor's thread."""
        frame = frame_name(msg.header.frame_id)
        try:
            if frame not in ("", self._map_frame):
                raise DataError(f"it is in frame '{frame}', not '{self._map_frame}'")
            self._guess = pose_from_msg(msg.pose.pose)
        except AceSlamError as error:
            self._node.get_logger().warning(f"initialpose ignored: {error}")

    def take(self, keep: bool) -> Float64Array | None:
        """Return T_map_base as guessed, None without a guess; forget it unless told to keep it."""
        guess = self._guess
        if not keep:
            self._guess = None
        return guess

    def close(self) -> None:
        """Unsubscribe, and forget."""
        self._guess = None
        self._node.destroy_subscription(self._subscription)
