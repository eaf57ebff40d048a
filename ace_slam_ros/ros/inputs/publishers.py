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
#: After so long without a word of the first publisher the other one counts: it came back anew.
_SILENT_S = 1.0
#: How long a message that was left out is told.
_TOLD_S = 5.0


def publication_number(info: Mapping[str, Any]) -> int | None:
    """Return the count that its publisher gave a message; None where the middleware has none."""
    number = info.get("publication_sequence_number")
    return number if number is not None and number < _UNNUMBERED else None


@dataclass
class _Kept:
    """The publisher of one topic whose messages count; `first` = it was once the only one."""

    signature: tuple[Any, ...]
    number: int | None
    heard_s: float
    first: bool


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
        self._mixed: set[str] = set()

    def admits(self, stream: str, msg: Any, number: int | None) -> bool:
        """Tell whether a message counts.

        Args:
            stream: color, depth or info.
            msg: the message.
            number: see `publication_number`.
        """
        now_s, signature = time.monotonic(), _signature(msg)
        several = self._count(self._topics[stream]) > 1
        kept = self._kept.get(stream)
        if not several:
            self._mixed.discard(stream)
            self._left_out_s.pop(stream, None)
            self._kept[stream] = _Kept(signature, number, now_s, True)
            return True
        if kept is None:
            color = self._kept.get("color")
            if color is not None and color.signature[0] != signature[0]:
                return self._leave_out(stream, now_s)  # of the other camera
            self._kept[stream] = _Kept(signature, number, now_s, False)
            return True
        if self._is_kept(stream, kept, signature, number, now_s):
            kept.number, kept.heard_s = number, now_s
            return True
        if stream != "info" and stream not in self._mixed and now_s - kept.heard_s > _SILENT_S:
            self._kept[stream] = _Kept(signature, number, now_s, kept.first)
            return True
        return self._leave_out(stream, now_s)

    def _is_kept(
        self, stream: str, kept: _Kept, signature: tuple[Any, ...], number: int | None,
        now_s: float,
    ) -> bool:
        """Tell whether a message is of the kept publisher; notice when that cannot be told."""
        if signature != kept.signature or stream == "info" or stream in self._mixed:
            return signature == kept.signature and stream == "info"
        if number is None or kept.number is None:
            self._mixed.add(stream)
            return False
        most = _LOST + round(_LOST_PER_S * (now_s - kept.heard_s))
        step = number - kept.number
        if not kept.first and not 0 < step <= most or -most < step <= 0:
            self._mixed.add(stream)
        return 0 < step <= most

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
        what = ("they cannot be told apart, so that none counts" if stream in self._mixed
                else "only the one that was first counts")
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
