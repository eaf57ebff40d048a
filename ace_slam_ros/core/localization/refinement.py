"""A pose refined by turns: which hypotheses agree with it, and which pose fits these best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data.poses import PoseEstimate
from ..geometry.rigid_alignment import kabsch_of_moments
from ..geometry.se3 import cross_matrices
from ..runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, SolverConfig
    from ..geometry.arrays import Float32Array, Float64Array, Int64Array
    from .hypotheses import Hypotheses

#: How much larger the squared pose error is than residuals tell. The features of a frame were
#: taught by the same few keyframes, and their predictions lag behind a new view alike; a pose
#: that is fitted to them takes such errors over, so that no residual shows them. 1.6 to 2.6 in
#: maps of five rendered rooms with known poses, 3.7 to 4.2 in maps of tracked ones. Of a rolling
#: shutter, or depth taken at another time than color, nothing is known here: on TUM fr1, at
#: 0.4 m/s, poses scatter by 7 mm per axis where this says 2.
SHARED_ERRORS = 2.5
ROUNDS = 4
#: Residual per axis, besides depth noise, at which a feature counts half. What experts claim is no
#: such scale: it bounds how wrong they may be (an expert of few samples claims its prior, 4 cm),
#: while the right ones lie closer. Weighed by claims, poses are 5 to 12 % less accurate in TUM fr1
#: and rendered worlds, 60 % where a view is hardly known.
CORE_M = 0.01


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

    best_n: Int64Array
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
    variance_n = core_variance(known.y_n3[:, 2], sensor)
    for _ in range(ROUNDS):
        found = match(T_44, known, variance_n)
        if np.count_nonzero(found.best_n >= 0) < solver.min_inliers:
            return None
        T_44 = found.fit()
    found = match(T_44, known, variance_n)
    agree = np.flatnonzero(found.best_n >= 0)
    confidence = beyond_chance(found.relative_n[agree], total, dimensions=3)
    if len(agree) < solver.min_inliers or confidence < solver.min_confidence:
        return None
    best = found.best_n[agree]
    covariance = pose_covariance(
        known.x_M3[best].astype(np.float64), T_44[:3, 3], variance_n[agree],
        found.residual2_n[agree])
    mask = np.zeros(total, bool)
    mask[known.row_n[agree]] = True
    return PoseEstimate(T_44, covariance, mask, len(agree) / max(total, 1), confidence,
                        spread_across(T_44, known.y_n3[agree], known.x_M3[best], sensor))


def match(T_44: Float64Array, known: Hypotheses, variance_n: Float64Array) -> Match:
    """Find what agrees with a pose; `variance_n` weighs features, with their residuals."""
    if not AVAILABLE:
        return match_reference(T_44, known, variance_n)
    best_n = np.empty(len(known.y_n3), np.int64)
    relative_n, residual2_n = np.empty((2, len(best_n)))
    sums_16 = np.empty(16)
    match_into(np.ascontiguousarray(T_44), known.y_n3, known.start_n, known.count_n, known.x_M3,
               known.gate2_M, variance_n, best_n, relative_n, residual2_n, sums_16)
    sums_15 = sums_16[1:] / max(sums_16[0], 1e-300)
    center_y, center_x = sums_15[:3], sums_15[3:6]
    cross_33 = sums_15[6:].reshape(3, 3) - np.outer(center_y, center_x)
    return Match(best_n, relative_n, residual2_n, (center_y, center_x + T_44[:3, 3], cross_33))


@kernel
def match_into(
    T_44: Float64Array, y_n3: Float32Array, start_n: Int64Array, count_n: Int64Array,
    x_M3: Float32Array, gate2_M: Float32Array, variance_n: Float64Array, best_n: Int64Array,
    relative_n: Float64Array, residual2_n: Float64Array, sums_16: Float64Array,
) -> int:
    """Find the hypothesis of each feature that agrees best with a pose, and sum for `kabsch`.

    Args:
        T_44: the pose.
        y_n3, start_n, count_n, x_M3, gate2_M: see `Hypotheses`.
        variance_n: squared residual per axis at which a feature counts half.
        best_n: result, -1 where none agrees.
        relative_n: result, squared distance over the squared gate.
        residual2_n: result, squared distance per axis.
        sums_16: result, of the weight w, w y, w x and w y x^T, x from the camera center.

    Returns:
        Features that agree.
    """
    found = 0
    sums_16[:] = 0.0
    p, q, r = T_44[0, 3], T_44[1, 3], T_44[2, 3]
    for n in range(len(y_n3)):
        u, v, w = np.float64(y_n3[n, 0]), np.float64(y_n3[n, 1]), np.float64(y_n3[n, 2])
        a = T_44[0, 0] * u + T_44[0, 1] * v + T_44[0, 2] * w
        b = T_44[1, 0] * u + T_44[1, 1] * v + T_44[1, 2] * w
        c = T_44[2, 0] * u + T_44[2, 1] * v + T_44[2, 2] * w
        least, best = 1.0, -1
        for m in range(start_n[n], start_n[n] + count_n[n]):
            x, y, z = x_M3[m, 0] - p - a, x_M3[m, 1] - q - b, x_M3[m, 2] - r - c
            relative = (x * x + y * y + z * z) / gate2_M[m]
            if relative < least:
                least, best = relative, m
        best_n[n], relative_n[n], residual2_n[n] = best, least, 0.0
        if best < 0:
            continue
        found += 1
        residual2 = least * gate2_M[best] / 3.0
        residual2_n[n] = residual2
        weight = 1.0 / (variance_n[n] + residual2)
        x, y, z = x_M3[best, 0] - p, x_M3[best, 1] - q, x_M3[best, 2] - r
        sums_16[0] += weight
        for i, y_i in enumerate((weight * u, weight * v, weight * w)):
            sums_16[1 + i] += y_i
            sums_16[7 + 3 * i] += y_i * x
            sums_16[8 + 3 * i] += y_i * y
            sums_16[9 + 3 * i] += y_i * z
        sums_16[4] += weight * x
        sums_16[5] += weight * y
        sums_16[6] += weight * z
    return found


def match_reference(T_44: Float64Array, known: Hypotheses, variance_n: Float64Array) -> Match:
    """Slow twin of `match`."""
    y = known.y_n3.astype(np.float64)
    gap = (y @ T_44[:3, :3].T + T_44[:3, 3])[known.owner_M] - known.x_M3
    squared_M = np.einsum("mi,mi->m", gap, gap)
    best = known.least(squared_M / known.gate2_M, 1.0)
    n = known.owner_M[best]
    best_n, relative_n, residual2_n = np.full(len(y), -1), np.ones(len(y)), np.zeros(len(y))
    best_n[n], relative_n[n] = best, squared_M[best] / known.gate2_M[best]
    residual2_n[n] = squared_M[best] / 3.0
    w = cauchy_weight(variance_n[n], residual2_n[n])
    w /= max(w.sum(), 1e-300)
    x = known.x_M3[best].astype(np.float64)
    center_y, center_x = w @ y[n], w @ x
    cross_33 = ((y[n] - center_y) * w[:, None]).T @ (x - center_x)
    return Match(best_n, relative_n, residual2_n, (center_y, center_x, cross_33))


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


def spread_across(
    T_44: Float64Array, y_n3: Float32Array, x_n3: Float32Array, sensor: SensorConfig
) -> float:
    """Return how far features are from their hypotheses across the line of sight, in the median.

    Depth noise hides along it what is off by centimeters; walls that only look like mapped ones
    have their bricks elsewhere.

    Args:
        T_44: the pose.
        y_n3, x_n3: points in the camera frame, and their hypotheses in the map.
        sensor: depth noise.
    """
    ray_n3 = y_n3.astype(np.float64) @ T_44[:3, :3].T
    gap_n3 = x_n3 - T_44[:3, 3] - ray_n3
    along_n = np.einsum("ni,ni->n", gap_n3, ray_n3) / np.linalg.norm(ray_n3, axis=1)
    across2_n = np.einsum("ni,ni->n", gap_n3, gap_n3) - along_n**2
    ratio2 = np.median(across2_n / across_variance(sensor.depth_sigma_m(y_n3[:, 2])))
    return float(np.sqrt(max(ratio2, 0.0)))


def across_variance(depth_sigma_n: Any) -> Any:
    """Squared distance (n,) across the line of sight that is `spread` 1, by depth noise (n,)."""
    return CORE_M**2 + (depth_sigma_n / 3.0) ** 2


def core_variance(depth_m_n: Float32Array, sensor: SensorConfig) -> Float64Array:
    """Squared residual per axis (n,) in m^2 at which features at these depths count half."""
    depth_sigma_n = sensor.depth_sigma_m(depth_m_n.astype(np.float64))
    return np.asarray(CORE_M**2 + depth_sigma_n**2 / 3.0)


def pose_covariance(
    x_map_n3: Float64Array, center_3: Float64Array, variance_n: Float64Array,
    residual2_n: Float64Array,
) -> Float64Array:
    """Covariance (6, 6) of a robust fit, from the residuals that it left.

    Residuals do not show what all features have wrong alike, see `SHARED_ERRORS`.

    Source: the covariance of an M-estimator, Huber and Ronchetti, Robust Statistics, section 6.3.

    Args:
        x_map_n3: predicted points, meters.
        center_3: camera center in the map, meters.
        variance_n: squared residual per axis at which a feature counts half, m^2.
        residual2_n: the squared residual per axis, m^2.
    """
    arm = x_map_n3 - center_3
    weight = cauchy_weight(variance_n, residual2_n)
    # derivative of weight times residual, the mean over the axes
    slope = weight - 2 / 3 * residual2_n * weight**2
    return covariance_of(_information(arm, slope), _information(arm, weight**2 * residual2_n))


def covariance_of(information_66: Float64Array, scatter_66: Float64Array) -> Float64Array:
    """Covariance (6, 6) from what residuals say of a pose, and how far they scatter."""
    bread = np.linalg.inv(information_66 + 1e-9 * np.eye(6))
    return np.asarray(bread @ scatter_66 @ bread * SHARED_ERRORS)


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
    """Weight (n,) of residuals, that of a Cauchy kernel."""
    return np.asarray(1.0 / (variance_n + residual2_n))
