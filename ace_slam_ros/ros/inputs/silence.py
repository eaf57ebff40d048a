"""Notices a camera that is not there or falls silent: told at once, then rarely."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType

from ...core.errors import one_line

if TYPE_CHECKING:
    from rclpy.node import Node

    from .camera_topics import ImageInputs

#: So long without a pair is no hiccup.
QUIET_S = 2.0
_AGAIN_S, _PERIOD_S = 60.0, 1.0
_NUMBER = re.compile(r"[\d.]+")


class SilenceWatch:
    """Says once a second why no image pair comes, and subscribes anew where that may help.

    Args:
        on_silence: told the reason each second while none comes; in the executor's thread.

    Attributes:
        reason: why there is none now, empty while they come.
    """

    def __init__(
        self, node: Node, inputs: ImageInputs, on_silence: Callable[[str], None]
    ) -> None:
        self._node, self._inputs, self._on_silence = node, inputs, on_silence
        self.reason = ""
        self._told, self._told_s, self._since_s = "", 0.0, 0.0
        # Also while simulated time stands still.
        self._timer = node.create_timer(
            _PERIOD_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def look(self) -> None:
        """Look whether pairs come."""
        self._inputs.renew_unheard()
        self.reason = one_line(self._inputs.problem(QUIET_S))
        self._tell(time.monotonic())
        if self.reason:
            self._on_silence(self.reason)

    def _tell(self, now_s: float) -> None:
        """Log the reason when it is new, and once a minute."""
        if not self.reason:
            if self._told:
                self._node.get_logger().info(
                    f"images arrive again, after {now_s - self._since_s:.0f} s")
            self._told = ""
            return
        kind = _NUMBER.sub("", self.reason)
        if not self._told:
            self._since_s = now_s
        if kind != self._told or now_s - self._told_s > _AGAIN_S:
            self._node.get_logger().warning(self.reason)
            self._told, self._told_s = kind, now_s

    def close(self) -> None:
        """Look no more."""
        self._node.destroy_timer(self._timer)
