"""Camera pose from scene coordinates and pixels alone, for queries without depth.

Without depth no side length is known that could tell right hypotheses from wrong ones. What is
near in the image is mostly near in the world, though: a robust solver tries the hypothesis of each
feature that most of its neighbors in the image support, the best supported features first. It is
PoseLib's where that is installed, else OpenCV's, which needs more draws where much repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..data.poses import PoseEstimate
from ..geometry.se3 import exp_se3, invert_pose, make_pose
from ..runtime.compiled import AVAILABLE, kernel
from .hypotheses import Hypotheses
from .refinement import SHARED_ERRORS, beyond_chance

try:
    import poselib
except ImportError:  # an extra of its own
    poselib = None

if TYPE_CHECKING:
    from ..config.sections import SolverConfig
    from ..data.camera import Camera
    from ..data.features import Features
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array, Float64Array, Int64Array

_NEIGHBORS, _NEAR_M = 12, 0.25
#: A hypothesis is tried when at least this many neighbors support it.
_LEAST_SUPPORT = 3
_GATE_PX = 8.0
_MOST_DRAWS, _LEAST_DRAWS = 3000, 100
_ROUNDS = 2


def solver_name() -> str:
    """Return which library draws the samples; for people."""
    return "OpenCV" if poselib is None else f"PoseLib {poselib.__version__}"


def solve_rgb(
    features: Features, predictions: Predictions, camera: Camera, solver: SolverConfig,
    seed: int,
) -> PoseEstimate | None:
    """Find the pose from pixels alone.

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
    least = max(6, solver.min_inliers)
    if len(known.row_n) < least:
        return None
    pixels_n2 = features.pixels_N2[known.row_n]
    tried = best_supported(known, pixels_n2)
    if len(tried) < least:
        return None
    pixels_M2 = pixels_n2[known.owner_M].astype(np.float64)
    points_M3 = known.x_M3.astype(np.float64)
    search = _by_opencv if poselib is None else _by_poselib
    pose = search(pixels_M2[tried], points_M3[tried], camera, seed)
    if pose is None:
        return None
    rvec, tvec = pose
    for _ in range(_ROUNDS):
        inlier, error_px = _agreeing(rvec, tvec, known, pixels_M2, camera)
        if len(inlier) < least:
            return None
        rvec, tvec = (np.asarray(v, np.float64) for v in cv2.solvePnPRefineLM(
            points_M3[inlier], pixels_M2[inlier], camera.K_33, None, rvec, tvec))
    inlier, error_px = _agreeing(rvec, tvec, known, pixels_M2, camera)
    confidence = beyond_chance((error_px / _GATE_PX) ** 2, len(features), dimensions=2)
    if len(inlier) < least or confidence < solver.min_confidence:
        return None
    R_cam_map, _ = cv2.Rodrigues(rvec)
    T_map_cam = invert_pose(make_pose(np.asarray(R_cam_map), tvec.reshape(3)))
    mask = np.zeros(len(features), bool)
    mask[known.row_n[known.owner_M[inlier]]] = True
    covariance = _covariance(T_map_cam, points_M3[inlier], pixels_M2[inlier], camera)
    return PoseEstimate(T_map_cam, covariance, mask, len(inlier) / len(features), confidence,
                        float(np.median(error_px)))


def best_supported(known: Hypotheses, pixels_n2: Float32Array) -> Int64Array:
    """Return the hypothesis of each feature with most support, if it has enough, best first."""
    from scipy.spatial import cKDTree  # only queries without depth pay for it

    count = min(_NEIGHBORS + 1, len(pixels_n2))
    _, beside_nk = cKDTree(pixels_n2).query(pixels_n2, count)
    beside_nk = np.asarray(beside_nk, np.int64).reshape(len(pixels_n2), -1)
    vote = count_votes if AVAILABLE else count_votes_twin
    votes_M = np.empty(len(known.x_M3), np.int64)
    vote(beside_nk[:, 1:], known.start_n, known.count_n, known.x_M3, votes_M)
    surest_M = np.lexsort((known.sigma_M, -votes_M, known.owner_M))  # best of each feature first
    best_n = surest_M[known.start_n]
    best_n = best_n[votes_M[best_n] >= _LEAST_SUPPORT]
    found: Int64Array = best_n[np.lexsort((known.sigma_M[best_n], -votes_M[best_n]))]
    return found


@kernel
def count_votes(
    beside_nk: Int64Array, start_n: Int64Array, count_n: Int64Array, x_M3: Float32Array,
    votes_M: Int64Array,
) -> None:
    """Count, for each hypothesis, the neighbors with a hypothesis near it.

    Args:
        beside_nk: (n, k) neighbors of each feature in the image.
        start_n, count_n, x_M3: see `Hypotheses`.
        votes_M: result.
    """
    for n in range(len(start_n)):
        for m in range(start_n[n], start_n[n] + count_n[n]):
            votes_M[m] = 0
            for k in range(beside_nk.shape[1]):
                other = beside_nk[n, k]
                for j in range(start_n[other], start_n[other] + count_n[other]):
                    x, y, z = x_M3[j, 0] - x_M3[m, 0], x_M3[j, 1] - x_M3[m, 1], (
                        x_M3[j, 2] - x_M3[m, 2])
                    if x * x + y * y + z * z < _NEAR_M * _NEAR_M:
                        votes_M[m] += 1
                        break


def count_votes_twin(
    beside_nk: Int64Array, start_n: Int64Array, count_n: Int64Array, x_M3: Float32Array,
    votes_M: Int64Array,
) -> None:
    """Slow twin of `count_votes`."""
    votes_M[:] = 0
    for n in range(len(start_n)):
        own = x_M3[start_n[n]:start_n[n] + count_n[n]]
        for other in beside_nk[n]:
            theirs = x_M3[start_n[other]:start_n[other] + count_n[other]]
            gap2 = np.square(own[:, None] - theirs).sum(axis=2)
            votes_M[start_n[n]:start_n[n] + count_n[n]] += (gap2 < _NEAR_M**2).any(axis=1)


def _by_poselib(
    pixels_M2: Float64Array, points_M3: Float64Array, camera: Camera, seed: int
) -> tuple[Float64Array, Float64Array] | None:
    """Rotation vector and translation of the map in the camera; the surest come first."""
    pose, found = poselib.estimate_absolute_pose(
        pixels_M2, points_M3,
        {"model": "PINHOLE", "width": camera.width, "height": camera.height,
         "params": camera.pinhole_4.tolist()},
        {"max_reproj_error": _GATE_PX, "max_iterations": _MOST_DRAWS,
         "min_iterations": _LEAST_DRAWS, "progressive_sampling": True,
         "max_prosac_iterations": _MOST_DRAWS, "seed": seed})
    if found["num_inliers"] == 0:
        return None
    rvec, _ = cv2.Rodrigues(np.asarray(pose.R))
    return np.array(rvec, np.float64), np.array(pose.t, np.float64).reshape(3, 1)


def _by_opencv(
    pixels_M2: Float64Array, points_M3: Float64Array, camera: Camera, seed: int
) -> tuple[Float64Array, Float64Array] | None:
    """Do as `_by_poselib`."""
    wanted = cv2.UsacParams()
    wanted.sampler, wanted.score = cv2.SAMPLING_PROSAC, cv2.SCORE_METHOD_MSAC
    wanted.loMethod, wanted.loIterations, wanted.loSampleSize = cv2.LOCAL_OPTIM_INNER_LO, 20, 50
    wanted.threshold, wanted.confidence = _GATE_PX, 0.9999
    wanted.maxIterations, wanted.randomGeneratorState = _MOST_DRAWS, seed
    found, _, rvec, tvec, _ = cv2.solvePnPRansac(
        points_M3, pixels_M2, camera.K_33, None, params=wanted)
    if not found:
        return None
    return np.asarray(rvec, np.float64), np.asarray(tvec, np.float64)


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
