"""Transforms through tf2_ros, where this process uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from rclpy.time import Time

from ...core.geometry.frame_names import frame_name
from ..messages.compat import TF2_ROS
from ..messages.conversions import stamp_to_ns
from ..messages.poses import transform_from_msg
from .topics import TransformSender

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from .interface import StampedTransform, Watcher


class Tf2Transforms:
    """Buffer, listener and broadcaster of `tf2`, the module tf2_ros."""

    available = True

    def __init__(self, node: Node, tf2: Any) -> None:
        self.watcher: Watcher | None = None
        self._tf2, self._node = tf2, node
        self._own: TransformSender | None = None  # from the first broadcast that fails
        self._buffer = self._watched_buffer(node)
        self._listener = self._tf2.TransformListener(self._buffer, node)
        self._broadcaster = self._tf2.TransformBroadcaster(node)

    def _watched_buffer(self, node: Node) -> Any:
        """Make a buffer that shows the watcher what its listener hears."""
        transforms = self

        class WatchedBuffer(self._tf2.Buffer):  # type: ignore[misc,name-defined]
            """Tells before it stores."""

            def set_transform(self, transform: Any, authority: str) -> None:
                if transforms.watcher is not None:
                    transforms.watcher.heard(transform, False)
                super().set_transform(transform, authority)

            def set_transform_static(self, transform: Any, authority: str) -> None:
                if transforms.watcher is not None:
                    transforms.watcher.heard(transform, True)
                super().set_transform_static(transform, authority)

        return WatchedBuffer(node=node)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source at a stamp, None when unknown."""
        found = self._look_up(target, source, stamp_ns)
        return None if found is None else transform_from_msg(found.transform)

    def newest_ns(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which two frames are connected, 0 = always, None = never."""
        found = self._look_up(target, source, 0)  # tf2's way to ask for the newest
        return None if found is None else stamp_to_ns(found.header.stamp)

    def _look_up(self, target: str, source: str, stamp_ns: int) -> Any:
        try:
            return self._buffer.lookup_transform(
                frame_name(target), frame_name(source), Time(nanoseconds=stamp_ns))
        except self._tf2.TransformException:
            return None  # its way to say that the frames are not connected then
        except Exception as error:
            TF2_ROS.failed(error)
            return None

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Broadcast."""
        messages = [t.to_msg() for t in transforms]
        if self.watcher is not None:
            self.watcher.sent(messages)
        if self._own is None:
            try:
                self._broadcaster.sendTransform(messages)
                return
            except Exception as error:
                TF2_ROS.failed(error)
                self._own = TransformSender(self._node)
        self._own.send(messages)

    def clear(self) -> None:
        """Forget moving transforms; tf2 keeps static ones."""
        self._buffer.clear()

    def close(self) -> None:
        """Drop the listener's subscriptions, and what sends."""
        self._listener.unregister()
        if self._own is not None:
            self._own.close()
