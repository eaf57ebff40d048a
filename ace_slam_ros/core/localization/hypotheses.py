"""The scene-coordinate hypotheses of a frame's features, as one flat list without gaps."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hypotheses:
    """n features and their M hypotheses; those of one feature lie together.

    Attributes:
        y_n3: (n, 3) float32 camera-frame points, meters.
        start_n: (n,) first hypothesis of each feature; every feature has at least one.
        count_n: (n,) hypotheses of each feature.
        x_M3: (M, 3) float32 map points.
        sigma_M: (M,) float32 standard deviation per axis, meters.
        gate2_M: (M,) float32 squared distance up to which a hypothesis agrees with a pose, m^2.
    """

    y_n3: Float32Array
    start_n: IndexArray
    count_n: IndexArray
    x_M3: Float32Array
    sigma_M: Float32Array
    gate2_M: Float32Array

    @staticmethod
    def from_slots(
        y_n3: Float32Array, x_nS3: Float32Array, sigma_nS: Float32Array, gate2_nS: Float32Array
    ) -> Hypotheses:
        """Flatten (n, S) slots; a slot with infinite sigma holds nothing."""
        held = np.isfinite(sigma_nS)
        count_n = held.sum(axis=1)
        return Hypotheses(y_n3, np.cumsum(count_n) - count_n, count_n, x_nS3[held],
                          sigma_nS[held], gate2_nS[held])

    @functools.cached_property
    def row_M(self) -> IndexArray:
        """Feature of each hypothesis."""
        return np.repeat(np.arange(len(self.count_n)), self.count_n)

    def least(self, error_M: npt.NDArray[Any], limit: float) -> IndexArray:
        """Return the hypothesis of each feature with the least error, where below a limit."""
        least_n = np.minimum.reduceat(error_M, self.start_n)
        best = np.flatnonzero((error_M == least_n[self.row_M]) & (error_M < limit))
        _, first = np.unique(self.row_M[best], return_index=True)  # equal errors: the first
        return np.asarray(best[first])

    def of(self, features: IndexArray) -> Hypotheses:
        """Return some of the features with their hypotheses."""
        _, index = expand(self.start_n[features], self.count_n[features])
        count_n = self.count_n[features]
        return Hypotheses(self.y_n3[features], np.cumsum(count_n) - count_n, count_n,
                          self.x_M3[index], self.sigma_M[index], self.gate2_M[index])


def beyond_chance(squared_m: npt.NDArray[Any], total: int, dimensions: int) -> float:
    """Return the share of all features that agree with a pose beyond what chance brings.

    A wrong pose agrees with what happens to lie within its gates, evenly spread there; a right
    one with what lies near their center. Every feature counts as much nearer the center as it is
    than the mean of an even spread, so that wrong poses come to nothing.

    Args:
        squared_m: (m,) squared distances of those that agree, over the squared gate, 0..1.
        total: all features, with those that do not agree.
        dimensions: 3 for points, 2 for pixels.
    """
    excess = 1.0 - squared_m * (dimensions + 2) / dimensions
    return max(0.0, float(excess.sum()) / max(total, 1))


def expand(start_n: IndexArray, count_n: IndexArray) -> tuple[IndexArray, IndexArray]:
    """List the ranges [start, start + count): (which range (K,), element (K,))."""
    owner = np.repeat(np.arange(len(count_n)), count_n)
    before = np.cumsum(count_n) - count_n
    return owner, np.arange(len(owner)) - before[owner] + start_n[owner]
