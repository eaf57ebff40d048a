"""Keeps a live tracker to its time per frame: which frames are relocalised, which only refined."""

from __future__ import annotations

_LONGEST_INTERVAL = 8


class FrameBudget:
    """Decides from measured times whether the scene head runs on a frame.

    Time spent beyond the budget becomes a debt that cheaper frames pay back; the head runs when
    there is no debt, when tracking is not sure, and at least on every eighth frame.

    Args:
        budget_ms: time per frame; 0 runs the head on every frame.
    """

    def __init__(self, budget_ms: float) -> None:
        self._budget_ms = budget_ms
        self.clear()

    def clear(self) -> None:
        """Forget debts, after a reset or a pause."""
        self._debt_ms = 0.0
        self._since_head = 0

    def head_due(self, tracking_well: bool) -> bool:
        """Return whether the scene head should run on the next frame."""
        due = (self._budget_ms <= 0 or not tracking_well or self._debt_ms <= 0
               or self._since_head + 1 >= _LONGEST_INTERVAL)
        self._since_head = 0 if due else self._since_head + 1
        return due

    def spent(self, elapsed_ms: float) -> None:
        """Record the time a frame took; one slow frame is not paid for longer than needed."""
        limit = self._budget_ms * _LONGEST_INTERVAL
        self._debt_ms = min(max(self._debt_ms + elapsed_ms - self._budget_ms, 0.0), limit)
