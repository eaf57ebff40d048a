"""How likely a relocalized pose is right, from what speaks for it and against it.

A logistic model of three figures, fitted by `training/calibrate_relocalization.py` to queries of
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

#: Weights of 1, log confidence, rival share and log spread; with depth, and of pixels only.
_WEIGHTS_DEPTH = (11.49, 2.57, -5.36, -10.84)
_WEIGHTS_PIXELS = (14.44, 3.24, -3.54, -6.70)

#: Heads whose right poses have the spread that the model was fitted to. A network that regresses
#: one coordinate is centimeters off everywhere (`trimlp`: 2.8 to 4.0 in a room).
_SPREAD_TELLS = ("affine", "aceg", "affine+aceg")
#: The spread at which the model is as sure as one without it, with depth and of pixels.
_NEUTRAL_DEPTH, _NEUTRAL_PIXELS = 1.78, 3.38
#: A pose elsewhere that explains this share as much makes a pose less likely; less than that, few
#: features do.
_COUNTS = 0.1
#: Of two places that explain as much, each is as likely, however well they do: this power of the
#: rival share is the odds of the other one at least. Of few queries it changes the probability.
_TWIN = 6


@dataclass(frozen=True)
class Evidence:
    """What is known of a pose.

    Attributes:
        confidence: share of the features that agree beyond chance.
        rival_share: confidence of the best pose elsewhere over that of this one, 0 without one.
        spread: how far off what agrees is, see `PoseEstimate`; None where that tells nothing.
        has_depth: whether points agree, not only pixels.
    """

    confidence: float
    rival_share: float
    spread: float | None
    has_depth: bool

    @staticmethod
    def of(
        pose: PoseEstimate, rival: PoseEstimate | None, has_depth: bool, head_type: str
    ) -> Evidence:
        """Gather what a solution of a head's, and the best one elsewhere, tell."""
        share = 0.0 if rival is None else rival.confidence / max(pose.confidence, 1e-9)
        spread = pose.spread if head_type in _SPREAD_TELLS else None
        return Evidence(pose.confidence, share, spread, has_depth)

    def figures(self) -> tuple[float, ...]:
        """Return what the model weighs."""
        spread = self.spread
        if spread is None:
            spread = _NEUTRAL_DEPTH if self.has_depth else _NEUTRAL_PIXELS
        return (1.0, math.log(max(self.confidence, 1e-4)), self.rival_share,
                math.log(max(spread, 0.1)))

    @property
    def is_contested(self) -> bool:
        """Whether a pose elsewhere makes this one less likely."""
        return self.rival_share > _COUNTS

    @property
    def probability(self) -> float:
        """Probability that the pose is within 10 cm and 5 degrees of the truth."""
        weights = _WEIGHTS_DEPTH if self.has_depth else _WEIGHTS_PIXELS
        score = sum(w * f for w, f in zip(weights, self.figures(), strict=True))
        alone = 1.0 / (1.0 + math.exp(-min(max(score, -30.0), 30.0)))
        return min(alone, 1.0 / (1.0 + self.rival_share**_TWIN))
