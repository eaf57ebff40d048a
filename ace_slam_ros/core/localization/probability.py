"""How likely a relocalized pose is right, from what speaks for it and against it.

A logistic model of two figures, fitted by `training/calibrate_relocalization.py` to queries of
which the right answer is known: rendered rooms and corridors, known ones and others that look
alike, and recorded sequences. How many features agree, and where in the image, was tried as well:
it tells rendered places apart, and misleads in real ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data.poses import PoseEstimate

#: Weights of 1, log confidence and rival share; with depth, and of pixels only.
_WEIGHTS_DEPTH = (7.87, 3.87, -6.07)
_WEIGHTS_PIXELS = (7.65, 3.93, -4.01)


@dataclass(frozen=True)
class Evidence:
    """What is known of a pose.

    Attributes:
        confidence: share of the features that agree beyond chance.
        rival_share: confidence of the best pose elsewhere over that of this one, 0 without one.
        has_depth: whether points agree, not only pixels.
    """

    confidence: float
    rival_share: float
    has_depth: bool

    @staticmethod
    def of(pose: PoseEstimate, rival: PoseEstimate | None, has_depth: bool) -> Evidence:
        """Gather what a solution and the best one elsewhere tell."""
        share = 0.0 if rival is None else rival.confidence / max(pose.confidence, 1e-9)
        return Evidence(pose.confidence, share, has_depth)

    def figures(self) -> tuple[float, ...]:
        """Return what the model weighs."""
        return 1.0, math.log(max(self.confidence, 1e-4)), self.rival_share

    @property
    def probability(self) -> float:
        """Probability that the pose is within 10 cm and 5 degrees of the truth."""
        weights = _WEIGHTS_DEPTH if self.has_depth else _WEIGHTS_PIXELS
        score = sum(w * f for w, f in zip(weights, self.figures(), strict=True))
        return 1.0 / (1.0 + math.exp(-min(max(score, -30.0), 30.0)))
