"""Transforms in and out: tf2_ros where it is installed, plain /tf topics, or nothing at all."""

from __future__ import annotations

import importlib
import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.time import Time

from ..core.errors import DataError
from ..core.geometry import Float64Array, exp_se3, invert_pose, log_se3
from .conversions import make_header, stamp_to_ns
from .pose_messages import transform_from_msg, transform_to_msg
from .qos import latched_qos, reliable_qos

_NS = 1_000_000_000


@dataclass(frozen=True)
class StampedTransform:
    """Pose of `child` in `parent` at one time."""

    parent: str
    child: str
    stamp_ns: int
    T_parent_child: Float64Array

    def to_msg(self) -> TransformStamped:
        """Return the message."""
        return TransformStamped(
            header=make_header(self.stamp_ns, self.parent), child_frame_id=self.child,
            transform=transform_to_msg(self.T_parent_child))


class Watcher(Protocol):
    """Is told of every transform message that comes in or goes out."""

    def heard(self, message: Any, static: bool) -> None:
        """Take note of one that came in; in the executor's thread."""

    def sent(self, messages: Iterable[Any]) -> None:
        """Take note of some that go out."""


class Transforms(Protocol):
    """Looks up and broadcasts transforms; `available` tells whether it can."""

    available: bool
    watcher: Watcher | None

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source at a stamp, None when unknown; never waits."""

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Broadcast."""

    def clear(self) -> None:
        """Forget moving transforms, after the clock jumped; static ones stay."""

    def close(self) -> None:
        """Drop subscriptions and publishers."""


class NoTransforms:
    """No TF messages are installed (tf2_msgs is not on PyPI): topics carry the poses alone."""

    available = False
    watcher: Watcher | None = None

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Know nothing."""
        return None

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Send nothing."""

    def clear(self) -> None:
        """Forget nothing."""

    def close(self) -> None:
        """Hold nothing."""


class Tf2Transforms:
    """tf2_ros."""

    available = True

    def __init__(self, node: Node) -> None:
        self.watcher: Watcher | None = None
        self._tf2 = importlib.import_module("tf2_ros")
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
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except self._tf2.TransformException:
            return None
        return transform_from_msg(found.transform)

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Broadcast."""
        messages = [t.to_msg() for t in transforms]
        if self.watcher is not None:
            self.watcher.sent(messages)
        self._broadcaster.sendTransform(messages)

    def clear(self) -> None:
        """Forget moving transforms; tf2 keeps static ones."""
        self._buffer.clear()

    def close(self) -> None:
        """Drop the listener's subscriptions."""
        self._listener.unregister()


class TransformTree:
    """Frames with one parent each; ten seconds of moving transforms, static ones for ever.

    Any thread may call it: the executor's adds while the worker's looks up.
    """

    KEEP_NS = 10 * _NS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._static: dict[str, tuple[str, Float64Array]] = {}
        self._moving: dict[str, list[tuple[int, str, Float64Array]]] = {}

    def add(self, transform: StampedTransform, static: bool) -> None:
        """Store one transform; a stamp far behind the newest one starts the frame anew."""
        entry = (transform.stamp_ns, transform.parent, transform.T_parent_child)
        with self._lock:
            if static:
                self._static[transform.child] = entry[1:]
                return
            track = self._moving.setdefault(transform.child, [])
            if track and transform.stamp_ns < track[-1][0] - self.KEEP_NS // 2:
                track.clear()
            insort(track, entry, key=lambda e: e[0])
            while track[0][0] < track[-1][0] - self.KEEP_NS:
                del track[0]

    def clear(self) -> None:
        """Forget moving transforms; static ones stay."""
        with self._lock:
            self._moving.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source, interpolated; None when the frames are not connected then."""
        with self._lock:
            up_target, up_source = self._chain(target, stamp_ns), self._chain(source, stamp_ns)
        for frame, T_frame_source in up_source.items():
            if frame in up_target:
                return invert_pose(up_target[frame]) @ T_frame_source
        return None

    def _chain(self, frame: str, stamp_ns: int) -> dict[str, Float64Array]:
        """Return {ancestor: T_ancestor_frame}, nearest first."""
        chain = {frame: np.eye(4)}
        T_top_frame = chain[frame]
        top = frame
        while (step := self._parent(top, stamp_ns)) is not None and step[0] not in chain:
            top, T_top_frame = step[0], step[1] @ T_top_frame
            chain[top] = T_top_frame
        return chain

    def _parent(self, child: str, stamp_ns: int) -> tuple[str, Float64Array] | None:
        if child in self._static:
            return self._static[child]
        track = self._moving.get(child, [])
        after = bisect_left(track, stamp_ns, key=lambda e: e[0])
        if after == len(track):
            return None
        later, parent, T_later = track[after]
        if later == stamp_ns:
            return parent, T_later
        if after == 0:
            return None
        earlier, _, T_earlier = track[after - 1]
        part = (stamp_ns - earlier) / (later - earlier)
        return parent, T_earlier @ exp_se3(part * log_se3(invert_pose(T_earlier) @ T_later))


class TopicTransforms:
    """/tf and /tf_static by hand, for machines with tf2_msgs but without tf2_ros."""

    available = True

    def __init__(self, node: Node) -> None:
        self.watcher: Watcher | None = None
        TFMessage = importlib.import_module("tf2_msgs.msg").TFMessage
        self._message = TFMessage
        self._node = node
        self._tree = TransformTree()
        self._publisher = node.create_publisher(TFMessage, "/tf", reliable_qos(100))
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
            except DataError as error:
                self._node.get_logger().warning(
                    f"TF {item.header.frame_id} -> {item.child_frame_id} ignored: {error}",
                    throttle_duration_sec=10.0)
                continue
            self._tree.add(StampedTransform(
                item.header.frame_id, item.child_frame_id, stamp_to_ns(item.header.stamp), T_44,
            ), static)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source at a stamp, None when unknown."""
        return self._tree.lookup(target, source, stamp_ns)

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Broadcast."""
        messages = [t.to_msg() for t in transforms]
        if self.watcher is not None:
            self.watcher.sent(messages)
        self._publisher.publish(self._message(transforms=messages))

    def clear(self) -> None:
        """Forget moving transforms; static ones stay."""
        self._tree.clear()

    def close(self) -> None:
        """Drop subscriptions and publisher."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._publisher)


def make_transforms(node: Node) -> Transforms:
    """Return the best of tf2_ros, plain topics and nothing that this installation has."""
    try:
        return Tf2Transforms(node)
    except (ImportError, AttributeError):
        pass
    try:
        return TopicTransforms(node)
    except ImportError:
        return NoTransforms()


def others_publish_tf(node: Node, transforms: Transforms) -> bool:
    """Tell whether somebody else broadcasts transforms, so that waiting for one makes sense."""
    return transforms.available and (
        node.count_publishers("/tf") > 1 or node.count_publishers("/tf_static") > 0)
