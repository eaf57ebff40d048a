"""Pairs color and depth messages by stamp, and knows why there are no pairs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...io.stamps import ADVICE, stamp_fault
from ..messages.compat import MESSAGE_FILTERS
from ..messages.conversions import stamp_to_ns

_NS = 1_000_000_000
#: A stamp this much older than the last one of its stream is a new pass of a bag.
JUMP_NS = _NS // 2
QUEUE = 10


@dataclass(frozen=True)
class ImagePair:
    """Undecoded messages that belong together.

    Attributes:
        stamp_ns: of the color message.
        color, depth: image messages; info: the newest camera_info message.
        arrival_ns: monotonic time at which the pair was complete.
    """

    stamp_ns: int
    color: Any
    depth: Any
    info: Any
    arrival_ns: int


@dataclass
class StreamStatistics:
    """What arrived on one topic."""

    count: int = 0
    last_stamp_ns: int | None = None
    last_arrival_ns: int | None = None
    arrivals_ns: deque[int] = field(default_factory=lambda: deque(maxlen=60))
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=QUEUE))

    def add(self, stamp_ns: int, now_ns: int) -> None:
        """Count one message."""
        self.count += 1
        self.last_stamp_ns, self.last_arrival_ns = stamp_ns, now_ns
        self.arrivals_ns.append(now_ns)
        self.stamps_ns.append(stamp_ns)

    def rate_hz(self, now_ns: int) -> float:
        """Messages per second over the last five seconds at most."""
        recent = [t for t in list(self.arrivals_ns) if now_ns - t < 5 * _NS]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) * _NS / max(recent[-1] - recent[0], 1)

    def silent_s(self, now_ns: int) -> float:
        """Seconds since the last message, infinity before the first."""
        if self.last_arrival_ns is None:
            return float("inf")
        return (now_ns - self.last_arrival_ns) / _NS


class Matcher(Protocol):
    """Finds the partner of a message; stream 0 is color, 1 depth."""

    def add(self, stream: int, stamp_ns: int, msg: Any) -> tuple[Any, Any] | None:
        """Add a message and return the pair it completes."""


class NearestMatcher:
    """Pairs a new message with the nearest unpaired one of the other stream within the slop.

    The behavior of message_filters' ApproximateTimeSynchronizer for two streams, except that
    the slop is inclusive.
    """

    def __init__(self, slop_ns: int, queue: int = QUEUE) -> None:
        self._slop_ns = slop_ns
        self._queue = queue
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = ({}, {})

    def add(self, stream: int, stamp_ns: int, msg: Any) -> tuple[Any, Any] | None:
        """Add a message and return the pair it completes."""
        mine, other = self._waiting[stream], self._waiting[1 - stream]
        mine[stamp_ns] = msg
        while len(mine) > self._queue:
            del mine[min(mine)]
        best = min(other, key=lambda s: abs(s - stamp_ns), default=None)
        if stamp_ns not in mine or best is None or abs(best - stamp_ns) > self._slop_ns:
            return None
        partner = other.pop(best)
        del mine[stamp_ns]
        return (msg, partner) if stream == 0 else (partner, msg)


class MessageFiltersMatcher:
    """The same through message_filters; the pair is handed out after its lock is released."""

    def __init__(self, filters: Any, slop_ns: int, queue: int = QUEUE) -> None:
        self._inputs = (filters.SimpleFilter(), filters.SimpleFilter())
        # Its comparison is strict: one nanosecond more, and half of one against truncation.
        self._synchronizer = filters.ApproximateTimeSynchronizer(
            list(self._inputs), queue, (slop_ns + 1.5) / _NS)
        self._synchronizer.registerCallback(self._keep)
        self._found: tuple[Any, Any] | None = None
        self._ours = NearestMatcher(slop_ns, queue)
        self._broken = False

    def _keep(self, color: Any, depth: Any) -> None:
        self._found = (color, depth)

    def add(self, stream: int, stamp_ns: int, msg: Any) -> tuple[Any, Any] | None:
        """Add a message and return the pair it completes."""
        if not self._broken:
            self._found = None
            try:
                self._inputs[stream].signalMessage(msg)
                found, self._found = self._found, None
                return found
            except Exception as error:
                MESSAGE_FILTERS.failed(error)
                self._broken = True  # it would wait for its own lock, for ever
        return self._ours.add(stream, stamp_ns, msg)


def make_matcher(slop_ns: int) -> Matcher:
    """Return message_filters' matching where this process uses it, else ours."""
    filters = MESSAGE_FILTERS.module()
    if filters is not None:
        try:
            return MessageFiltersMatcher(filters, slop_ns)
        except Exception as error:
            MESSAGE_FILTERS.give_up(error)
    return NearestMatcher(slop_ns)


class Synchronizer:
    """Feeds two image streams to a matcher and hands out pairs in stamp order.

    Args:
        slop_ns: largest stamp gap of a pair, inclusive.
        on_pair: called with each pair; must only store it.
        on_jump: called when the stamps went back, after the queues were cleared.
        matcher: makes the matcher, also again after each jump.

    Called from one thread, the executor's.
    """

    def __init__(
        self, slop_ns: int, on_pair: Callable[[ImagePair], None],
        on_jump: Callable[[], None] | None = None,
        matcher: Callable[[int], Matcher] = make_matcher,
    ) -> None:
        self.slop_ns = slop_ns
        self.streams = {name: StreamStatistics() for name in ("color", "depth", "info")}
        self.pairs = 0
        self.jumps = 0
        self._created_ns = time.monotonic_ns()
        self.last_pair_ns: int | None = None
        self._on_pair, self._on_jump, self._make = on_pair, on_jump, matcher
        self._matcher = matcher(slop_ns)
        self._newest: list[int | None] = [None, None]
        self._last_pair_stamp_ns: int | None = None
        self._info: Any = None
        self._early: tuple[Any, Any] | None = None

    def add_info(self, msg: Any) -> None:
        """Remember the newest camera_info."""
        self.streams["info"].add(_stamp_ns(msg), time.monotonic_ns())
        self._info = msg
        if self._early is not None:
            early, self._early = self._early, None
            self._deliver(early, time.monotonic_ns())

    def add_color(self, msg: Any) -> None:
        """Add a color message."""
        self._add(0, "color", msg)

    def add_depth(self, msg: Any) -> None:
        """Add a depth message."""
        self._add(1, "depth", msg)

    def _add(self, stream: int, name: str, msg: Any) -> None:
        stamp_ns, now_ns = _stamp_ns(msg), time.monotonic_ns()
        newest = self._newest[stream]
        if newest is not None and stamp_ns < newest - JUMP_NS:
            self.clear()
            self.jumps += 1
            if self._on_jump is not None:
                self._on_jump()
            newest = None
        self.streams[name].add(stamp_ns, now_ns)
        self._newest[stream] = stamp_ns if newest is None else max(stamp_ns, newest)
        found = self._matcher.add(stream, stamp_ns, msg)
        if found is not None and self._info is None:
            self._early = found  # the newest one, until the camera is known
        elif found is not None:
            self._deliver(found, now_ns)

    def _deliver(self, found: tuple[Any, Any], now_ns: int) -> None:
        color_ns = _stamp_ns(found[0])
        if self._last_pair_stamp_ns is not None and color_ns <= self._last_pair_stamp_ns:
            return  # a late pair behind a newer one: the newest wins
        self._last_pair_stamp_ns = color_ns
        self.pairs += 1
        self.last_pair_ns = now_ns
        self._on_pair(ImagePair(color_ns, *found, self._info, now_ns))

    def clear(self) -> None:
        """Forget unpaired messages and stamps; counts stay."""
        self._matcher = self._make(self.slop_ns)
        self._newest = [None, None]
        self._last_pair_stamp_ns = None
        self._early = None
        for statistics in self.streams.values():
            statistics.stamps_ns.clear()

    def nearest_gap_s(self) -> float | None:
        """Smallest stamp gap between recent color and depth messages, in seconds."""
        colors = list(self.streams["color"].stamps_ns)
        depths = list(self.streams["depth"].stamps_ns)
        gaps = [abs(c - d) for c in colors for d in depths]
        return min(gaps) / _NS if gaps else None

    def explain(self, topics: dict[str, str], patience_s: float = 5.0) -> str:
        """Say in one or two sentences why no pairs arrive; empty when they do.

        Args:
            topics: full topic name of color, depth and info.
            patience_s: silence that is still normal.
        """
        now_ns = time.monotonic_ns()
        if self.last_pair_ns is not None and now_ns - self.last_pair_ns < patience_s * _NS:
            return ""
        if now_ns - self._created_ns < patience_s * _NS:
            return ""  # the driver may be starting as well
        for name in ("color", "depth"):
            stream = self.streams[name]
            fault = stamp_fault(stream.stamps_ns)
            if fault and stream.silent_s(now_ns) <= patience_s:
                return f"{topics[name]}: {fault}: {ADVICE}"
        silent = [n for n, s in self.streams.items() if s.silent_s(now_ns) > patience_s]
        if "info" in silent and self._info is not None:
            silent.remove("info")  # once is enough
        heard = ", ".join(
            f"{topics[n]} {s.rate_hz(now_ns):.1f} Hz (last stamp {_seconds(s.last_stamp_ns)})"
            for n, s in self.streams.items() if s.silent_s(now_ns) <= patience_s)
        if silent:
            names = ", ".join(topics[n] for n in silent)
            return (f"no data on {names}" + (f"; arriving: {heard}" if heard else "")
                    + "; check the driver, the remapping (`ros2 topic info -v`) and "
                    "ROS_DOMAIN_ID")
        gap_s = self.nearest_gap_s()
        gap = "unknown" if gap_s is None else f"{gap_s:.4f} s"
        return (f"color and depth arrive but do not pair: nearest stamp gap {gap}, ros.slop_s is "
                f"{self.slop_ns / _NS:g} s; {heard}; raise ros.slop_s or turn on the camera's "
                "frame synchronization (enable_sync)")


def _stamp_ns(msg: Any) -> int:
    return stamp_to_ns(msg.header.stamp)


def _seconds(stamp_ns: int | None) -> str:
    return "none" if stamp_ns is None else f"{stamp_ns / _NS:.3f}"
