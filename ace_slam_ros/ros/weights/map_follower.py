"""Follows the map that the mapper publishes."""

from __future__ import annotations

import time


class MapFollower:
    """Tells keyframes of a new map, which the tracker began, from stragglers of an old one.

    When the mapper loads or resumes a map, keyframes of other maps still arrive for a moment: the
    tracker has not taken the new weights yet, or the middleware replays its last keyframes. For
    that time only keyframes of the loaded map count, and those of the map that was left stay
    out for longer. Later another map means that the tracker was reset, and the mapper follows.
    """

    GRACE_S = 4.0
    #: Not for ever: a tracker that was reset and returned may never take up the loaded map.
    LEFT_S = 60.0

    def __init__(self, current: str) -> None:
        self.current = current
        self._grace_until_s = 0.0
        self._left_until_s: dict[str, float] = {}

    def move_to(self, map_id: str) -> None:
        """Change the map by own decision."""
        now_s = time.monotonic()
        self._left_until_s = {i: s for i, s in self._left_until_s.items() if s > now_s}
        self._left_until_s[self.current] = now_s + self.LEFT_S
        self._left_until_s.pop(map_id, None)
        self.current = map_id
        self.hold()

    def hold(self) -> None:
        """Keep the current map for the grace time, before keyframes are replayed."""
        self._grace_until_s = time.monotonic() + self.GRACE_S

    def accepts(self, map_id: str) -> bool:
        """Tell whether a keyframe of `map_id` counts; the current map follows a new one."""
        if map_id == self.current:
            return True
        until_s = max(self._grace_until_s, self._left_until_s.get(map_id, 0.0))
        if time.monotonic() < until_s:
            return False
        self.current = map_id
        return True
