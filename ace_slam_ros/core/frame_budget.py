"""Keeps a live tracker to its time per frame: which frames meet the scene head, with how much."""

from __future__ import annotations

#: Frames without the head at most: half a second.
_LONGEST_INTERVAL = 15
_LEAST_SHARE = 0.25
#: Weight of the newest measurement of a stage; some ten frames count.
_GAIN = 0.15


class FrameBudget:
    """Decides from measured times whether the scene head runs on a frame, and how much it sees.

    Time spent beyond the budget becomes a debt that cheaper frames pay back; the head runs when
    there is no debt, when tracking is not sure, and at least twice a second at 30 Hz. When a frame
    with the head would pass the deadline, the head gets a share of the features.

    Args:
        budget_ms: mean time per frame; 0 runs the head on every frame with all features.
        deadline_ms: time of a frame with the head.
    """

    def __init__(self, budget_ms: float, deadline_ms: float = float("inf")) -> None:
        self._budget_ms, self._deadline_ms = budget_ms, deadline_ms
        self.clear()

    def clear(self) -> None:
        """Forget debts and measurements, after a reset or a pause."""
        self._debt_ms = 0.0
        self._since_head = 0
        self._stages_ms: dict[str, float] = {}
        self._head_share = 1.0
        self._used_share = 1.0

    @property
    def gave_up(self) -> dict[str, float]:
        """What time allowed: share of recent frames with the head, share of features it saw."""
        return {"head_share": self._head_share, "feature_share": self._used_share}

    def head_due(self, tracking_well: bool) -> bool:
        """Return whether the scene head should run on the next frame."""
        due = (self._budget_ms <= 0 or not tracking_well or self._debt_ms <= 0
               or self._since_head + 1 >= _LONGEST_INTERVAL)
        self._since_head = 0 if due else self._since_head + 1
        self._head_share += _GAIN * (due - self._head_share)
        return due

    def feature_share(self, tracking_well: bool) -> float:
        """Return the share of the features that the head can look at in time."""
        self._used_share = 1.0
        whole_ms = self._stages_ms.get("localise", 0.0)
        if self._budget_ms > 0 and tracking_well and whole_ms > 0.0:
            left_ms = self._deadline_ms - self._stages_ms.get("encode", 0.0) - (
                self._stages_ms.get("refine", 0.0))
            self._used_share = min(max(left_ms / whole_ms, _LEAST_SHARE), 1.0)
        return self._used_share

    def spent(self, elapsed_ms: float, stages_ms: dict[str, float] | None = None) -> None:
        """Record the time a frame took, also by stage.

        One slow frame is not paid for longer than needed.
        """
        limit = self._budget_ms * _LONGEST_INTERVAL
        self._debt_ms = min(max(self._debt_ms + elapsed_ms - self._budget_ms, 0.0), limit)
        for name, spent_ms in (stages_ms or {}).items():
            whole_ms = spent_ms / self._used_share if name == "localise" else spent_ms
            known_ms = self._stages_ms.setdefault(name, whole_ms)
            self._stages_ms[name] = known_ms + _GAIN * (whole_ms - known_ms)
