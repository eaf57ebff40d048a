"""Where two keyframes stood relative to each other, from their own features and points alone.

No map is involved, so that the answer is independent of every pose estimate: descriptor matches
with sub-cell positions give a robust pose (the tracker's solver), matches and the measured
surfaces together refine it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..data.features import Features
from ..data.predictions import Predictions
from ..geometry.se3 import cross_matrices, exp_se3, log_se3, transform_points
from ..localization.rgbd import solve_rgbd

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, SolverConfig
    from ..geometry.arrays import Float32Array, Float64Array
    from .keyframe_surface import View

#: Matches considered per feature: the place may look alike twice within one image.
_MATCHES = 2
#: Descriptors less alike than this are not of one place.
_LEAST_SIMILARITY = 0.5
#: A matched position is uniform within a cell: its standard deviation is cell / sqrt(12).
_UNIFORM = 12**-0.5
#: Neighboring features share depth and matching errors: so many count as one measurement.
_SHARED_ERRORS = 8.0
_ITERATIONS = 6
#: Two directions of one alignment may differ by so many standard deviations of each.
_AGREEMENT_SIGMAS = 4.0
_AGREEMENT_FLOOR_M, _AGREEMENT_FLOOR_RAD = 0.02, np.deg2rad(0.7)


@dataclass(frozen=True)
class Alignment:
    """Pose of camera b in camera a.

    Attributes:
        T_a_b: (4, 4) rigid pose.
        covariance_66: of a left twist of T_a_b (frame of a), translation first.
        inlier_ratio: share of b's features whose match agrees.
        surface_ratio: share of b's points near a's surfaces that lie on them.
    """

    T_a_b: Float64Array
    covariance_66: Float64Array
    inlier_ratio: float
    surface_ratio: float


def align(
    a: View, b: View, solver: SolverConfig, sensor: SensorConfig, seed: int
) -> Alignment | None:
    """Align b with a; None when too few features agree.

    Args:
        a, b: the two keyframes.
        solver: gates and least numbers of inliers.
        sensor: depth noise.
        seed: of the random hypotheses; the same seed gives the same answer.
    """
    matches = _match(a, b)
    features = Features(b.descriptors_ND, b.keyframe.pixels_N2, b.keyframe.points_cam_N3)
    found = solve_rgbd(features, matches, solver, sensor, np.random.default_rng(seed))
    if found is None:
        return None
    T_a_b, information, surface_ratio = _refine(found.T_map_cam, a, b, matches)
    try:
        covariance = np.asarray(np.linalg.inv(information), np.float64)
    except np.linalg.LinAlgError:
        return None
    return Alignment(T_a_b, covariance, found.inlier_ratio, surface_ratio)


def align_both_ways(
    a: View, b: View, solver: SolverConfig, sensor: SensorConfig, seed: int
) -> Alignment | None:
    """Align b with a and a with b; None unless both are found and agree."""
    forth = align(a, b, solver, sensor, seed)
    back = None if forth is None else align(b, a, solver, sensor, seed)
    if forth is None or back is None:
        return None
    gap = log_se3(forth.T_a_b @ back.T_a_b)
    # the rotation of one is the same in both frames; its lever arm moves the translation
    spread = np.sqrt(np.diag(forth.covariance_66) + np.diag(back.covariance_66))
    limit = _AGREEMENT_SIGMAS * spread
    if (np.linalg.norm(gap[:3]) > max(_AGREEMENT_FLOOR_M, float(np.linalg.norm(limit[:3])))
            or np.linalg.norm(gap[3:]) > max(_AGREEMENT_FLOOR_RAD,
                                             float(np.linalg.norm(limit[3:])))):
        return None
    middle = exp_se3(-0.5 * gap) @ forth.T_a_b
    return Alignment(middle, forth.covariance_66, min(forth.inlier_ratio, back.inlier_ratio),
                     min(forth.surface_ratio, back.surface_ratio))


def _match(a: View, b: View) -> Predictions:
    """Return a's points that show what b's features show, best matches first."""
    with torch.inference_mode():
        similarity = torch.from_numpy(b.descriptors_ND) @ torch.from_numpy(a.descriptors_ND).T
        best, index = similarity.topk(min(_MATCHES, similarity.shape[1]), dim=1)
    similarity_NM, index_NS = similarity.numpy(), index.numpy()
    coords = np.empty((*index_NS.shape, 3), np.float32)
    for slot in range(index_NS.shape[1]):
        coords[:, slot] = _between_cells(a, similarity_NM, index_NS[:, slot])
    focal_px = a.keyframe.camera.fx
    sigma = a.cell_px * _UNIFORM / focal_px * coords[..., 2] + 0.5 * a.sigma_N[index_NS]
    sigma = np.where(best.numpy() < _LEAST_SIMILARITY, np.inf, sigma)
    return Predictions(coords, sigma.astype(np.float32))


def _between_cells(
    a: View, similarity_NM: Float32Array, index_N: np.ndarray
) -> Float64Array:
    """Return matched points (N, 3), moved within their cell to the peak of the similarity.

    The peak is that of a parabola through the similarities of a cell and its two neighbors, in
    each direction; the point moves on the surface of its neighborhood.
    """
    rows = np.arange(len(index_N))
    here = similarity_NM[rows, index_N]
    shift_px = np.zeros((len(index_N), 2))
    for axis in range(2):
        before, after = a.beside_N4[index_N, 2 * axis], a.beside_N4[index_N, 2 * axis + 1]
        low, high = similarity_NM[rows, before], similarity_NM[rows, after]
        curvature = np.minimum(low - 2.0 * here + high, -1e-3)
        shift = np.where((before >= 0) & (after >= 0), 0.5 * (low - high) / curvature, 0.0)
        shift_px[:, axis] = np.clip(shift, -0.5, 0.5) * a.cell_px
    point, normal = a.points_N3[index_N], a.normals_N3[index_N]
    camera = a.keyframe.camera
    ray = point / point[:, 2:] + np.concatenate(
        [shift_px / (camera.fx, camera.fy), np.zeros((len(rows), 1))], axis=1)
    slope = (ray * normal).sum(axis=1)
    steep = np.abs(slope) < 0.2 * np.linalg.norm(ray, axis=1)
    depth = (point * normal).sum(axis=1) / np.where(steep, 1.0, slope)
    trusted = a.flat_N[index_N] & ~steep & (np.abs(depth - point[:, 2]) < 0.05 * point[:, 2])
    return np.asarray(ray * np.where(trusted, depth, point[:, 2])[:, None])


def _refine(
    T_a_b: Float64Array, a: View, b: View, matches: Predictions
) -> tuple[Float64Array, Float64Array, float]:
    """Gauss-Newton on matches (point to point) and surfaces (point to plane), Cauchy weights.

    Returns:
        Pose, information (6, 6) of a left twist, share of b's points on a's surfaces among
        those near them.
    """
    y = b.points_N3
    known = np.isfinite(matches.sigma_m_NS)
    x_NS3 = matches.coords_map_NS3.astype(np.float64)
    information, surface_ratio = np.eye(6), 0.0
    rows = np.arange(len(y))
    for _ in range(_ITERATIONS):
        q = transform_points(T_a_b, y)
        distance = np.where(known, np.linalg.norm(q[:, None] - x_NS3, axis=2), np.inf)
        slot = distance.argmin(axis=1)
        nearest, sigma = distance[rows, slot], matches.sigma_m_NS[rows, slot]
        sigma = np.hypot(np.where(np.isfinite(sigma), sigma, 1.0), 0.5 * b.sigma_N)
        index = np.flatnonzero(nearest < 3.0 * sigma + 0.02)
        weight = _cauchy(nearest[index], sigma[index])
        J = np.concatenate(
            [np.tile(np.eye(3), (len(index), 1, 1)), -cross_matrices(q[index])], axis=2)
        information = np.einsum("n,nki,nkj->ij", weight, J, J)
        gradient = np.einsum("n,nki,nk->i", weight, J, q[index] - x_NS3[index, slot[index]])
        J_plane, residual, weight, surface_ratio = _surface_terms(a, b, q)
        information += np.einsum("n,ni,nj->ij", weight, J_plane, J_plane)
        gradient += np.einsum("n,ni,n->i", weight, J_plane, residual)
        step = np.linalg.solve(information + 1e-6 * np.eye(6), gradient)
        T_a_b = exp_se3(-step) @ T_a_b
        if np.abs(step).max() < 1e-5:
            break
    return T_a_b, information / _SHARED_ERRORS + 1e-6 * np.eye(6), surface_ratio


def _surface_terms(
    a: View, b: View, q_N3: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array, float]:
    """Return derivatives (m, 6), residuals (m,), weights (m,) of b's points on a's planes."""
    distance, index = a.tree.query(q_N3)
    near = a.flat_N[index] & (distance < 0.1 * np.maximum(a.points_N3[index, 2], 0.5))
    rows, index = np.flatnonzero(near), index[near]
    normal = a.normals_N3[index]
    residual = ((q_N3[rows] - a.points_N3[index]) * normal).sum(axis=1)
    sigma = 0.5 * b.sigma_N[rows] + 0.003
    on = np.abs(residual) < 4.0 * sigma
    weight = np.where(on, _cauchy(residual, sigma), 0.0)
    J = np.concatenate([normal, np.cross(q_N3[rows], normal)], axis=1)
    return J, residual, weight, float(on.mean()) if len(on) else 0.0


def _cauchy(residual_n: Float64Array, sigma_n: Float64Array) -> Float64Array:
    return np.asarray(1.0 / (np.square(sigma_n) + np.square(residual_n) / 4.0))
