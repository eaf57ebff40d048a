"""Hand-over of one item between threads: the newest wins, late ones are never queued."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestSlot(Generic[Item]):
    """Holds one item; a newer one replaces it and is counted."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self.replaced = 0

    def put(self, item: Item) -> None:
        """Store an item, dropping the one that was not taken."""
        with self._condition:
            if self._item is not None:
                self.replaced += 1
            self._item = item
            self._condition.notify()

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Wait for an item and remove it; None after the timeout, or when closed and empty."""
        with self._condition:
            if timeout_s is None:
                self._condition.wait_for(lambda: self._item is not None or self._closed)
            elif self._item is None and not self._closed:
                self._condition.wait(timeout_s)
            item, self._item = self._item, None
            return item

    @property
    def ended(self) -> bool:
        """Whether nothing is there and no more comes."""
        with self._condition:
            return self._closed and self._item is None

    def clear(self) -> None:
        """Drop the item without counting it."""
        with self._condition:
            self._item = None

    def close(self) -> None:
        """Say that no more comes."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
