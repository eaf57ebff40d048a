"""What the mapper shows: map points and keyframe poses, once a second at most."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from ..messages.clouds import cloud_to_msg
from ..messages.conversions import make_header
from ..messages.poses import pose_to_msg
from ..qos import latched_qos

if TYPE_CHECKING:
    from ...core.mapping.mapper import Mapper

_PERIOD_S = 1.0
_CLOUD_POINTS = 20000


class MapOutput:
    """Publishes the map when it changed and somebody listens."""

    def __init__(self, node: Node, map_frame: str) -> None:
        self._node, self._frame = node, map_frame
        self._points = node.create_publisher(PointCloud2, "map_points", latched_qos())
        self._poses = node.create_publisher(Path, "keyframe_poses", latched_qos())
        self._shown: tuple[Any, ...] = ()
        self._due_s = 0.0

    def show(self, mapper: Mapper, version: int) -> None:
        """Publish what listeners have not seen; cheap when there is nothing to do."""
        if time.monotonic() < self._due_s:
            return
        listeners = (self._points.get_subscription_count(), self._poses.get_subscription_count())
        state = (mapper.map_id, version, listeners)
        if state == self._shown:
            return
        self._shown, self._due_s = state, time.monotonic() + _PERIOD_S
        trajectory = mapper.keyframe_trajectory()
        stamp_ns = int(trajectory.stamps_ns[-1]) if len(trajectory) else 0
        if listeners[0]:
            points = mapper.map_points(_CLOUD_POINTS)
            self._points.publish(cloud_to_msg(points, stamp_ns, self._frame))
        if listeners[1]:
            self._poses.publish(Path(header=make_header(stamp_ns, self._frame), poses=[
                PoseStamped(header=make_header(int(stamp), self._frame), pose=pose_to_msg(T_44))
                for stamp, T_44 in zip(
                    trajectory.stamps_ns, trajectory.T_map_cam_N44, strict=True)]))

    def close(self) -> None:
        """Drop the publishers."""
        self._node.destroy_publisher(self._points)
        self._node.destroy_publisher(self._poses)
