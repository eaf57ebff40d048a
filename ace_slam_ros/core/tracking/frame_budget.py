"""Keeps a live tracker to its time per frame: what it does when, and with how much."""

from __future__ import annotations

#: Frames without the head at most: half a second.
_LONGEST_INTERVAL = 15
#: Frames that a step waits for its time at most: a sixth of a second.
LONGEST_WAIT = 5
#: Debt, in frames' budgets, that is also paid by refining less: what the head and a keyframe cost
#: is paid back before it comes to that, unless the machine is too slow for it.
_LARGEST_DEBT = 5
_LEAST_SHARE = 0.25
#: Weight of the newest measurement of a stage; some ten frames count.
_GAIN = 0.15


class FrameBudget:
    """Decides from measured times what a live tracker does besides following the camera.

    Time spent beyond the budget becomes a debt that cheaper frames pay back; the head looks at a
    frame when there is no debt, when tracking is not sure, and at least twice a second at 30 Hz.
    A debt that this leaves growing is paid by refining against one keyframe instead of two.

    Work that the pose of a frame does not need is done in steps. A step that would end past the
    frame's deadline waits for a later frame, five frames at most. When the head itself would
    pass it, it gets a share of the features.

    Args:
        budget_ms: mean time per frame; 0 does everything at once, with all features.
        deadline_ms: time from a frame's arrival to the end of what is done with it.
    """

    def __init__(self, budget_ms: float, deadline_ms: float = float("inf")) -> None:
        self._budget_ms, self._deadline_ms = budget_ms, deadline_ms
        self.clear()

    def clear(self) -> None:
        """Forget debts and measurements, after a reset or a pause."""
        self._debt_ms = self._late_ms = 0.0
        self._since_head = 0
        self._stages_ms: dict[str, float] = {}
        self._waits: dict[str, int] = {}
        self._head_share = 1.0
        self._used_share = 1.0
        self._mean_wait = 0.0
        self._thorough_share = 1.0

    @property
    def shares_work(self) -> bool:
        """Whether work is spread over frames."""
        return self._budget_ms > 0

    @property
    def gave_up(self) -> dict[str, float]:
        """What time allowed.

        Share of recent frames with the head, share of features it saw, how many frames other
        steps waited, and share of frames refined against all the keyframes they should be.
        """
        return {"head_share": self._head_share, "feature_share": self._used_share,
                "waited_frames": self._mean_wait, "thorough_share": self._thorough_share}

    def begin(self, late_ms: float) -> None:
        """Start a frame that arrived `late_ms` ago."""
        self._late_ms = late_ms
        self._thorough_share += _GAIN * (self.thorough - self._thorough_share)

    @property
    def thorough(self) -> bool:
        """Whether there is time to refine against all the keyframes that a frame should be."""
        return self._debt_ms <= _LARGEST_DEBT * self._budget_ms

    def head_due(self, tracking_well: bool, looking: bool = False) -> bool:
        """Return whether the scene head should look at this frame; not while it is `looking`."""
        due = not looking and (
            not self.shares_work or not tracking_well or self._debt_ms <= 0
            or self._since_head + 1 >= _LONGEST_INTERVAL)
        self._since_head = 0 if due else self._since_head + 1
        self._head_share += _GAIN * (due - self._head_share)
        return due

    def fits(
        self, stage: str, elapsed_ms: float, ready: bool = True, longest_wait: int = LONGEST_WAIT
    ) -> bool:
        """Return whether a step that is to be done can be done on this frame.

        Args:
            stage: name of the step.
            elapsed_ms: time spent on the frame so far.
            ready: False when the step should rather wait for another one.
            longest_wait: frames that it waits at most.
        """
        waited = self._waits.get(stage, 0)
        in_time = self._stages_ms.get(stage, 0.0) <= (
            self._deadline_ms - self._late_ms - elapsed_ms)
        if not (ready and in_time) and waited < longest_wait:
            self._waits[stage] = waited + 1
            return False
        self._mean_wait += _GAIN * (waited - self._mean_wait)
        self._waits[stage] = 0
        return True

    def feature_share(self, elapsed_ms: float) -> float:
        """Return the share of the features that the head can look at after so long on a frame."""
        self._used_share = 1.0
        whole_ms = self._stages_ms.get("localize", 0.0)
        if whole_ms > 0.0:
            left_ms = self._deadline_ms - self._late_ms - elapsed_ms
            self._used_share = min(max(left_ms / whole_ms, _LEAST_SHARE), 1.0)
        return self._used_share

    def took(self, stage: str, spent_ms: float) -> None:
        """Record the time of a step."""
        whole_ms = spent_ms / self._used_share if stage == "localize" else spent_ms
        known_ms = self._stages_ms.setdefault(stage, whole_ms)
        self._stages_ms[stage] = known_ms + _GAIN * (whole_ms - known_ms)

    def spent(self, elapsed_ms: float) -> None:
        """Record the time a frame took; one slow frame is not paid for longer than needed."""
        limit = self._budget_ms * _LONGEST_INTERVAL
        self._debt_ms = min(max(self._debt_ms + elapsed_ms - self._budget_ms, 0.0), limit)
