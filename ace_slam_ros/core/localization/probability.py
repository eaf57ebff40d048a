"""How likely a relocalized pose is right, from what speaks for it and against it.

A logistic model of four figures, fitted by `training/calibrate_relocalization.py` to queries of
rendered rooms and corridors, known and unknown, of which the right answer is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..data.features import Features
    from ..data.poses import PoseEstimate

#: Parts of the image, across and down, in which features that agree are looked for.
_ACROSS, _DOWN = 8, 6
#: Weights of 1, log confidence, log count, rival share and spread; with depth, and of pixels only.
_WEIGHTS_DEPTH = (0.0, 0.0, 0.0, 0.0, 0.0)
_WEIGHTS_PIXELS = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Evidence:
    """What is known of a pose.

    Attributes:
        confidence: share of the features that agree beyond chance.
        inliers: features that agree.
        rival_share: confidence of the best pose elsewhere over that of this one, 0 without one.
        spread: share of the parts of the image that hold features which agree.
        has_depth: whether points agree, not only pixels.
    """

    confidence: float
    inliers: int
    rival_share: float
    spread: float
    has_depth: bool

    @staticmethod
    def of(
        pose: PoseEstimate, rival: PoseEstimate | None, features: Features, camera: Camera,
        has_depth: bool,
    ) -> Evidence:
        """Gather what a solution tells; `features` are those it was solved from."""
        pixels_n2 = features.pixels_N2[pose.inliers_N]
        parts = np.floor(pixels_n2 / (camera.width / _ACROSS, camera.height / _DOWN)).astype(int)
        inside = ((parts >= 0) & (parts < (_ACROSS, _DOWN))).all(axis=1)
        spread = len(np.unique(parts[inside], axis=0)) / (_ACROSS * _DOWN)
        share = 0.0 if rival is None else rival.confidence / max(pose.confidence, 1e-9)
        return Evidence(pose.confidence, pose.inlier_count, share, spread, has_depth)

    def figures(self) -> tuple[float, ...]:
        """Return what the model weighs."""
        return (1.0, math.log(max(self.confidence, 1e-4)), math.log(max(self.inliers, 1)),
                self.rival_share, self.spread)

    @property
    def probability(self) -> float:
        """Probability that the pose is within 10 cm and 5 degrees of the truth."""
        weights = _WEIGHTS_DEPTH if self.has_depth else _WEIGHTS_PIXELS
        score = sum(w * f for w, f in zip(weights, self.figures(), strict=True))
        return 1.0 / (1.0 + math.exp(-min(max(score, -30.0), 30.0)))
