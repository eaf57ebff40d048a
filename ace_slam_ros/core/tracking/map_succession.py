"""Which map comes after which: weights of a map just left are no order to go back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..heads.payload import HeadInfo


class MapSuccession:
    """Tells weights that lead to another map from those of a mapper that is behind.

    Attributes:
        begun: the map that the tracker began last by itself; empty = none.
    """

    def __init__(self) -> None:
        self.begun = ""
        self._left: set[str] = set()

    def left(self, map_id: str) -> None:
        """Note that the tracker has left a map."""
        self._left.add(map_id)

    def followed(self) -> None:
        """Note that the mapper is in the tracker's map: from now on a return is deliberate."""
        self._left.clear()

    def is_straggler(self, info: HeadInfo) -> bool:
        """Whether weights of another map are of a mapper that did not know of this one yet."""
        if info.answers is None:
            return info.map_id in self._left
        return self.begun not in ("", info.answers)
