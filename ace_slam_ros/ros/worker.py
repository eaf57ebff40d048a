"""The one worker thread of a node, and the slot through which the newest item reaches it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestSlot(Generic[Item]):
    """Holds one item; a newer one replaces it and is counted: late items are never queued."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: Item | None = None
        self.replaced = 0

    def put(self, item: Item) -> None:
        """Store an item, dropping the one that was not taken."""
        with self._condition:
            if self._item is not None:
                self.replaced += 1
            self._item = item
            self._condition.notify()

    def take(self, timeout_s: float) -> Item | None:
        """Wait for an item and remove it; None after the timeout."""
        with self._condition:
            if self._item is None:
                self._condition.wait(timeout_s)
            item, self._item = self._item, None
            return item

    def clear(self) -> None:
        """Drop the item without counting it."""
        with self._condition:
            self._item = None


class Worker:
    """Calls `step` again and again in a thread; exceptions go to `on_error` and do not end it."""

    def __init__(
        self, name: str, step: Callable[[], None], on_error: Callable[[str], None]
    ) -> None:
        self._step, self._on_error = step, on_error
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except Exception:
                self._on_error(self._thread.name)
                self._stop.wait(0.1)  # a step that fails at once must not fill the log

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Let the current step end; False when it did not end in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
