"""Camera pose from scene coordinates and pixels alone, for queries without depth.

Without depth no side length is known that could tell right hypotheses from wrong ones. What is
near in the image is mostly near in the world, though: a hypothesis counts when neighbors in the
image have hypotheses near it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..data.poses import PoseEstimate
from ..geometry.se3 import exp_se3, invert_pose, make_pose
from .hypotheses import Hypotheses
from .ranges import expand
from .refinement import SHARED_ERRORS, beyond_chance

if TYPE_CHECKING:
    from ..config.sections import SolverConfig
    from ..data.camera import Camera
    from ..data.features import Features
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array, Float64Array, Int64Array

_NEIGHBOURS, _NEAR_M = 16, 0.35
#: A hypothesis is tried when at least this many neighbors support it.
_LEAST_SUPPORT = 4
#: Hypotheses of a feature that PnP may draw from.
_TRIED = 2
_GATE_PX = 8.0
#: Pairs of hypotheses compared at once; bounds the memory.
_CHUNK = 2_000_000


def solve_rgb(
    features: Features, predictions: Predictions, camera: Camera, solver: SolverConfig,
    seed: int,
) -> PoseEstimate | None:
    """Find the pose from pixels alone: PnP over the hypotheses that neighbors support.

    Args:
        features: their points are not used.
        predictions: hypotheses for the same features.
        camera: intrinsics.
        solver: least inliers.
        seed: of the random draws.

    Returns:
        The pose with a covariance from the reprojection information, or None.
    """
    known = Hypotheses.of(
        features.points_cam_N3, predictions, np.ones(len(features), np.bool_))
    if len(known.row_n) < max(6, solver.min_inliers):
        return None
    pixels_n2 = features.pixels_N2[known.row_n]
    tried = supported(known, pixels_n2)
    if len(tried) < max(6, solver.min_inliers):
        return None
    pixels_M2 = pixels_n2[known.owner_M].astype(np.float64)
    points_M3 = known.x_M3.astype(np.float64)
    cv2.setRNGSeed(seed)
    found, rvec, tvec, _ = cv2.solvePnPRansac(
        points_M3[tried], pixels_M2[tried], camera.K_33, None, iterationsCount=1000,
        reprojectionError=_GATE_PX, confidence=0.9999, flags=cv2.SOLVEPNP_AP3P)
    if not found:
        return None
    inlier: Int64Array = np.zeros(0, np.int64)
    for _ in range(4):
        inlier, error_m = _agreeing(
            np.asarray(rvec, np.float64), np.asarray(tvec, np.float64), known, pixels_M2, camera)
        if len(inlier) < max(6, solver.min_inliers):
            return None
        rvec, tvec = cv2.solvePnPRefineLM(
            points_M3[inlier], pixels_M2[inlier], camera.K_33, None, rvec, tvec)
    confidence = beyond_chance((error_m / _GATE_PX) ** 2, len(features), dimensions=2)
    if confidence < solver.min_confidence:
        return None
    R_cam_map, _ = cv2.Rodrigues(rvec)
    t_cam_map = np.asarray(tvec, np.float64).reshape(3)
    T_map_cam = invert_pose(make_pose(np.asarray(R_cam_map), t_cam_map))
    mask = np.zeros(len(features), bool)
    mask[known.row_n[known.owner_M[inlier]]] = True
    covariance = _covariance(T_map_cam, points_M3[inlier], pixels_M2[inlier], camera)
    return PoseEstimate(T_map_cam, covariance, mask, len(inlier) / len(features), confidence)


def supported(known: Hypotheses, pixels_n2: Float32Array) -> Int64Array:
    """Return the hypotheses (ascending) that neighbors in the image support most.

    At most two of a feature, and none with too little support.
    """
    votes_M = support(known, pixels_n2)
    surest_M = np.lexsort((known.sigma_M, -votes_M, known.owner_M))  # best of each feature first
    rank_M = np.empty(len(surest_M), np.int64)
    rank_M[surest_M] = np.arange(len(surest_M)) - known.start_n[known.owner_M[surest_M]]
    return np.flatnonzero((rank_M < _TRIED) & (votes_M >= _LEAST_SUPPORT))


def support(known: Hypotheses, pixels_n2: Float32Array) -> Int64Array:
    """Count, for each hypothesis (M,), the neighbors in the image with a hypothesis near it."""
    from scipy.spatial import cKDTree  # only queries without depth pay for it

    count = min(_NEIGHBOURS + 1, len(pixels_n2))
    _, beside_nk = cKDTree(pixels_n2).query(pixels_n2, count)
    beside_M = beside_nk[known.owner_M].reshape(len(known.owner_M), count)
    votes_M = np.zeros(len(beside_M), np.int64)
    for k in range(1, count):
        neighbor_M = beside_M[:, k]
        size_M = known.count_n[neighbor_M]
        ends = np.cumsum(size_M)
        first = 0
        while first < len(size_M):
            before = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + _CHUNK, "right")))
            owner, other = expand(known.start_n[neighbor_M[first:last]], size_M[first:last])
            gap = known.x_M3[other] - known.x_M3[first + owner]
            near = np.einsum("ki,ki->k", gap, gap) < _NEAR_M**2
            votes_M[first:last] += np.bincount(owner[near], minlength=last - first) > 0
            first = last
    return votes_M


def _agreeing(
    rvec: Float64Array, tvec: Float64Array, known: Hypotheses, pixels_M2: Float64Array,
    camera: Camera,
) -> tuple[Int64Array, Float64Array]:
    """Return the hypothesis of each feature that is nearest its pixel, where it is near.

    Returns:
        (indices (m,), how far from their pixels (m,)).
    """
    R, _ = cv2.Rodrigues(rvec)
    local = known.x_M3.astype(np.float64) @ np.asarray(R).T + np.asarray(tvec).reshape(3)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.linalg.norm(camera.project(local) - pixels_M2, axis=1)
    error = np.where(np.isfinite(error) & (local[:, 2] > 0.05), error, np.inf)
    nearest = known.least(error, _GATE_PX)
    return nearest, error[nearest]


def _covariance(
    T_map_cam: Float64Array, x_n3: Float64Array, pixels_n2: Float64Array, camera: Camera
) -> Float64Array:
    """Covariance (6, 6) in the map frame: numeric derivatives, the spread of the residuals."""
    def project(xi_6: Float64Array) -> Float64Array:
        T = exp_se3(xi_6)
        moved = make_pose(T[:3, :3] @ T_map_cam[:3, :3], T_map_cam[:3, 3] + xi_6[:3])
        T_cam_map = invert_pose(moved)
        return camera.project(x_n3 @ T_cam_map[:3, :3].T + T_cam_map[:3, 3])

    step = 1e-5
    columns = [(project(step * e) - project(-step * e)) / (2 * step) for e in np.eye(6)]
    J_n26 = np.stack(columns, axis=2)
    variance = float(np.mean((project(np.zeros(6)) - pixels_n2) ** 2)) * SHARED_ERRORS
    information = np.einsum("nki,nkj->ij", J_n26, J_n26) / variance
    return np.asarray(np.linalg.inv(information + 1e-9 * np.eye(6)))
