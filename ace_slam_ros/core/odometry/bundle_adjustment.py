"""Windowed adjustment: poses of recent keyframes and depths of their points, all at once.

A point is one number, its inverse depth in the keyframe that first saw it (its host); the
measured depth is one observation among others. Points are eliminated first (Schur complement),
so that the system to solve has six unknowns per keyframe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..geometry.se3 import cross_matrices, exp_se3
from .residuals import KERNEL_SIGMAS, NEAREST_M, depth_spread, depth_weight, image_spread

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float64Array, Int64Array

#: Gauss-Newton steps of an adjustment.
ITERATIONS = 3
#: Points seen often are never trusted to less than this share of one measurement's error: what
#: their sightings share does not average out.
_LEAST_NARROWED = 0.1
#: Sightings off by more are of something else, often of something that moves: a free depth would
#: bend to them.
_CUT_SIGMAS = 3.0
#: In the many sightings of a window, noise of depth averages out. What it exceeds the model by
#: does not: depth that is bent, or late, is so in all views. The measured spread therefore counts
#: twice, within these limits.
_LEAST_OF_DEPTH, _LARGEST_OF_DEPTH = 0.25, 16.0


@dataclass
class Window:
    """Keyframes, points and sightings of one adjustment.

    Attributes:
        poses_K44: camera-to-map poses.
        free_K: (K,) bool, poses that may move.
        rays_n3: (n, 3) points at depth 1 m in their host's camera frame.
        host_n: (n,) index of the host.
        inverse_n: (n,) inverse depth, 1/m.
        measured_n, sigma_n: (n,) depth measured by the host and its standard deviation, meters.
        point_m, target_m: (m,) which point is seen by which keyframe.
        pixels_m2, depth_m: (m, 2), (m,) where, and the depth measured there, NaN where unknown.
    """

    poses_K44: Float64Array
    free_K: npt.NDArray[np.bool_]
    rays_n3: Float64Array
    host_n: Int64Array
    inverse_n: Float64Array
    measured_n: Float64Array
    sigma_n: Float64Array
    point_m: Int64Array
    target_m: Int64Array
    pixels_m2: Float64Array
    depth_m: Float64Array


def iterate(window: Window, camera: Camera, sensor: SensorConfig) -> Float64Array:
    """Adjust poses and inverse depths in place by one Gauss-Newton step with a Cauchy kernel.

    Returns:
        (n,) standard deviation of the inverse depths over that of the host's measurement alone.
    """
    column_K = np.cumsum(window.free_K) - 1
    size = 6 * int(window.free_K.sum())
    sigma_m = sensor.depth_sigma_m(window.depth_m)
    r, J_host, J_target, J_inverse = linearize(window, camera, sensor, sigma_m)
    weight, spread = _weights(r, np.isfinite(sigma_m))
    H, C, h, g, b = _normal_equations(
        window, r * weight, J_host * weight[..., None], J_target * weight[..., None],
        J_inverse * weight, spread * window.sigma_n, column_K, size)
    reduced = H - (C.T / h) @ C
    step = np.asarray(
        -np.linalg.solve(reduced + 1e-6 * np.eye(size), g - C.T @ (b / h)), np.float64)
    inverse_step = -(b + C @ step) / h
    window.inverse_n = np.maximum(window.inverse_n + inverse_step, 1e-2)
    for k in np.flatnonzero(window.free_K):
        part = step[6 * column_K[k]:6 * column_K[k] + 6]
        window.poses_K44[k] = window.poses_K44[k] @ exp_se3(part)
    measured = spread * window.sigma_n * np.square(window.inverse_n)
    return np.asarray(np.clip(h**-0.5 / measured, _LEAST_NARROWED, 1.0))


def _weights(
    r_m3: Float64Array, has_depth_m: npt.NDArray[np.bool_]
) -> tuple[Float64Array, float]:
    """Square roots (m, 3) of the robust weights of u, v, z, and the spread of the depths."""
    chi2 = np.square(r_m3[:, :2]).sum(axis=1)
    spread = image_spread(chi2)
    image = 1.0 / (1.0 + chi2 / (KERNEL_SIGMAS * spread) ** 2)
    image[chi2 > (_CUT_SIGMAS * spread) ** 2] = 0.0
    measured = depth_spread(r_m3[:, 2], has_depth_m & (image > 0.5))
    of_depth = min(max(measured**2, _LEAST_OF_DEPTH), _LARGEST_OF_DEPTH)
    depth = depth_weight(r_m3[:, 2], image, of_depth)
    image = image / spread**2
    return np.sqrt(np.stack([image, image, depth], axis=1)), of_depth


def linearize(
    window: Window, camera: Camera, sensor: SensorConfig, sigma_m: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Whitened residuals of all sightings and their derivatives.

    Returns:
        (m, 3) residuals u, v, z; (m, 3, 6) derivatives by a right twist of the host's pose, and
        of the target's; (m, 3) by the inverse depth.
    """
    host = window.host_n[window.point_m]
    T_host, T_target = window.poses_K44[host], window.poses_K44[window.target_m]
    inverse = window.inverse_n[window.point_m]
    P = window.rays_n3[window.point_m] / inverse[:, None]
    R = np.matmul(T_target[:, :3, :3].transpose(0, 2, 1), T_host[:, :3, :3])
    moved = np.einsum("mij,mj->mi", T_host[:, :3, :3], P) + T_host[:, :3, 3]
    p = np.einsum("mji,mj->mi", T_target[:, :3, :3], moved - T_target[:, :3, 3])
    r, D = _project_whitened(p, window.pixels_m2, window.depth_m, sigma_m, camera, sensor)
    DR = np.matmul(D, R)
    J_host = np.concatenate([DR, -DR @ cross_matrices(P)], axis=2)
    J_target = np.concatenate([-D, D @ cross_matrices(p)], axis=2)
    J_inverse = -np.einsum("mij,mj->mi", DR, P) / inverse[:, None]
    return r, J_host, J_target, J_inverse


def _project_whitened(
    p_n3: Float64Array, pixels_n2: Float64Array, depth_m_n: Float64Array,
    sigma_m_n: Float64Array, camera: Camera, sensor: SensorConfig,
) -> tuple[Float64Array, Float64Array]:
    """Compare camera-frame points with where they were seen, in standard deviations.

    Args:
        p_n3: points, meters.
        pixels_n2, depth_m_n: where they were seen; depth NaN where unknown.
        sigma_m_n: standard deviation of the depth, NaN where unknown.
        camera, sensor: intrinsics, noise of pixels.

    Returns:
        (n, 3) residuals u, v, z and (n, 3, 3) their derivatives by the point; z is 0 where the
        depth is unknown.
    """
    z = np.maximum(p_n3[:, 2], NEAREST_M)
    inverse = 1.0 / z
    r = np.empty((len(p_n3), 3))
    r[:, 0] = (camera.fx * p_n3[:, 0] / z + camera.cx - pixels_n2[:, 0]) / sensor.pixel_sigma
    r[:, 1] = (camera.fy * p_n3[:, 1] / z + camera.cy - pixels_n2[:, 1]) / sensor.pixel_sigma
    known = np.isfinite(sigma_m_n)
    r[:, 2] = np.where(known, (z - depth_m_n) / sigma_m_n, 0.0)
    D = np.zeros((len(p_n3), 3, 3))
    D[:, 0, 0] = camera.fx * inverse / sensor.pixel_sigma
    D[:, 0, 2] = -D[:, 0, 0] * p_n3[:, 0] * inverse
    D[:, 1, 1] = camera.fy * inverse / sensor.pixel_sigma
    D[:, 1, 2] = -D[:, 1, 1] * p_n3[:, 1] * inverse
    D[:, 2, 2] = np.where(known, 1.0 / sigma_m_n, 0.0)
    return r, D


def _normal_equations(
    window: Window, r: Float64Array, J_host: Float64Array, J_target: Float64Array,
    J_inverse: Float64Array, sigma_n: Float64Array, column_K: Int64Array, size: int,
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]:
    """Sum up H (6K, 6K), C (n, 6K), h (n,), g (6K,), b (n,); `sigma_n` as in `Window`."""
    n = len(window.rays_n3)
    host = window.host_n[window.point_m]
    H, C, g = np.zeros((size, size)), np.zeros((n, size)), np.zeros(size)
    prior = sigma_n * np.square(window.inverse_n)  # sigma of the inverse depth
    h = 1.0 / np.square(prior)
    b = (window.inverse_n - 1.0 / window.measured_n) * h
    h += np.bincount(window.point_m, np.square(J_inverse).sum(axis=1), n)
    b += np.bincount(window.point_m, (J_inverse * r).sum(axis=1), n)
    for k in np.flatnonzero(window.free_K):
        a = slice(6 * column_K[k], 6 * column_K[k] + 6)
        for J, is_k in ((J_host, host == k), (J_target, window.target_m == k)):
            rows = np.flatnonzero(is_k)
            own = J[rows].reshape(-1, 6)
            H[a, a] += own.T @ own
            g[a] += own.T @ r[rows].reshape(-1)
            coupling = np.einsum("mij,mi->mj", J[rows], J_inverse[rows])
            for i in range(6):
                C[:, a.start + i] += np.bincount(window.point_m[rows], coupling[:, i], n)
        for other in np.flatnonzero(window.free_K):
            rows = np.flatnonzero((host == k) & (window.target_m == other))
            if len(rows):
                c = slice(6 * column_K[other], 6 * column_K[other] + 6)
                cross = J_host[rows].reshape(-1, 6).T @ J_target[rows].reshape(-1, 6)
                H[a, c] += cross
                H[c, a] += cross.T
    return H, C, h, g, b
