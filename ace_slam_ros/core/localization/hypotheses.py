"""The scene-coordinate hypotheses of a frame's features, as one flat list without gaps."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array, Int64Array


@dataclass(frozen=True)
class Hypotheses:
    """n features and their M hypotheses; those of one feature lie together.

    Attributes:
        row_n: (n,) which features of the frame these are.
        y_n3: (n, 3) float32 camera-frame points, meters.
        start_n: (n,) first hypothesis of each feature; every feature has at least one.
        count_n: (n,) hypotheses of each feature.
        x_M3: (M, 3) float32 map points.
        sigma_M: (M,) float32 standard deviation per axis, meters.
        gate2_M: (M,) float32 squared distance up to which a hypothesis agrees with a pose, m^2;
            (0,) where nobody asks.
    """

    row_n: Int64Array
    y_n3: Float32Array
    start_n: Int64Array
    count_n: Int64Array
    x_M3: Float32Array
    sigma_M: Float32Array
    gate2_M: Float32Array = field(default_factory=lambda: np.empty(0, np.float32))

    @staticmethod
    def of(
        points_N3: Float32Array, predictions: Predictions, wanted_N: npt.NDArray[np.bool_]
    ) -> Hypotheses:
        """Take the wanted ones of N features, those of them that have any; yet without gates."""
        flatten = flatten_slots if AVAILABLE else flatten_reference
        row_n, count_n, x_M3, sigma_M = flatten(
            wanted_N, np.ascontiguousarray(predictions.coords_map_NS3, np.float32),
            np.ascontiguousarray(predictions.sigma_m_NS, np.float32))
        return Hypotheses(row_n, np.asarray(points_N3, np.float32)[row_n],
                          np.cumsum(count_n) - count_n, count_n, x_M3, sigma_M)

    @functools.cached_property
    def owner_M(self) -> Int64Array:
        """Feature of each hypothesis, 0..n-1."""
        return np.repeat(np.arange(len(self.count_n)), self.count_n)

    def least(self, error_M: npt.NDArray[Any], limit: float) -> Int64Array:
        """Return the hypothesis of each feature with the least error, where below a limit."""
        least_n = np.minimum.reduceat(error_M, self.start_n)
        best = np.flatnonzero((error_M == least_n[self.owner_M]) & (error_M < limit))
        _, first = np.unique(self.owner_M[best], return_index=True)  # equal errors: the first
        return np.asarray(best[first])


@kernel
def flatten_slots(
    wanted_N: npt.NDArray[np.bool_], x_NS3: Float32Array, sigma_NS: Float32Array
) -> tuple[Int64Array, Int64Array, Float32Array, Float32Array]:
    """List the hypotheses of the wanted features: (row_n, count_n, x_M3, sigma_M)."""
    features, total = 0, 0
    for n in range(len(wanted_N)):
        held = 0
        if wanted_N[n]:
            for s in range(sigma_NS.shape[1]):
                if sigma_NS[n, s] < np.inf:
                    held += 1
        total += held
        if held > 0:
            features += 1
    row_n, count_n = np.empty(features, np.int64), np.empty(features, np.int64)
    x_M3, sigma_M = np.empty((total, 3), np.float32), np.empty(total, np.float32)
    i, m = 0, 0
    for n in range(len(wanted_N)):
        if not wanted_N[n]:
            continue
        first = m
        for s in range(sigma_NS.shape[1]):
            if sigma_NS[n, s] < np.inf:
                sigma_M[m] = sigma_NS[n, s]
                x_M3[m, 0], x_M3[m, 1] = x_NS3[n, s, 0], x_NS3[n, s, 1]
                x_M3[m, 2] = x_NS3[n, s, 2]
                m += 1
        if m > first:
            row_n[i], count_n[i] = n, m - first
            i += 1
    return row_n, count_n, x_M3, sigma_M


def flatten_reference(
    wanted_N: npt.NDArray[np.bool_], x_NS3: Float32Array, sigma_NS: Float32Array
) -> tuple[Int64Array, Int64Array, Float32Array, Float32Array]:
    """Slow twin of `flatten_slots`: (row_n, count_n, x_M3, sigma_M)."""
    held_NS = np.isfinite(sigma_NS) & wanted_N[:, None]
    count_N = held_NS.sum(axis=1)
    row_n = np.flatnonzero(count_N)
    return row_n, count_N[row_n], x_NS3[held_NS], sigma_NS[held_NS]
