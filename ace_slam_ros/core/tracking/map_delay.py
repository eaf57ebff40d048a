"""How long new keyframes take until the head that the tracker uses has learned them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

#: Keyframes that the percentiles are of.
_RECENT = 200


class MapDelay:
    """Times keyframes from leaving the tracker to their return in a head.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent_ms: deque[float] = deque(maxlen=_RECENT)
        self.clear()

    def clear(self) -> None:
        """Forget the keyframes on their way, of a map that was left."""
        self._sent_s: dict[int, float] = {}
        self._first = 0

    def sent(self, identifiers: Iterable[int]) -> None:
        """Note keyframes that leave; one that is sent again, with less in it, counts once."""
        for identifier in identifiers:
            if identifier >= self._first:
                self._sent_s.setdefault(identifier, self._clock())

    def learned(self, next_keyframe: int) -> None:
        """Note a head that knows all keyframes with identifiers below a number."""
        self._first = max(self._first, next_keyframe)
        for identifier in [i for i in self._sent_s if i < next_keyframe]:
            self._recent_ms.append((self._clock() - self._sent_s.pop(identifier)) * 1e3)

    def values(self) -> dict[str, float]:
        """Return median and 95th percentile in ms; nothing before the first."""
        if not self._recent_ms:
            return {}
        p50, p95 = np.percentile(self._recent_ms, (50, 95))
        return {"keyframe_to_head_ms_p50": round(float(p50), 1),
                "keyframe_to_head_ms_p95": round(float(p95), 1)}
