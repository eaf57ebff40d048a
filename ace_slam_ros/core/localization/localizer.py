"""Describes frames and solves their pose from scene coordinates alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..data.submaps import by_submap
from ..encoders.extraction import extract_in_steps
from ..runtime.steps import Steps, at_once
from .rgbd import solve_rgbd

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.features import Features
    from ..data.frame import Frame
    from ..data.poses import PoseEstimate
    from ..encoders.base import Encoder
    from ..heads.base import SceneHead


class Localizer:
    """Encoder, head and solver, as the tracker uses them.

    Attributes:
        head: the scene head, None before the first.
        submaps: those of its map that are not joined yet.
        confidence: inlier ratio and count of the last frame that was localized, 0 without pose.
    """

    def __init__(self, config: SlamConfig, encoder: Encoder) -> None:
        self._config, self._encoder = config, encoder
        self.clear()

    def clear(self) -> None:
        """Forget the map."""
        self.head: SceneHead | None = None
        self.submaps: tuple[int, ...] = ()
        self.confidence = (0.0, 0)
        self._rng = np.random.default_rng(self._config.seed)

    def describe(self, frame: Frame) -> Features:
        """Return what the head can tell places by."""
        return at_once(self.describe_in_steps(frame))

    def describe_in_steps(self, frame: Frame) -> Steps[Features]:
        """Do as `describe`, with the pauses of the encoder."""
        return extract_in_steps(
            self._encoder, frame, self._config.features, self._config.sensor)

    def localize(
        self, features: Features, submap: int, everywhere: bool
    ) -> PoseEstimate | None:
        """Solve the pose; a camera tracked in a submap is sought there, or in all of them."""
        found: list[PoseEstimate] = []
        if self.head is not None:
            predictions = self.head.predict(features.descriptors_ND)
            for number, part in by_submap(
                    predictions, submap, self.submaps, everywhere).items():
                raw = solve_rgbd(
                    features, part, self._config.solver, self._config.sensor, self._rng)
                if raw is not None:
                    found.append(replace(raw, submap=number))
        best = max(found, key=lambda raw: raw.confidence, default=None)
        self.confidence = (0.0, 0) if best is None else (best.inlier_ratio, best.inlier_count)
        return best
