"""Watches whether the camera is seen: from TRACKING to LOST by time, and back by a pose."""

from __future__ import annotations

import logging

from .result import TrackerState

log = logging.getLogger(__name__)

#: Longer gaps are of clocks that jumped as well as of a camera that paused.
_LONG_S = 10.0


class Watch:
    """State of a tracker.

    Args:
        lost_after_s: as `tracker.lost_after_s`.

    Attributes:
        state: now.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self.state = TrackerState.INIT
        self.clear()

    def clear(self) -> None:
        """Forget when the camera was seen last, after a clock jump; the state stays."""
        self._last_seen_ns: int | None = None

    def seen(self, stamp_ns: int, map_id: str) -> None:
        """Note a pose."""
        self._last_seen_ns = stamp_ns
        if self.state is TrackerState.LOST:
            log.info("found again in map %s", map_id)
        self.state = TrackerState.TRACKING

    def missed(self, stamp_ns: int) -> bool:
        """Count a frame without pose; True when the camera is LOST from now on."""
        if self._last_seen_ns is None:
            self._last_seen_ns = stamp_ns
        waited_s = (stamp_ns - self._last_seen_ns) * 1e-9
        if self.state is not TrackerState.TRACKING or waited_s < self._lost_after_s:
            return False
        span = f"{waited_s:.2f} s" if waited_s < _LONG_S else (
            f"more than {_LONG_S:g} s, by the stamps of the images")
        log.warning("LOST: no pose for %s; looking for the map in every frame", span)
        self.state = TrackerState.LOST
        return True
