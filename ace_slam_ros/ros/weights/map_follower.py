"""Decides which map the mapper is in: its own, or one that its tracker announced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .announcement import Announcement


class MapFollower:
    """Tells keyframes of a map that the tracker began from stragglers and from strangers'.

    The tracker announces where it is (`announcement.py`). The mapper follows it into a map that it
    began after it had known the mapper's own, which is a reset, and into any map while it has none
    itself. Otherwise it stays, and answers: its weights name the newest map of the tracker that
    it knew of, by which the tracker sees that it is called, see `Tracker.set_head`. So both
    always end in one map, in whatever order resets, loads and restarts come.

    Args:
        current: map the mapper is in.
        read: returns what the tracker announced.

    Attributes:
        answered: the newest map begun by the tracker on which the mapper has decided.
    """

    def __init__(self, current: str, read: Callable[[], Announcement | None]) -> None:
        self.current, self._read = current, read
        self.answered = ""

    def move_to(self, map_id: str) -> None:
        """Change the map by own decision; what the tracker began until now is left."""
        said = self._read()
        self.current = map_id
        if said is not None:
            self.answered = said.begun

    def accepts(self, map_id: str, is_empty: bool) -> bool:
        """Tell whether a keyframe of `map_id` counts; the current map follows a new one.

        Args:
            map_id: as the keyframe says.
            is_empty: whether the mapper has no map that could be lost.
        """
        if map_id and map_id == self.current:
            return True
        said = self._read()
        if said is None or not map_id or map_id != said.map_id:
            return False
        if not is_empty and (said.begun == self.answered or self.current not in said.left):
            return False
        self.current, self.answered = map_id, said.begun
        return True

    def is_strange(self, map_id: str) -> bool:
        """Tell whether `map_id` is a map in which the tracker has never been."""
        said = self._read()
        return said is None or map_id not in (said.map_id, *said.left)

    def stays(self, may_follow: bool) -> bool:
        """Tell, once, that the tracker began a map into which the mapper does not follow.

        Args:
            may_follow: False in localization, where the map never changes.
        """
        said = self._read()
        if said is None or said.begun in ("", self.answered):
            return False
        if may_follow and self.current in said.left:
            return False  # a reset: its first keyframe takes the mapper along
        self.answered = said.begun
        return True
