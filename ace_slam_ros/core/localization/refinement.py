"""A pose refined by turns: which hypotheses agree with it, and which pose fits these best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.poses import PoseEstimate
from ..geometry.rigid_alignment import kabsch_of_moments
from ..geometry.se3 import cross_matrices
from ..runtime.compiled import AVAILABLE
from .hypotheses import Hypotheses, beyond_chance
from .kernels import match_into

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, SolverConfig
    from ..geometry.arrays import Float64Array

#: How much larger the squared pose error is than residuals tell. The features of a frame were
#: taught by the same few keyframes, and their predictions lag behind a new view alike; a pose
#: that is fitted to them takes such errors over, so that no residual shows them. 1.6 to 2.6 in
#: maps of five rendered rooms with known poses, 3.7 to 4.2 in maps of tracked ones. Of a rolling
#: shutter, or depth taken at another time than color, nothing is known here: on TUM fr1, at
#: 0.4 m/s, poses scatter by 7 mm per axis where this says 2.
SHARED_ERRORS = 2.5
_ROUNDS = 4


@dataclass(frozen=True)
class Match:
    """How n features agree with a pose.

    Attributes:
        best_n: (n,) the hypothesis of each that agrees best, -1 where none does.
        relative_n: (n,) squared distance from it over its squared gate; 1 where there is none.
        residual2_n: (n,) squared distance from it per axis, m^2; 0 where there is none.
        moments: weighted mean of the points, of the hypotheses, and of their products about
            these, (3,), (3,), (3, 3).
    """

    best_n: npt.NDArray[np.int64]
    relative_n: Float64Array
    residual2_n: Float64Array
    moments: tuple[Float64Array, Float64Array, Float64Array]

    def fit(self) -> Float64Array:
        """Return the pose (4, 4) that fits the best hypotheses, three at least."""
        center_y, center_x, cross_33 = self.moments
        return kabsch_of_moments(cross_33, center_y, center_x)


def refine(
    T_44: Float64Array, total: int, known: Hypotheses, solver: SolverConfig, sensor: SensorConfig
) -> PoseEstimate | None:
    """Alternate matching and weighted alignment, then compute the covariance.

    Args:
        T_44: a pose near enough that right hypotheses are within their gates.
        total: features of the frame, those without depth or hypotheses as well.
        known: hypotheses with gates.
        solver: limits.
        sensor: depth noise.

    Returns:
        The pose, or None when too few features agree.
    """
    variance_M = point_variance(known, sensor)
    for _ in range(_ROUNDS):
        found = match(T_44, known, variance_M)
        if np.count_nonzero(found.best_n >= 0) < solver.min_inliers:
            return None
        T_44 = found.fit()
    found = match(T_44, known, variance_M)
    agree = np.flatnonzero(found.best_n >= 0)
    confidence = beyond_chance(found.relative_n[agree], total, dimensions=3)
    if len(agree) < solver.min_inliers or confidence < solver.min_confidence:
        return None
    best = found.best_n[agree]
    covariance = pose_covariance(
        known.x_M3[best].astype(np.float64), T_44[:3, 3], variance_M[best],
        found.residual2_n[agree])
    mask = np.zeros(total, bool)
    mask[known.row_n[agree]] = True
    return PoseEstimate(T_44, covariance, mask, len(agree) / max(total, 1), confidence)


def match(T_44: Float64Array, known: Hypotheses, variance_M: Float64Array) -> Match:
    """Find what agrees with a pose; `variance_M` weighs, together with the residuals."""
    if not AVAILABLE:
        return match_reference(T_44, known, variance_M)
    best_n = np.empty(len(known.y_n3), np.int64)
    relative_n, residual2_n = np.empty((2, len(best_n)))
    sums_16 = np.empty(16)
    match_into(np.ascontiguousarray(T_44), known.y_n3, known.start_n, known.count_n, known.x_M3,
               known.gate2_M, variance_M, best_n, relative_n, residual2_n, sums_16)
    sums_15 = sums_16[1:] / max(sums_16[0], 1e-300)
    center_y, center_x = sums_15[:3], sums_15[3:6]
    cross_33 = sums_15[6:].reshape(3, 3) - np.outer(center_y, center_x)
    return Match(best_n, relative_n, residual2_n, (center_y, center_x + T_44[:3, 3], cross_33))


def match_reference(T_44: Float64Array, known: Hypotheses, variance_M: Float64Array) -> Match:
    """Slow twin of `match`."""
    y = known.y_n3.astype(np.float64)
    gap = (y @ T_44[:3, :3].T + T_44[:3, 3])[known.owner_M] - known.x_M3
    squared_M = np.einsum("mi,mi->m", gap, gap)
    best = known.least(squared_M / known.gate2_M, 1.0)
    n = known.owner_M[best]
    best_n, relative_n, residual2_n = np.full(len(y), -1), np.ones(len(y)), np.zeros(len(y))
    best_n[n], relative_n[n] = best, squared_M[best] / known.gate2_M[best]
    residual2_n[n] = squared_M[best] / 3.0
    w = cauchy_weight(variance_M[best], residual2_n[n])
    w /= max(w.sum(), 1e-300)
    x = known.x_M3[best].astype(np.float64)
    center_y, center_x = w @ y[n], w @ x
    cross_33 = ((y[n] - center_y) * w[:, None]).T @ (x - center_x)
    return Match(best_n, relative_n, residual2_n, (center_y, center_x, cross_33))


def point_variance(known: Hypotheses, sensor: SensorConfig) -> Float64Array:
    """Variance per axis (M,) in m^2 of camera point minus hypothesis."""
    depth_sigma_n = sensor.depth_sigma_m(known.y_n3[:, 2].astype(np.float64))
    return np.asarray(
        known.sigma_M.astype(np.float64) ** 2 + (depth_sigma_n**2 / 3.0)[known.owner_M])


def pose_covariance(
    x_map_n3: Float64Array, center_3: Float64Array, variance_n: Float64Array,
    residual2_n: Float64Array,
) -> Float64Array:
    """Covariance (6, 6) of a robust fit, from the residuals that it left.

    What experts claim only weighs them: one of few samples claims its prior, which most exceed.
    Residuals do not show what all features have wrong alike, see `SHARED_ERRORS`.

    Source: the covariance of an M-estimator, Huber and Ronchetti, Robust Statistics, section 6.3.

    Args:
        x_map_n3: predicted points, meters.
        center_3: camera center in the map, meters.
        variance_n: of a residual per axis as predicted, m^2.
        residual2_n: the squared residual per axis, m^2.
    """
    arm = x_map_n3 - center_3
    weight = cauchy_weight(variance_n, residual2_n)
    # derivative of weight times residual, the mean over the axes
    slope = weight - 2 / 3 * residual2_n * weight**2
    scatter = _information(arm, weight**2 * residual2_n)
    bread = np.linalg.inv(_information(arm, slope) + 1e-9 * np.eye(6))
    return np.asarray(bread @ scatter @ bread * SHARED_ERRORS)


def _information(arm_n3: Float64Array, weight_n: Float64Array) -> Float64Array:
    """Sum weight J^T J (6, 6) with J = [1, -[arm]x], from the moments of the arms."""
    first_3 = weight_n @ arm_n3
    second_33 = (arm_n3 * weight_n[:, None]).T @ arm_n3
    information = np.empty((6, 6))
    information[:3, :3] = weight_n.sum() * np.eye(3)
    information[3:, :3] = cross_matrices(first_3[None])[0]
    information[:3, 3:] = information[3:, :3].T
    information[3:, 3:] = np.trace(second_33) * np.eye(3) - second_33
    return information


def cauchy_weight(variance_n: Float64Array, residual2_n: Float64Array) -> Float64Array:
    """Weight (n,) of residuals, that of a Cauchy kernel of one standard deviation."""
    return np.asarray(1.0 / (variance_n + residual2_n))
