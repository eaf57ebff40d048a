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

from ..geometry.se3 import cross_matrices, exp_se3, invert_pose
from ..runtime.compiled import AVAILABLE, kernel
from .residuals import (
    FEWEST_DEPTHS,
    KERNEL_SIGMAS,
    LARGEST_SPREAD,
    LEAST_SPREAD,
    MEDIAN_RADIUS,
    NEAREST_M,
    NORMAL_MAD,
    USUAL_DEPTH_SPREAD,
    depth_spread,
    depth_weight,
    image_spread,
    whiten,
)

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
        white_m3: (m, 3) what makes standard deviations of pixels, see `whitening`.
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
    white_m3: Float64Array


def iterate(window: Window, camera: Camera, sensor: SensorConfig) -> Float64Array:
    """Adjust poses and inverse depths in place by one Gauss-Newton step with a Cauchy kernel.

    Returns:
        (n,) standard deviation of the inverse depths over that of the host's measurement alone.
    """
    column_K = np.where(window.free_K, np.cumsum(window.free_K) - 1, -1)
    size = 6 * int(window.free_K.sum())
    made = sum_up(window, camera, sensor, column_K, size)
    eliminated = made.C / np.sqrt(made.h)[:, None]
    reduced = made.H - eliminated.T @ eliminated
    step = np.asarray(-np.linalg.solve(
        reduced + 1e-6 * np.eye(size), made.g - made.C.T @ (made.b / made.h)), np.float64)
    inverse_step = -(made.b + made.C @ step) / made.h
    window.inverse_n = np.maximum(window.inverse_n + inverse_step, 1e-2)
    for k in np.flatnonzero(window.free_K):
        part = step[6 * column_K[k]:6 * column_K[k] + 6]
        window.poses_K44[k] = window.poses_K44[k] @ exp_se3(part)
    measured = made.spread * window.sigma_n * np.square(window.inverse_n)
    return np.asarray(np.clip(made.h**-0.5 / measured, _LEAST_NARROWED, 1.0))


@dataclass(frozen=True)
class Equations:
    """Normal equations of F free keyframes and n points.

    Attributes:
        H, g: (6F, 6F), (6F,) of the poses.
        C: (n, 6F) of both.
        h, b: (n,) of the inverse depths.
        spread: of the measured depths.
    """

    H: Float64Array
    g: Float64Array
    C: Float64Array
    h: Float64Array
    b: Float64Array
    spread: float


def sum_up(
    window: Window, camera: Camera, sensor: SensorConfig, column_K: Int64Array, size: int
) -> Equations:
    """Return the equations; `column_K` is the place of the free keyframes, -1 of others."""
    if not AVAILABLE:
        return sum_up_twin(window, camera, sensor, column_K, size)
    K, n, m = len(column_K), len(window.rays_n3), len(window.point_m)
    sigma_m = sensor.depth_sigma_m(window.depth_m)
    sharp_m = np.where(np.isfinite(sigma_m), 1.0 / sigma_m, 0.0)
    relative = np.stack([invert_pose(pose) @ window.poses_K44 for pose in window.poses_K44])
    view = camera.pinhole_4
    p_m3, r_m3, weight_m2 = np.empty((m, 3)), np.empty((m, 3)), np.empty((m, 2))
    _see(relative, window.rays_n3, window.inverse_n, window.host_n, window.point_m,
         window.target_m, window.pixels_m2, window.depth_m, window.white_m3, sharp_m, view, p_m3,
         r_m3)
    spread = _weigh(r_m3, sharp_m, weight_m2)
    C, A, u = np.zeros((n, size)), np.zeros((K, K, 6, 6)), np.zeros((K, K, 6))
    h = 1.0 / np.square(spread * window.sigma_n * np.square(window.inverse_n))
    b = (window.inverse_n - 1.0 / window.measured_n) * h
    _accumulate(relative, window.rays_n3, window.inverse_n, window.host_n, window.point_m,
                window.target_m, window.white_m3, sharp_m, view, p_m3, r_m3, weight_m2, column_K,
                A, u, C, h, b)
    H, g = np.zeros((size, size)), np.zeros(size)
    _assemble(relative, A, u, column_K, H, g)
    return Equations(H, g, C, h, b, spread)


def sum_up_twin(
    window: Window, camera: Camera, sensor: SensorConfig, column_K: Int64Array, size: int
) -> Equations:
    """Do as `sum_up`, in NumPy."""
    sigma_m = sensor.depth_sigma_m(window.depth_m)
    r, J_host, J_target, J_inverse = linearize(window, camera, sigma_m)
    weight, spread = _weights(r, np.isfinite(sigma_m))
    H, C, h, g, b = _normal_equations(
        window, r * weight, J_host * weight[..., None], J_target * weight[..., None],
        J_inverse * weight, spread * window.sigma_n, column_K, size)
    return Equations(H, g, C, h, b, spread)


@kernel
def _see(
    relative_KK44: Float64Array, rays_n3: Float64Array, inverse_n: Float64Array,
    host_n: Int64Array, point_m: Int64Array, target_m: Int64Array, pixels_m2: Float64Array,
    depth_m: Float64Array, white_m3: Float64Array, sharp_m: Float64Array, view_4: Float64Array,
    p_m3: Float64Array, r_m3: Float64Array,
) -> None:
    """Fill points in the cameras that saw them, and whitened residuals."""
    for m in range(len(point_m)):
        n = point_m[m]
        T = relative_KK44[target_m[m], host_n[n]]
        far = 1.0 / inverse_n[n]
        a, b, c = rays_n3[n, 0] * far, rays_n3[n, 1] * far, rays_n3[n, 2] * far
        x = T[0, 0] * a + T[0, 1] * b + T[0, 2] * c + T[0, 3]
        y = T[1, 0] * a + T[1, 1] * b + T[1, 2] * c + T[1, 3]
        z = T[2, 0] * a + T[2, 1] * b + T[2, 2] * c + T[2, 3]
        p_m3[m, 0], p_m3[m, 1], p_m3[m, 2] = x, y, z
        near = max(z, NEAREST_M)
        u = view_4[0] * x / near + view_4[2] - pixels_m2[m, 0]
        v = view_4[1] * y / near + view_4[3] - pixels_m2[m, 1]
        r_m3[m, 0], r_m3[m, 1] = white_m3[m, 0] * u + white_m3[m, 1] * v, white_m3[m, 2] * v
        r_m3[m, 2] = (near - depth_m[m]) * sharp_m[m] if sharp_m[m] > 0.0 else 0.0


@kernel
def _weigh(r_m3: Float64Array, sharp_m: Float64Array, weight_m2: Float64Array) -> float:
    """Fill the weights of pixels and depth as `_weights`, not yet their roots."""
    count, trusted, work_m = len(r_m3), 0, np.empty(len(r_m3))
    for m in range(count):
        work_m[m] = r_m3[m, 0] * r_m3[m, 0] + r_m3[m, 1] * r_m3[m, 1]
    spread = np.sqrt(np.median(work_m)) / MEDIAN_RADIUS
    spread = min(max(spread, LEAST_SPREAD), LARGEST_SPREAD)
    for m in range(count):
        chi2 = r_m3[m, 0] * r_m3[m, 0] + r_m3[m, 1] * r_m3[m, 1]
        image = 1.0 / (1.0 + chi2 / (KERNEL_SIGMAS * spread) ** 2)
        if chi2 > (_CUT_SIGMAS * spread) ** 2:
            image = 0.0
        weight_m2[m, 0] = image
        if image > 0.5 and sharp_m[m] > 0.0:
            work_m[trusted] = abs(r_m3[m, 2])
            trusted += 1
    measured = USUAL_DEPTH_SPREAD
    if trusted >= FEWEST_DEPTHS:
        measured = NORMAL_MAD * np.median(work_m[:trusted])
    of_depth = min(max(measured * measured, _LEAST_OF_DEPTH), _LARGEST_OF_DEPTH)
    for m in range(count):
        weight_m2[m, 1] = weight_m2[m, 0] / (of_depth**2 + r_m3[m, 2] ** 2 / 4.0)
        weight_m2[m, 0] /= spread * spread
    return of_depth


@kernel
def _accumulate(
    relative_KK44: Float64Array, rays_n3: Float64Array, inverse_n: Float64Array,
    host_n: Int64Array, point_m: Int64Array, target_m: Int64Array, white_m3: Float64Array,
    sharp_m: Float64Array, view_4: Float64Array, p_m3: Float64Array, r_m3: Float64Array,
    weight_m2: Float64Array, column_K: Int64Array, A: Float64Array, u: Float64Array,
    C: Float64Array, h: Float64Array, b: Float64Array,
) -> None:
    """Sum up by pairs of keyframes: A (K, K, 6, 6), u (K, K, 6) by twists of the targets."""
    J, d, c = np.empty((3, 6)), np.zeros((3, 3)), np.empty(6)
    weight, of_inverse = np.empty(3), np.empty(3)
    for m in range(len(point_m)):
        n, k = point_m[m], target_m[m]
        host = host_n[n]
        T, pair, right = relative_KK44[k, host], A[k, host], u[k, host]
        x, y, z = p_m3[m, 0], p_m3[m, 1], p_m3[m, 2]
        near = max(z, NEAREST_M)
        d[0, 0], d[0, 1] = white_m3[m, 0] * view_4[0] / near, white_m3[m, 1] * view_4[1] / near
        d[0, 2], d[1, 1] = -(d[0, 0] * x + d[0, 1] * y) / near, white_m3[m, 2] * view_4[1] / near
        d[1, 2], d[2, 2] = -d[1, 1] * y / near, sharp_m[m]
        weight[0], weight[1], weight[2] = weight_m2[m, 0], weight_m2[m, 0], weight_m2[m, 1]
        far = 1.0 / inverse_n[n]  # the derivative of a point by its inverse depth is -P * far
        px, py, pz = (x - T[0, 3]) * far, (y - T[1, 3]) * far, (z - T[2, 3]) * far
        for i in range(3):
            J[i, 0], J[i, 1], J[i, 2] = -d[i, 0], -d[i, 1], -d[i, 2]
            J[i, 3] = d[i, 1] * z - d[i, 2] * y
            J[i, 4] = d[i, 2] * x - d[i, 0] * z
            J[i, 5] = d[i, 0] * y - d[i, 1] * x
            of_inverse[i] = -(d[i, 0] * px + d[i, 1] * py + d[i, 2] * pz)
            h[n] += weight[i] * of_inverse[i] * of_inverse[i]
            b[n] += weight[i] * of_inverse[i] * r_m3[m, i]
        for i in range(6):
            a0, a1, a2 = weight[0] * J[0, i], weight[1] * J[1, i], weight[2] * J[2, i]
            right[i] += a0 * r_m3[m, 0] + a1 * r_m3[m, 1] + a2 * r_m3[m, 2]
            c[i] = a0 * of_inverse[0] + a1 * of_inverse[1] + a2 * of_inverse[2]
            for j in range(i + 1):
                pair[i, j] += a0 * J[0, j] + a1 * J[1, j] + a2 * J[2, j]
        if column_K[k] >= 0:
            for i in range(6):
                C[n, 6 * column_K[k] + i] += c[i]
        if column_K[host] >= 0:
            _to_host(T, c, C[n, 6 * column_K[host]:6 * column_K[host] + 6])


@kernel
def _to_host(T_44: Float64Array, of_target_6: Float64Array, of_host_6: Float64Array) -> None:
    """Add derivatives by a twist of the host, made of those by a twist of the target.

    The one moves a point against the other: J_host = -J_target @ Ad, the adjoint of `T_44`, the
    host in the target.
    """
    f, t, turn = of_target_6, T_44[:3, 3], np.empty(3)
    turn[0] = f[3] - (t[1] * f[2] - t[2] * f[1])
    turn[1] = f[4] - (t[2] * f[0] - t[0] * f[2])
    turn[2] = f[5] - (t[0] * f[1] - t[1] * f[0])
    for i in range(3):
        for j in range(3):
            of_host_6[i] -= T_44[j, i] * f[j]
            of_host_6[3 + i] -= T_44[j, i] * turn[j]


@kernel
def _assemble(
    relative_KK44: Float64Array, A: Float64Array, u: Float64Array, column_K: Int64Array,
    H: Float64Array, g: Float64Array,
) -> None:
    """Bring the sums of all pairs into the equations of the free keyframes."""
    for target in range(len(column_K)):
        for host in range(len(column_K)):
            pair, T = A[target, host], relative_KK44[target, host]
            if pair[0, 0] == 0.0:
                continue
            for i in range(6):
                for j in range(i):
                    pair[j, i] = pair[i, j]
            mixed, both = np.zeros((6, 6)), np.zeros((6, 6))  # rows of targets; of hosts
            for i in range(6):
                _to_host(T, pair[i], mixed[i])
            for i in range(6):
                _to_host(T, mixed[:, i].copy(), both[i])
            t, s = 6 * column_K[target], 6 * column_K[host]
            if t >= 0:
                H[t:t + 6, t:t + 6] += pair
                g[t:t + 6] += u[target, host]
            if s >= 0:
                H[s:s + 6, s:s + 6] += both
                _to_host(T, u[target, host], g[s:s + 6])
            if t >= 0 and s >= 0:
                H[t:t + 6, s:s + 6] += mixed
                H[s:s + 6, t:t + 6] += mixed.T


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
    window: Window, camera: Camera, sigma_m: Float64Array
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
    r, D = _project_whitened(p, window, sigma_m, camera)
    DR = np.matmul(D, R)
    J_host = np.concatenate([DR, -DR @ cross_matrices(P)], axis=2)
    J_target = np.concatenate([-D, D @ cross_matrices(p)], axis=2)
    J_inverse = -np.einsum("mij,mj->mi", DR, P) / inverse[:, None]
    return r, J_host, J_target, J_inverse


def _project_whitened(
    p_m3: Float64Array, window: Window, sigma_m: Float64Array, camera: Camera
) -> tuple[Float64Array, Float64Array]:
    """Compare camera-frame points (m, 3) with where they were seen, in standard deviations.

    Returns:
        (m, 3) residuals u, v, z and (m, 3, 3) their derivatives by the point; z is 0 where the
        depth is unknown, and `sigma_m` NaN.
    """
    x, y, ahead = p_m3.T
    z = np.maximum(ahead, NEAREST_M)
    D = np.zeros((len(p_m3), 3, 3))
    D[:, 0, 0], D[:, 1, 1] = camera.fx / z, camera.fy / z
    D[:, 0, 2], D[:, 1, 2] = -D[:, 0, 0] * x / z, -D[:, 1, 1] * y / z
    W = np.zeros((len(p_m3), 2, 2))
    W[:, 0, 0], W[:, 0, 1], W[:, 1, 1] = window.white_m3.T
    D[:, :2] = W @ D[:, :2]
    known = np.isfinite(sigma_m)
    D[:, 2, 2] = np.where(known, 1.0 / sigma_m, 0.0)
    seen = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=1)
    off = whiten(seen - window.pixels_m2, window.white_m3)
    depth = np.where(known, (z - window.depth_m) / sigma_m, 0.0)
    return np.column_stack([off, depth]), D


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
