"""Keeps the images of one camera apart from those of another that publishes on the same topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rclpy.subscription import Subscription

if TYPE_CHECKING:
    from rclpy.node import Node

#: Callbacks are given what the middleware knows of a message; not in ROS 2 Humble.
GIVES_INFO = hasattr(Subscription, "CallbackType")
_UNNUMBERED = 2**64 - 1
#: A publisher counts its messages. So many are lost at most at once, and per second of silence.
_LOST, _LOST_PER_S = 3, 120
#: After so long without a word of the first publisher the other one counts: it came back anew. So
#: does one of two that could not be told apart.
_SILENT_S = 1.0
#: Of two that were there from the start, one counts after so long in which the other was silent.
_PROBATION_S = 0.3
#: Who is found so soon after the first message was there as well: discovery takes its time.
_DISCOVERY_S = 1.0
#: How long a message that was left out is told.
_TOLD_S = 5.0


def publication_number(info: Mapping[str, Any]) -> int | None:
    """Return the count that its publisher gave a message; None where the middleware has none."""
    number = info.get("publication_sequence_number")
    return number if number is not None and number < _UNNUMBERED else None


@dataclass
class _Kept:
    """The publisher of one topic whose messages count, from `sure_s` on.

    `first` = it was alone, since `since_s`.
    """

    signature: tuple[Any, ...]
    number: int | None
    heard_s: float
    first: bool
    since_s: float
    sure_s: float


class FirstPublishers:
    """Decides which messages are of the publisher that was there first.

    Who sends a message is not told by rclpy. Messages of another camera differ in frame, size,
    encoding or calibration, else in their publisher's count. Where nothing differs, none is let
    through: a pose from the images of two cameras is worse than none.

    Args:
        topics: stream (color, depth, info) -> topic.
        count: gives the number of publishers of a topic.
    """

    def __init__(self, topics: Mapping[str, str], count: Callable[[str], int]) -> None:
        self._topics, self._count = topics, count
        self._kept: dict[str, _Kept] = {}
        self._left_out_s: dict[str, float] = {}

    def admits(self, stream: str, msg: Any, number: int | None) -> bool:
        """Tell whether a message counts.

        Args:
            stream: color, depth or info.
            msg: the message.
            number: see `publication_number`.
        """
        now_s, signature = time.monotonic(), _signature(msg)
        kept = self._kept.get(stream)
        if self._count(self._topics[stream]) <= 1:
            self._left_out_s.pop(stream, None)
            since_s = kept.since_s if kept is not None and kept.first else now_s
            self._kept[stream] = _Kept(signature, number, now_s, True, since_s, now_s)
            return True
        if kept is None:
            color = self._kept.get("color")
            if color is None or color.signature[0] == signature[0]:  # else of the other camera
                self._kept[stream] = _Kept(
                    signature, number, now_s, False, now_s, now_s + _PROBATION_S)
            return self._leave_out(stream, now_s)
        if now_s - kept.since_s < _DISCOVERY_S:
            kept.first = False
        if stream != "info" and now_s - kept.heard_s > _SILENT_S:
            self._kept[stream] = _Kept(signature, number, now_s, kept.first, now_s, now_s)
            return True
        if signature != kept.signature or (
                stream != "info" and self._is_other(kept, number, now_s)):
            return self._leave_out(stream, now_s)
        kept.number, kept.heard_s = number, now_s
        return now_s >= kept.sure_s or self._leave_out(stream, now_s)

    @staticmethod
    def _is_other(kept: _Kept, number: int | None, now_s: float) -> bool:
        """Tell whether a count is not the kept publisher's; notice when that cannot be told."""
        if number is not None and kept.number is not None:
            most = _LOST + round(_LOST_PER_S * (now_s - kept.heard_s))
            step = number - kept.number
            if 0 < step <= most:
                return False
            if kept.first and not -most < step <= 0:
                return True
        kept.sure_s = now_s + _SILENT_S
        return False

    def _leave_out(self, stream: str, now_s: float) -> bool:
        self._left_out_s[stream] = now_s
        return False

    def problem(self, node: Node) -> str:
        """Name the publishers of topics with several that send; empty when there are none."""
        now_s = time.monotonic()
        return "; ".join(
            self._explain(stream, node) for stream, at_s in list(self._left_out_s.items())
            if now_s - at_s < _TOLD_S)

    def _explain(self, stream: str, node: Node) -> str:
        topic = self._topics[stream]
        names = sorted(f"{i.node_namespace.rstrip('/')}/{i.node_name}"
                       for i in node.get_publishers_info_by_topic(topic))
        kept = self._kept.get(stream)
        what = ("only the one that was first counts" if kept is None or kept.first
                else "they cannot be told apart, so that none counts"
                if time.monotonic() < kept.sure_s else "only one of them counts")
        return (f"{topic} has {len(names)} publishers ({', '.join(names)}): {what}; stop the "
                "others, or give each camera a namespace")


def _signature(msg: Any) -> tuple[Any, ...]:
    """Return what all messages of one camera on one topic share, the frame first."""
    frame = msg.header.frame_id
    if hasattr(msg, "distortion_model"):
        return (frame, msg.width, msg.height, msg.distortion_model, tuple(msg.k), tuple(msg.d),
                tuple(msg.p))
    if hasattr(msg, "encoding"):
        return frame, msg.width, msg.height, msg.encoding
    return frame, msg.format
