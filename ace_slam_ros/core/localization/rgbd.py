"""Robust camera pose from scene coordinates: batched RANSAC over 3-point Kabsch, then refinement.

Every feature brings a camera-frame point (from depth) and several hypotheses of the map point it
shows; no pose prior is needed. Source: ACE-SLAM section 3.3, with depth-noise gates, several
hypotheses per feature and a pose covariance added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.poses import PoseEstimate
from ..geometry.rigid_alignment import kabsch
from ..geometry.se3 import cross_matrices
from .hypotheses import Hypotheses, beyond_chance
from .proposals import choose_pose, propose

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, SolverConfig
    from ..data.features import Features
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array, Float64Array

_GATE_SIGMAS = 3.0
#: How much larger the squared pose error is than residuals tell. The features of a frame were
#: taught by the same few keyframes, and their predictions lag behind a new view alike; a pose
#: that is fitted to them takes such errors over, so that no residual shows them. 1.6 to 2.6 in
#: maps of five rendered rooms with known poses, 3.7 to 4.2 in maps of tracked ones. Of a rolling
#: shutter, or depth taken at another time than color, nothing is known here: on TUM fr1, at
#: 0.4 m/s, poses scatter by 7 mm per axis where this says 2.
SHARED_ERRORS = 2.5


def solve_rgbd(
    features: Features, predictions: Predictions, solver: SolverConfig, sensor: SensorConfig,
    rng: np.random.Generator, hypotheses: int | None = None,
) -> PoseEstimate | None:
    """Find the pose most features agree with.

    Args:
        features: with camera-frame points (rows with NaN are ignored).
        predictions: hypotheses for the same features.
        solver: gates and limits.
        sensor: depth noise.
        rng: the only source of randomness.
        hypotheses: instead of `solver.hypotheses`.

    Returns:
        The pose, or None when too few features agree.
    """
    y_N3 = features.points_cam_N3
    known = np.isfinite(y_N3[:, 2]) & np.isfinite(predictions.sigma_m_NS).any(axis=1)
    if known.sum() < max(3, solver.min_inliers):
        return None
    rows = np.flatnonzero(known)
    y = y_N3[rows]
    x_nS3, sigma_nS = predictions.coords_map_NS3[rows], predictions.sigma_m_NS[rows]
    gate2_nS = _squared_gate(sigma_nS, y[:, 2], solver, sensor)
    flat = Hypotheses.from_slots(y, x_nS3, sigma_nS, gate2_nS)
    poses = propose(flat, rng, solver.hypotheses if hypotheses is None else hypotheses)
    if len(poses) == 0:
        return None
    return _refine(choose_pose(poses, flat, rng), rows, len(features), flat, solver, sensor)


def _squared_gate(
    sigma_nS: Float32Array, depth_m_n: Float32Array, solver: SolverConfig, sensor: SensorConfig
) -> Float32Array:
    """Return (n, S) squared inlier distances, finite also where there is no hypothesis."""
    depth_sigma = sensor.depth_sigma_m(depth_m_n)
    base = solver.gate_m(depth_m_n)
    spread = np.where(np.isfinite(sigma_nS), sigma_nS, 0.0)
    gate2 = np.minimum(
        base[:, None] ** 2 + (_GATE_SIGMAS * depth_sigma[:, None]) ** 2,
        _GATE_SIGMAS**2 * (spread**2 + depth_sigma[:, None] ** 2) + 0.02**2)
    return np.asarray(gate2, np.float32)


@dataclass(frozen=True)
class _Agreement:
    """The features that agree with a pose, and how well.

    Attributes:
        index_m: (m,) which features.
        x_m3: (m, 3) map points of their best hypotheses.
        variance_m, residual2_m: (m,) predicted variance and squared residual per axis.
        relative_m: (m,) squared distance over the squared gate.
    """

    index_m: npt.NDArray[np.int64]
    x_m3: Float64Array
    variance_m: Float64Array
    residual2_m: Float64Array
    relative_m: Float32Array


def _agreeing(T_44: Float64Array, known: Hypotheses, sensor: SensorConfig) -> _Agreement:
    """Find the features that agree with a pose."""
    y = known.y_n3
    moved = y @ T_44[:3, :3].T.astype(np.float32) + T_44[:3, 3].astype(np.float32)
    row_M = known.row_M
    gap = moved[row_M] - known.x_M3
    relative = np.einsum("mi,mi->m", gap, gap) / known.gate2_M
    best = known.least(relative, 1.0)
    index = row_M[best]
    x = known.x_M3[best].astype(np.float64)
    variance = point_variance(y[index, 2], known.sigma_M[best], sensor)
    residual2 = np.square(y[index] @ T_44[:3, :3].T + T_44[:3, 3] - x).sum(axis=1) / 3
    return _Agreement(index, x, variance, residual2, relative[best])


def _refine(
    T_44: Float64Array, rows: npt.NDArray[np.int64], total: int, known: Hypotheses,
    solver: SolverConfig, sensor: SensorConfig,
) -> PoseEstimate | None:
    """Alternate matching and weighted alignment, then compute the covariance."""
    for _ in range(4):
        found = _agreeing(T_44, known, sensor)
        if len(found.index_m) < solver.min_inliers:
            return None
        T_44 = kabsch(known.y_n3[found.index_m].astype(np.float64), found.x_m3,
                      cauchy_weight(found.variance_m, found.residual2_m))
    found = _agreeing(T_44, known, sensor)
    confidence = beyond_chance(found.relative_m, total, dimensions=3)
    if len(found.index_m) < solver.min_inliers or confidence < solver.min_confidence:
        return None
    covariance = pose_covariance(found.x_m3, T_44[:3, 3], found.variance_m, found.residual2_m)
    mask = np.zeros(total, bool)
    mask[rows[found.index_m]] = True
    return PoseEstimate(
        T_44, covariance, mask, len(found.index_m) / max(total, 1), confidence)


def point_variance(
    depth_m: Float32Array, sigma_m: Float32Array, sensor: SensorConfig
) -> Float64Array:
    """Variance per axis (m^2) of camera point minus predicted map point."""
    depth_sigma = sensor.depth_sigma_m(depth_m.astype(np.float64))
    return np.asarray(sigma_m.astype(np.float64) ** 2 + depth_sigma**2 / 3.0)


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
    J = np.concatenate([np.tile(np.eye(3), (len(arm), 1, 1)), -cross_matrices(arm)], axis=2)
    scatter = np.einsum("n,nki,nkj->ij", weight**2 * residual2_n, J, J)
    bread = np.linalg.inv(np.einsum("n,nki,nkj->ij", slope, J, J) + 1e-9 * np.eye(6))
    return np.asarray(bread @ scatter @ bread * SHARED_ERRORS)


def cauchy_weight(variance_n: Float64Array, residual2_n: Float64Array) -> Float64Array:
    """Weight (n,) of residuals, that of a Cauchy kernel of one standard deviation."""
    return np.asarray(1.0 / (variance_n + residual2_n))
