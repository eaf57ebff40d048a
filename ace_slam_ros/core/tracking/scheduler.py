"""When a tracker does what its poses can wait for, so that it keeps to its time per frame.

Only decisions are here, made from measured times; `local_mapping.py` does the work.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable

#: New weights are looked for so often while no frame comes: none then waits for their unpacking.
BETWEEN_FRAMES_S = 0.01
#: Frames without a look of the head at most: half a second.
_LONGEST_INTERVAL = 15
#: Frames that a step waits for its time at most: a sixth of a second.
LONGEST_WAIT = 5
#: Debt, in frames' budgets, that is also paid by aligning less: what the head and a keyframe cost
#: is paid back before it comes to that, unless the machine is too slow for it.
_LARGEST_DEBT = 5
_LEAST_SHARE = 0.25
#: Weight of the newest measurement of a stage; some ten frames count.
_GAIN = 0.15


class Stage(enum.Enum):
    """A stage of the work on a frame; the value is its name in summaries and diagnostics."""

    ALIGN = "align"
    SURFACES = "surfaces"
    ENCODE = "encode"
    LOCALIZE = "localize"
    TURNED = "turned"
    KEYFRAME = "keyframe"
    LINK = "link"
    ADJUST = "adjust"


class Scheduler:
    """Spreads the work after tracking over frames.

    Time spent beyond the budget becomes a debt that cheaper frames pay back; the head looks at a
    frame when there is no debt, and at least twice a second at 30 Hz. A debt that this leaves
    growing is paid by aligning with one keyframe instead of two.

    A step that would end past the frame's deadline waits for a later frame, five frames at most.
    When the look of the head itself would pass it, it gets a share of the features.

    Without a deadline everything is done at once and nothing is counted as debt, so that results
    do not depend on the speed of the machine.

    Args:
        budget_ms: mean time per frame.
        clock: seconds, as deadlines are given.
    """

    def __init__(
        self, budget_ms: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget_ms, self._clock = budget_ms, clock
        self.clear()

    def clear(self) -> None:
        """Forget debts and measurements, after a reset or a pause."""
        self._deadline_s = math.inf
        self._debt_ms = 0.0
        self._since_look = 0
        self._stages_ms: dict[Stage, float] = {}
        self._waits: dict[Stage, int] = {}
        self._look_share = self._used_share = self._thorough_share = 1.0
        self._mean_wait = 0.0

    @property
    def gave_up(self) -> dict[str, float]:
        """What time allowed.

        Share of recent frames with the head, share of features it saw, how many frames other
        steps waited, and share of frames aligned with all the keyframes they should be.
        """
        return {"head_share": self._look_share, "feature_share": self._used_share,
                "waited_frames": self._mean_wait, "thorough_share": self._thorough_share}

    @property
    def thorough(self) -> bool:
        """Whether there is time to align with all the keyframes that a frame should be."""
        return self._debt_ms <= _LARGEST_DEBT * self._budget_ms

    def begin_work(self, deadline_s: float) -> None:
        """Start the work on a frame, to end by a time of the clock; infinite = no limit."""
        self._deadline_s = deadline_s

    def look_due(self) -> bool:
        """Return whether the head should look at a frame that image tracks hold well."""
        return (math.isinf(self._deadline_s) or self._debt_ms <= 0.0
                or self._since_look + 1 >= _LONGEST_INTERVAL)

    def fits(self, stage: Stage, ready: bool = True, longest_wait: int = LONGEST_WAIT) -> bool:
        """Return whether a step that is to be done can be done on this frame.

        Args:
            stage: kind of step.
            ready: False when the step should rather wait for another one.
            longest_wait: frames that it waits at most.
        """
        if math.isinf(self._deadline_s):
            return True
        waited = self._waits.get(stage, 0)
        in_time = self._stages_ms.get(stage, 0.0) <= self._left_ms
        if not (ready and in_time) and waited < longest_wait:
            self._waits[stage] = waited + 1
            return False
        self._mean_wait += _GAIN * (waited - self._mean_wait)
        self._waits[stage] = 0
        return True

    def feature_share(self) -> float:
        """Return the share of the features that the head can look at in the time left."""
        whole_ms = self._stages_ms.get(Stage.LOCALIZE, 0.0)
        self._used_share = 1.0 if whole_ms <= 0.0 or math.isinf(self._deadline_s) else min(
            max(self._left_ms / whole_ms, _LEAST_SHARE), 1.0)
        return self._used_share

    def took(self, stage: Stage, spent_ms: float) -> None:
        """Record the time of a step."""
        whole_ms = spent_ms / self._used_share if stage is Stage.LOCALIZE else spent_ms
        known_ms = self._stages_ms.setdefault(stage, whole_ms)
        self._stages_ms[stage] = known_ms + _GAIN * (whole_ms - known_ms)

    def end_frame(self, elapsed_ms: float, looked: bool) -> None:
        """Record the time that a frame took in all, and whether the head began to look at it.

        One slow frame is not paid for longer than needed.
        """
        self._since_look = 0 if looked else self._since_look + 1
        self._look_share += _GAIN * (looked - self._look_share)
        self._thorough_share += _GAIN * (self.thorough - self._thorough_share)
        if not math.isinf(self._deadline_s):
            limit = self._budget_ms * _LONGEST_INTERVAL
            self._debt_ms = min(max(self._debt_ms + elapsed_ms - self._budget_ms, 0.0), limit)

    @property
    def _left_ms(self) -> float:
        return (self._deadline_s - self._clock()) * 1e3
