"""Robust camera pose from scene coordinates: batched RANSAC over 3-point Kabsch, then refinement.

Every feature brings a camera-frame point (from depth) and several hypotheses of the map point it
shows; no pose prior is needed. Source: ACE-SLAM section 3.3, with depth-noise gates, several
hypotheses per feature and a pose covariance added.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .camera import Camera
from .config import SensorConfig, SolverConfig
from .geometry import Float64Array, exp_se3, invert_pose, kabsch, make_pose
from .heads.protocol import Predictions
from .hypotheses import Hypotheses
from .keyframe import Features, Float32Array
from .proposals import choose_pose, propose

_GATE_SIGMAS = 3.0


@dataclass(frozen=True)
class PoseEstimate:
    """A solved pose.

    Attributes:
        T_map_cam: (4, 4) camera-to-map pose.
        covariance_66: covariance of the pose in the map frame, order x y z, rotation about x y z.
        inliers_N: (N,) bool, features that agree.
        inlier_ratio: share of all features that agree, the confidence of the pose.
    """

    T_map_cam: Float64Array
    covariance_66: Float64Array
    inliers_N: npt.NDArray[np.bool_]
    inlier_ratio: float

    @property
    def inlier_count(self) -> int:
        """Number of agreeing features."""
        return int(self.inliers_N.sum())


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
    base = solver.inlier_m * np.maximum(1.0, depth_m_n / 2.0)
    spread = np.where(np.isfinite(sigma_nS), sigma_nS, 0.0)
    gate2 = np.minimum(
        base[:, None] ** 2 + (_GATE_SIGMAS * depth_sigma[:, None]) ** 2,
        _GATE_SIGMAS**2 * (spread**2 + depth_sigma[:, None] ** 2) + 0.02**2)
    return np.asarray(gate2, np.float32)


def _agreeing(
    T_44: Float64Array, known: Hypotheses, sensor: SensorConfig
) -> tuple[npt.NDArray[np.int64], Float64Array, Float64Array, Float64Array]:
    """Return which features (m,) agree with a pose, and how well.

    Returns:
        (indices (m,), map points (m, 3) of the best hypothesis, variance per axis (m,), squared
        residual per axis (m,)).
    """
    y = known.y_n3
    moved = y @ T_44[:3, :3].T.astype(np.float32) + T_44[:3, 3].astype(np.float32)
    row_M = known.row_M
    relative = np.square(moved[row_M] - known.x_M3).sum(axis=1) / known.gate2_M
    least = np.minimum.reduceat(relative, known.start_n)
    best = np.flatnonzero((relative == least[row_M]) & (relative < 1.0))
    index, first = np.unique(row_M[best], return_index=True)  # equal distances: the first
    best = best[first]
    x = known.x_M3[best].astype(np.float64)
    variance = point_variance(y[index, 2], known.sigma_M[best], sensor)
    residual2 = np.square(y[index] @ T_44[:3, :3].T + T_44[:3, 3] - x).sum(axis=1) / 3
    return index, x, variance, residual2


def _refine(
    T_44: Float64Array, rows: npt.NDArray[np.int64], total: int, known: Hypotheses,
    solver: SolverConfig, sensor: SensorConfig,
) -> PoseEstimate | None:
    """Alternate matching and weighted alignment, then compute the covariance."""
    for _ in range(4):
        index, x, variance, residual2 = _agreeing(T_44, known, sensor)
        if len(index) < solver.min_inliers:
            return None
        weight = 1.0 / (variance * (1.0 + residual2 / variance))  # Cauchy
        T_44 = kabsch(known.y_n3[index].astype(np.float64), x, weight)
    index, x, variance, residual2 = _agreeing(T_44, known, sensor)
    ratio = len(index) / max(total, 1)
    if len(index) < solver.min_inliers or ratio < solver.min_inlier_ratio:
        return None
    covariance = pose_covariance(x, T_44[:3, 3], variance, residual2)
    mask = np.zeros(total, bool)
    mask[rows[index]] = True
    return PoseEstimate(T_44, covariance, mask, ratio)


def point_variance(
    depth_m: Float32Array, sigma_m: Float32Array, sensor: SensorConfig
) -> Float64Array:
    """Variance per axis (m^2) of camera point minus predicted map point."""
    depth_sigma = sensor.depth_sigma_m(depth_m.astype(np.float64))
    return np.asarray(sigma_m.astype(np.float64) ** 2 + depth_sigma**2 / 3.0)


def pose_covariance(
    x_map_n3: Float64Array, centre_3: Float64Array, variance_n: Float64Array,
    residual2_n: Float64Array,
) -> Float64Array:
    """Covariance (6, 6) from the information matrix, scaled by how well the residuals fit.

    Neighbouring features share their errors, so at most one independent measurement in eight is
    counted.
    """
    arm = x_map_n3 - centre_3
    information = np.zeros((6, 6))
    weight = 1.0 / variance_n
    cross = np.zeros((len(arm), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2] = arm[:, 2], -arm[:, 1]
    cross[:, 1, 0], cross[:, 1, 2] = -arm[:, 2], arm[:, 0]
    cross[:, 2, 0], cross[:, 2, 1] = arm[:, 1], -arm[:, 0]
    J = np.concatenate([np.tile(np.eye(3), (len(arm), 1, 1)), cross], axis=2)
    information = np.einsum("n,nki,nkj->ij", weight, J, J)
    scale = max(1.0, float(np.mean(residual2_n / variance_n)))
    return np.asarray(np.linalg.inv(information + 1e-9 * np.eye(6)) * scale * 8.0)


def solve_rgb(
    features: Features, predictions: Predictions, camera: Camera, solver: SolverConfig,
    seed: int,
) -> PoseEstimate | None:
    """Find the pose from pixels alone (no depth): PnP over the best hypotheses.

    Returns:
        The pose with a covariance from the reprojection information, or None.
    """
    sigma_N = predictions.sigma_m_NS.min(axis=1)
    slot = predictions.sigma_m_NS.argmin(axis=1)
    rows = np.flatnonzero(np.isfinite(sigma_N) & (sigma_N < 4 * np.nanmedian(
        sigma_N[np.isfinite(sigma_N)]) if np.isfinite(sigma_N).any() else False))
    if len(rows) < max(6, solver.min_inliers):
        return None
    x = predictions.coords_map_NS3[rows, slot[rows]].astype(np.float64)
    uv = features.pixels_N2[rows].astype(np.float64)
    gate_px = 8.0
    cv2.setRNGSeed(seed)
    found, rvec, tvec, _ = cv2.solvePnPRansac(
        x, uv, camera.K_33, None, iterationsCount=1000, reprojectionError=gate_px,
        confidence=0.9999, flags=cv2.SOLVEPNP_AP3P)
    if not found:
        return None
    inlier = np.zeros(0, np.int64)
    for _ in range(4):
        x_all, sigma_all, ok = _best_by_reprojection(
            np.asarray(rvec, np.float64), np.asarray(tvec, np.float64), features, predictions,
            camera, gate_px)
        inlier = np.flatnonzero(ok)
        if len(inlier) < max(6, solver.min_inliers):
            return None
        rvec, tvec = cv2.solvePnPRefineLM(
            x_all[inlier], features.pixels_N2[inlier].astype(np.float64), camera.K_33, None,
            rvec, tvec)
    ratio = len(inlier) / len(features)
    if ratio < solver.min_inlier_ratio:
        return None
    R_cam_map, _ = cv2.Rodrigues(rvec)
    t_cam_map = np.asarray(tvec, np.float64).reshape(3)
    T_map_cam = invert_pose(make_pose(np.asarray(R_cam_map), t_cam_map))
    mask = np.zeros(len(features), bool)
    mask[inlier] = True
    covariance = _rgb_covariance(
        T_map_cam, x_all[inlier], sigma_all[inlier], camera)
    return PoseEstimate(T_map_cam, covariance, mask, ratio)


def _best_by_reprojection(
    rvec: Float64Array, tvec: Float64Array, features: Features, predictions: Predictions,
    camera: Camera, gate_px: float,
) -> tuple[Float64Array, Float32Array, npt.NDArray[np.bool_]]:
    """Return each feature's hypothesis nearest its pixel, its sigma, and whether it is near."""
    N, S = predictions.sigma_m_NS.shape
    points = predictions.coords_map_NS3.reshape(-1, 3).astype(np.float64)
    R, _ = cv2.Rodrigues(rvec)
    cam = points @ np.asarray(R).T + np.asarray(tvec).reshape(3)
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = camera.project(cam).reshape(N, S, 2)
    error = np.linalg.norm(uv - features.pixels_N2[:, None], axis=2)
    error[~np.isfinite(predictions.sigma_m_NS) | (cam[:, 2].reshape(N, S) < 0.05)] = np.inf
    error = np.nan_to_num(error, nan=np.inf)
    slot = error.argmin(axis=1)
    rows = np.arange(N)
    return (points.reshape(N, S, 3)[rows, slot], predictions.sigma_m_NS[rows, slot],
            np.asarray(error[rows, slot] < gate_px))


def _rgb_covariance(
    T_map_cam: Float64Array, x_n3: Float64Array, sigma_n: Float32Array, camera: Camera
) -> Float64Array:
    """Covariance (6, 6) in the map frame from numeric reprojection derivatives."""
    def project(xi_6: Float64Array) -> Float64Array:
        T = exp_se3(xi_6)
        moved = make_pose(T[:3, :3] @ T_map_cam[:3, :3], T_map_cam[:3, 3] + xi_6[:3])
        T_cam_map = invert_pose(moved)
        return camera.project(x_n3 @ T_cam_map[:3, :3].T + T_cam_map[:3, 3])

    step = 1e-5
    columns = [(project(step * e) - project(-step * e)) / (2 * step) for e in np.eye(6)]
    J_n26 = np.stack(columns, axis=2)
    depth = (x_n3 - T_map_cam[:3, 3]) @ T_map_cam[:3, 2]
    variance = 1.0 + (camera.fx * sigma_n / np.maximum(depth, 0.1)) ** 2
    information = np.einsum("n,nki,nkj->ij", 1.0 / variance, J_n26, J_n26)
    return np.asarray(np.linalg.inv(information + 1e-9 * np.eye(6)) * 8.0)
