"""Which keyframes a cycle of the mapper works on: the newest, and others by coverage and error.

Source: ACE-SLAM section 3.4: a window of the W_L newest keyframes and up to W_G others, drawn with
p ~ 1/|P| + alpha (1 - lambda), P the other keyframes and lambda the inlier ratio of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..data.submaps import only_submap
from ..geometry.se3 import transform_points

if TYPE_CHECKING:
    from ..config.sections import MapperConfig, SolverConfig
    from ..data.keyframe import Keyframe
    from ..data.poses import SubmapPose
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float64Array


class KeyframeSampler:
    """Draws windows; remembers how well the head explains each keyframe."""

    def __init__(self, config: MapperConfig, seed: int) -> None:
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._inlier_ratio: dict[int, float] = {}

    def note(self, identifier: int, inlier_ratio: float) -> None:
        """Remember the share of a keyframe's features that the head explains, 0..1."""
        self._inlier_ratio[identifier] = inlier_ratio

    def forget(self, identifier: int) -> None:
        """Drop what is known of a keyframe."""
        self._inlier_ratio.pop(identifier, None)

    def probabilities(self, identifiers: Sequence[int]) -> Float64Array:
        """Return the probability of each keyframe to be drawn first; at least one keyframe."""
        unexplained = 1.0 - np.array([self._inlier_ratio.get(i, 0.0) for i in identifiers])
        p = 1.0 / len(identifiers) + self._config.window_error_weight * unexplained
        return np.asarray(p / p.sum())

    def draw(self, identifiers: Sequence[int]) -> list[int]:
        """Return a window of keyframes, the newest first; `identifiers` oldest first."""
        newest = self._config.window_newest
        others = list(identifiers[:-newest])
        window = list(identifiers[-newest:])[::-1]
        if others:
            count = min(self._config.window_sampled, len(others))
            drawn = self._rng.choice(
                len(others), count, replace=False, p=self.probabilities(others))
            window += [others[int(i)] for i in drawn]
        return window


def explained_share(
    keyframe: Keyframe, pose: SubmapPose, predictions: Predictions, solver: SolverConfig
) -> float:
    """Share of a keyframe's features with a hypothesis where the pose puts them: lambda."""
    predictions = only_submap(predictions, pose.submap)
    points = transform_points(pose.T_map_cam, keyframe.points_cam_N3.astype(np.float64))
    gate = solver.gate_m(keyframe.points_cam_N3[:, 2])
    distance = np.linalg.norm(predictions.coords_map_NS3 - points[:, None], axis=2)
    near = (distance < gate[:, None]) & np.isfinite(predictions.sigma_m_NS)
    return float(near.any(axis=1).mean())
