"""Notices that somebody else broadcasts the transform this node would send, and gives way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rclpy.node import Node

from ...core.errors import one_line
from ...core.geometry.frame_names import frame_name

if TYPE_CHECKING:
    from ..config import RosConfig

_REMEMBERED = 256


def _key(message: Any) -> tuple[Any, ...]:
    """Return what tells two broadcasts apart: frames, stamp and every number, bit by bit."""
    t, q, header = message.transform.translation, message.transform.rotation, message.header
    return (header.frame_id, message.child_frame_id, header.stamp.sec, header.stamp.nanosec,
            t.x, t.y, t.z, q.x, q.y, q.z, q.w)


@dataclass(frozen=True)
class Foreign:
    """The newest transform of somebody else for one child frame."""

    parent: str
    child: str
    heard_s: float
    static: bool


class TfGuard:
    """Watches /tf for a second parent of `ros.odom_frame` or `ros.base_frame`.

    Two broadcasters of one transform make the robot jump between two poses many times a second,
    which no controller survives. The other one was there on purpose, so this node holds its own
    transform back, says so, and goes on once the other has been silent for `GIVE_WAY_S`.

    `heard` is called in the executor's thread, `sent` and `blocks` in any.

    Attributes:
        base_has_odometry: the odometry frame is above the base, whatever lies between them (often
            `base_footprint`), and nothing of ours goes to the base.
    """

    GIVE_WAY_S = 5.0

    def __init__(self, node: Node, config: RosConfig) -> None:
        self._node, self._config = node, config
        self._lock = threading.Lock()
        self._own: deque[tuple[Any, ...]] = deque(maxlen=_REMEMBERED)
        self._foreign: dict[str, Foreign] = {}
        self._told: set[tuple[str, str]] = set()
        self.base_has_odometry = False

    def sent(self, messages: Iterable[Any]) -> None:
        """Remember what this node is about to send."""
        with self._lock:
            self._own.extend(_key(m) for m in messages)

    def heard(self, message: Any, static: bool) -> None:
        """Take note of a transform that gives one of our frames another parent."""
        child, parent = frame_name(message.child_frame_id), frame_name(message.header.frame_id)
        if child not in (self._config.odom_frame, self._config.base_frame) or not child:
            return
        if child == self._config.base_frame and parent == self._config.odom_frame:
            return  # odometry, which is welcome
        with self._lock:
            if _key(message) in self._own:
                return
        foreign = self._foreign[child] = Foreign(parent, child, time.monotonic(), static)
        if child == self._config.odom_frame or parent == self._config.map_frame:
            self._tell(foreign)  # else it may be a link of the robot's odometry

    def _tell(self, foreign: Foreign) -> None:
        """Log a conflict once; from then on it is a problem while it lasts."""
        key = foreign.parent, foreign.child
        if key not in self._told and self._config.publish_tf:
            self._told.add(key)
            self._node.get_logger().error(self._explain(foreign))

    def _current(self) -> list[Foreign]:
        now_s = time.monotonic()
        return [f for f in list(self._foreign.values())
                if (f.static or now_s - f.heard_s < self.GIVE_WAY_S)
                and not (self.base_has_odometry and f.child == self._config.base_frame)]

    def blocks(self, child: str) -> bool:
        """Tell whether somebody else gives `child` its parent, so that this node must not."""
        found = [f for f in self._current() if f.child == child]
        for foreign in found:
            self._tell(foreign)
        return bool(found)

    def problem(self) -> str:
        """Say who broadcasts what this node would, and what to do; empty when nobody does."""
        if not self._config.publish_tf:
            return ""
        return "; ".join(
            self._explain(f) for f in self._current() if (f.parent, f.child) in self._told)

    def _explain(self, foreign: Foreign) -> str:
        topic = self._node.resolve_topic_name("/tf_static" if foreign.static else "/tf")
        own = self._node.get_fully_qualified_name()
        names = sorted({
            f"{i.node_namespace.rstrip('/')}/{i.node_name}"
            for i in self._node.get_publishers_info_by_topic(topic)} - {own})
        who = " or ".join(names) or f"another publisher of {topic}"
        text = (f"TF {one_line(foreign.parent)} -> {foreign.child} comes from {who}: this "
                f"node sends none for {foreign.child}, so that the robot does not jump between "
                "two poses")
        if foreign.child == self._config.base_frame and foreign.parent != self._config.map_frame:
            return (f"{text}; if '{one_line(foreign.parent)}' is the frame of the robot's "
                    "odometry, set ros.odom_frame to it")
        return (f"{text}; stop the other one, or set ros.publish_tf: false; for two robots on one "
                f"/tf give each frames of its own, such as {self._own_frames()}")

    def _own_frames(self) -> str:
        """Propose launch arguments that tell this robot from others."""
        robot = self._node.get_namespace().strip("/") or "robot1"
        frames = {"map": self._config.map_frame, "odom": self._config.odom_frame or "odom",
                  "base": self._config.base_frame}
        return " ".join(f"{k}_frame:={robot}/{v.split('/')[-1]}" for k, v in frames.items())

    def clear(self) -> None:
        """Forget who was heard, after a clock jump or on a new start."""
        self._foreign.clear()
