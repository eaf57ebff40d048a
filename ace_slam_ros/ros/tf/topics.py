"""Transforms from the topics /tf and /tf_static, without tf2_ros."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.node import Node

from ...core.errors import DataError, one_line
from ..messages.conversions import stamp_to_ns
from ..messages.poses import transform_from_msg
from ..qos import latched_qos, reliable_qos
from .interface import StampedTransform, Watcher
from .tree import TransformTree

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array


class TransformSender:
    """Publishes on /tf; fails where tf2_msgs is missing or broken."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._message = importlib.import_module("tf2_msgs.msg").TFMessage
        self._publisher = node.create_publisher(self._message, "/tf", reliable_qos(100))

    def send(self, messages: Sequence[Any]) -> None:
        """Publish transform messages."""
        self._publisher.publish(self._message(transforms=messages))

    def close(self) -> None:
        """Drop the publisher."""
        self._node.destroy_publisher(self._publisher)


class TopicTransforms:
    """/tf and /tf_static by hand, for machines with tf2_msgs but without tf2_ros."""

    available = True

    def __init__(self, node: Node) -> None:
        self.watcher: Watcher | None = None
        TFMessage = importlib.import_module("tf2_msgs.msg").TFMessage
        self._node = node
        self._tree = TransformTree()
        self._sender = TransformSender(node)
        static_qos = latched_qos()
        static_qos.depth = 100
        self._subscriptions = [
            node.create_subscription(
                TFMessage, "/tf", lambda m: self._receive(m, False), reliable_qos(100)),
            node.create_subscription(
                TFMessage, "/tf_static", lambda m: self._receive(m, True), static_qos),
        ]

    def _receive(self, msg: Any, static: bool) -> None:
        for item in msg.transforms:
            if self.watcher is not None:
                self.watcher.heard(item, static)
            try:
                T_44 = transform_from_msg(item.transform)
                self._tree.add(StampedTransform(
                    item.header.frame_id, item.child_frame_id, stamp_to_ns(item.header.stamp),
                    T_44), static)
            except DataError as error:
                self._node.get_logger().warning(
                    one_line(f"TF {item.header.frame_id} -> {item.child_frame_id} ignored: "
                             f"{error}"),
                    throttle_duration_sec=10.0)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source at a stamp, None when unknown."""
        return self._tree.lookup(target, source, stamp_ns)

    def newest_ns(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which two frames are connected, 0 = always, None = never."""
        return self._tree.newest_ns(target, source)

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Broadcast."""
        messages = [t.to_msg() for t in transforms]
        if self.watcher is not None:
            self.watcher.sent(messages)
        self._sender.send(messages)

    def clear(self) -> None:
        """Forget moving transforms; static ones stay."""
        self._tree.clear()

    def close(self) -> None:
        """Drop subscriptions and publisher."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._sender.close()
