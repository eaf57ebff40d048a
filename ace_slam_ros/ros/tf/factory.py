"""Which transforms a node gets: tf2_ros's, our own over the topics, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rclpy.node import Node

from ..messages.compat import TF2_ROS
from .tf2 import Tf2Transforms
from .topics import TopicTransforms

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from .interface import StampedTransform, Transforms, Watcher


class NoTransforms:
    """No TF messages are installed (tf2_msgs is not on PyPI): topics carry the poses alone."""

    available = False
    watcher: Watcher | None = None

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Know nothing."""
        return None

    def newest_ns(self, target: str, source: str) -> int | None:
        """Know nothing."""
        return None

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Send nothing."""

    def clear(self) -> None:
        """Forget nothing."""

    def close(self) -> None:
        """Hold nothing."""


def make_transforms(node: Node) -> Transforms:
    """Return tf2_ros's transforms where this process uses it, else our own over the topics."""
    tf2 = TF2_ROS.module()
    if tf2 is not None:
        try:
            return Tf2Transforms(node, tf2)
        except Exception as error:  # of another build of tf2_msgs it may be anything
            TF2_ROS.give_up(error)
    try:
        return TopicTransforms(node)
    except Exception as error:
        node.get_logger().warning(f"TF is neither read nor sent, poses go out as topics: {error}")
        return NoTransforms()


def others_publish_tf(node: Node, transforms: Transforms) -> bool:
    """Tell whether somebody else broadcasts transforms, so that waiting for one makes sense.

    On the topics that the node listens to: nav2 remaps them into the namespace of a robot.
    """
    moving, static = (
        node.count_publishers(node.resolve_topic_name(name)) for name in ("/tf", "/tf_static"))
    return transforms.available and (moving > 1 or static > 0)
