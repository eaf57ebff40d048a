"""The pose of one frame in compiled loops; their twin in NumPy is `solve_twin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.compiled import kernel
from .residuals import (
    FEWEST_DEPTHS,
    KERNEL_SIGMAS,
    LARGEST_DEPTH_SPREAD,
    LARGEST_SPREAD,
    LEAST_DEPTH_SPREAD,
    LEAST_SPREAD,
    MEDIAN_RADIUS,
    NEAREST_M,
    NORMAL_MAD,
    OPEN,
    USUAL_DEPTH_SPREAD,
)

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array

#: Share of a depth residual that is the error of the point, the rest being that of the frame's
#: depth: two measurements of one sensor.
OWN_SHARE = 0.5**0.5
#: The velocity follows the pose for as many iterations: of an error of the start, 1 % stays in it.
ITERATIONS, MOVING_ITERATIONS = 12, 4
#: Steps by misfit, when the tracks are judged: robust weights stay, the pose moves by millimeters.
#: The second one is for the velocity, which follows it.
REFINEMENTS = 2
#: The scale of the kernel starts wide and shrinks to the spread that is measured; residuals of
#: more scales are cut off.
SCALE_SHRINKS, CUT_SCALES = 0.6, 8.0
LEAST_STEP, DAMPING = 1e-5, 1e-6


@kernel
def solve_in_place(
    T_44: Float64Array, points_n3: Float64Array, unsure_n3: Float64Array,
    pixels_n2: Float64Array, depth_n: Float64Array, white_n3: Float64Array, sharp_n: Float64Array,
    view_6: Float64Array, before_44: Float64Array, elapsed_s: float, readout_s: float,
    H: Float64Array, squared_n: Float64Array, r_2n: Float64Array, J_62n: Float64Array,
    swept_n2: Float64Array,
) -> bool:
    """Solve in place for `T_44`, the map in the camera; False where there is no solution.

    `white_n3` is `Sightings.whitening`; `sharp_n` is 1 / sigma of the depth, 0 where there is
    none; `view_6` are fx, fy, cx, cy, height and pixel sigma. The velocity is not used where
    `elapsed_s` is 0.
    """
    count = len(points_n3)
    still_n2, r_n3, p_n3 = pixels_n2.copy(), np.empty((count, 3)), np.empty((count, 3))
    weight_n3, work_n, g = np.empty((count, 3)), np.empty(count), np.empty(6)
    alike_n3, scale, of_depth = np.zeros((count, 3)), 2.0 * LARGEST_SPREAD, 0.0
    alike_n3[:, 0] = alike_n3[:, 2] = 1.0 / view_6[5]
    moving = elapsed_s > 0.0 and readout_s > 0.0
    for iteration in range(ITERATIONS):
        if moving and iteration < MOVING_ITERATIONS:
            _sweep(T_44, points_n3, pixels_n2, view_6, before_44, elapsed_s, swept_n2)
            _add(pixels_n2, readout_s, swept_n2, still_n2)
        if 2 * _project(T_44, points_n3, unsure_n3, still_n2, depth_n, alike_n3, sharp_n, view_6,
                        p_n3, r_n3, squared_n) > count:
            return False
        spread, scale, of_depth = _weigh(r_n3, squared_n, sharp_n, scale, weight_n3, work_n)
        _accumulate(T_44, p_n3, unsure_n3, alike_n3, sharp_n, view_6, r_n3, weight_n3,
                    OWN_SHARE * of_depth, H, g, J_62n)
        if not _solve_6(H, g):
            return False
        _move(T_44, g)
        if np.abs(g).max() < LEAST_STEP and scale == spread:
            break
    for n in range(count):
        r_2n[0, n], r_2n[1, n] = r_n3[n, 0], r_n3[n, 1]
    own_n, own_62n = np.empty(count), np.empty((6, 2, count))
    for _ in range(REFINEMENTS):
        if moving:
            _sweep(T_44, points_n3, pixels_n2, view_6, before_44, elapsed_s, swept_n2)
            _add(pixels_n2, readout_s, swept_n2, still_n2)
        _project(T_44, points_n3, unsure_n3, still_n2, depth_n, white_n3, sharp_n, view_6, p_n3,
                 r_n3, own_n)
        _scale(own_n, weight_n3)
        _accumulate(T_44, p_n3, unsure_n3, white_n3, sharp_n, view_6, r_n3, weight_n3,
                    OWN_SHARE * of_depth, H, g, own_62n)
        if not _solve_6(H, g):
            return False
        _move(T_44, g)
    if elapsed_s > 0.0:
        _sweep(T_44, points_n3, pixels_n2, view_6, before_44, elapsed_s, swept_n2)
    return True


@kernel
def _add(pixels_n2: Float64Array, s: float, step_n2: Float64Array, out_n2: Float64Array) -> None:
    for n in range(len(pixels_n2)):
        out_n2[n, 0] = pixels_n2[n, 0] + s * step_n2[n, 0]
        out_n2[n, 1] = pixels_n2[n, 1] + s * step_n2[n, 1]


@kernel
def _project(
    T_44: Float64Array, points_n3: Float64Array, unsure_n3: Float64Array,
    pixels_n2: Float64Array, depth_n: Float64Array, white_n3: Float64Array, sharp_n: Float64Array,
    view_6: Float64Array, p_n3: Float64Array, r_n3: Float64Array, squared_n: Float64Array,
) -> int:
    """Fill points in the camera, residuals and `squared_errors`; return how many are behind."""
    behind = 0
    for n in range(len(points_n3)):
        px, py, pz = points_n3[n, 0], points_n3[n, 1], points_n3[n, 2]
        x = T_44[0, 0] * px + T_44[0, 1] * py + T_44[0, 2] * pz + T_44[0, 3]
        y = T_44[1, 0] * px + T_44[1, 1] * py + T_44[1, 2] * pz + T_44[1, 3]
        z = T_44[2, 0] * px + T_44[2, 1] * py + T_44[2, 2] * pz + T_44[2, 3]
        p_n3[n, 0], p_n3[n, 1], p_n3[n, 2] = x, y, z
        behind += z < NEAREST_M
        near = max(z, NEAREST_M)
        a, b, c = white_n3[n, 0], white_n3[n, 1], white_n3[n, 2]
        u = view_6[0] * x / near + view_6[2] - pixels_n2[n, 0]
        v = view_6[1] * y / near + view_6[3] - pixels_n2[n, 1]
        r_n3[n, 0], r_n3[n, 1] = a * u + b * v, c * v
        r_n3[n, 2] = (near - depth_n[n]) * sharp_n[n] if sharp_n[n] > 0.0 else 0.0
        squared_n[n] = r_n3[n, 0] ** 2 + r_n3[n, 1] ** 2
        px, py, pz = unsure_n3[n, 0], unsure_n3[n, 1], unsure_n3[n, 2]
        x_off = T_44[0, 0] * px + T_44[0, 1] * py + T_44[0, 2] * pz
        y_off = T_44[1, 0] * px + T_44[1, 1] * py + T_44[1, 2] * pz
        z_off = T_44[2, 0] * px + T_44[2, 1] * py + T_44[2, 2] * pz
        v_off = view_6[1] * (y_off - y * z_off / near) / near
        u_off = a * view_6[0] * (x_off - x * z_off / near) / near + b * v_off
        v_off *= c
        off = u_off**2 + v_off**2
        if off > OPEN:
            squared_n[n] -= (u_off * r_n3[n, 0] + v_off * r_n3[n, 1]) ** 2 / (1.0 + off)
    return behind


@kernel
def _spread(squared_n: Float64Array) -> float:
    """As `image_spread`."""
    spread: float = np.sqrt(np.median(squared_n)) / MEDIAN_RADIUS
    return min(max(spread, LEAST_SPREAD), LARGEST_SPREAD)


@kernel
def _weigh(
    r_n3: Float64Array, squared_n: Float64Array, sharp_n: Float64Array, scale: float,
    weight_n3: Float64Array, work_n: Float64Array,
) -> tuple[float, float, float]:
    """Fill weights of pixels, of depth and the robust weight; return spread, scale, of_depth."""
    count = len(r_n3)
    spread = _spread(squared_n)
    scale = max(spread, scale * SCALE_SHRINKS)
    trusted = 0
    for n in range(count):
        chi2 = squared_n[n]
        robust = 1.0 / (1.0 + chi2 / (KERNEL_SIGMAS * scale) ** 2)
        if chi2 > (CUT_SCALES * scale) ** 2:
            robust = 0.0
        weight_n3[n, 0], weight_n3[n, 2] = robust / (spread * spread), robust
        if robust > 0.5 and sharp_n[n] > 0.0:
            work_n[trusted] = abs(r_n3[n, 2])
            trusted += 1
    of_depth = USUAL_DEPTH_SPREAD
    if trusted >= FEWEST_DEPTHS:
        of_depth = NORMAL_MAD * np.median(work_n[:trusted])
    of_depth = min(max(of_depth, LEAST_DEPTH_SPREAD), LARGEST_DEPTH_SPREAD)
    for n in range(count):
        weight_n3[n, 1] = 0.0
        if sharp_n[n] > 0.0:
            weight_n3[n, 1] = weight_n3[n, 2] / (of_depth**2 + r_n3[n, 2] ** 2 / 4.0)
    return spread, scale, of_depth


@kernel
def _scale(squared_n: Float64Array, weight_n3: Float64Array) -> None:
    """Fill weights of pixels from the robust weight and the spread of other `squared_errors`."""
    spread = _spread(squared_n)
    for n in range(len(squared_n)):
        weight_n3[n, 0] = weight_n3[n, 2] / (spread * spread)


@kernel
def _accumulate(
    T_44: Float64Array, p_n3: Float64Array, unsure_n3: Float64Array, white_n3: Float64Array,
    sharp_n: Float64Array, view_6: Float64Array, r_n3: Float64Array, weight_n3: Float64Array,
    share: float, H: Float64Array, g: Float64Array, J_62n: Float64Array,
) -> None:
    """Sum up `normal_equations`; keep the derivatives of the pixels."""
    H[:], g[:] = 0.0, 0.0
    J, common, weight, off = np.zeros((3, 6)), np.empty(6), np.empty(3), np.empty(3)
    for n in range(len(p_n3)):
        x, y, ahead, sharp = p_n3[n, 0], p_n3[n, 1], p_n3[n, 2], sharp_n[n]
        z = max(ahead, NEAREST_M)
        u0, u1 = white_n3[n, 0] * view_6[0] / z, white_n3[n, 1] * view_6[1] / z
        v1 = white_n3[n, 2] * view_6[1] / z
        u2, v2 = -(u0 * x + u1 * y) / z, -v1 * y / z
        J[0, 0], J[0, 1], J[0, 2] = u0, u1, u2
        J[0, 3], J[0, 4], J[0, 5] = y * u2 - ahead * u1, ahead * u0 - x * u2, x * u1 - y * u0
        J[1, 1], J[1, 2] = v1, v2
        J[1, 3], J[1, 4], J[1, 5] = y * v2 - ahead * v1, -x * v2, x * v1
        J[2, 2], J[2, 3], J[2, 4] = sharp, y * sharp, -x * sharp
        weight[0] = weight[1] = weight_n3[n, 0]
        weight[2] = weight_n3[n, 1]
        ux, uy, uw = unsure_n3[n, 0], unsure_n3[n, 1], unsure_n3[n, 2]
        of_x = T_44[0, 0] * ux + T_44[0, 1] * uy + T_44[0, 2] * uw
        of_y = T_44[1, 0] * ux + T_44[1, 1] * uy + T_44[1, 2] * uw
        of_z = T_44[2, 0] * ux + T_44[2, 1] * uy + T_44[2, 2] * uw
        off[0] = share * (u0 * of_x + u1 * of_y + u2 * of_z)
        off[1] = share * (v1 * of_y + v2 * of_z)
        off[2] = share * sharp * of_z
        own = weight_n3[n, 2] if weight_n3[n, 2] > 0.0 else 1.0
        residual = 0.0
        for k in range(3):
            own += weight[k] * off[k] * off[k]
            residual += weight[k] * off[k] * r_n3[n, k]
        for a in range(6):
            J_62n[a, 0, n], J_62n[a, 1, n] = J[0, a], J[1, a]
            common[a] = 0.0
            for k in range(3):
                common[a] += weight[k] * off[k] * J[k, a]
                g[a] += weight[k] * J[k, a] * r_n3[n, k]
            g[a] -= common[a] * residual / own
            for b in range(a + 1):
                total = -common[a] * common[b] / own
                for k in range(3):
                    total += weight[k] * J[k, a] * J[k, b]
                H[a, b] += total
                H[b, a] = H[a, b]


@kernel
def _solve_6(H: Float64Array, g: Float64Array) -> bool:
    """Put the step -H^-1 g in place of `g`, by Cholesky; False where H is not positive."""
    L = H.copy()
    for a in range(6):
        L[a, a] += DAMPING
        for b in range(a + 1):
            for k in range(b):
                L[a, b] -= L[a, k] * L[b, k]
            if a > b:
                L[a, b] /= L[b, b]
        if not L[a, a] > 0.0:
            return False
        L[a, a] = np.sqrt(L[a, a])
    for a in range(6):
        for k in range(a):
            g[a] -= L[a, k] * g[k]
        g[a] /= L[a, a]
    for a in range(5, -1, -1):
        for k in range(a + 1, 6):
            g[a] -= L[k, a] * g[k]
        g[a] /= L[a, a]
    g *= -1.0
    return True


@kernel
def _move(T_44: Float64Array, step_6: Float64Array) -> None:
    """Multiply `T_44` by the exponential of a left twist."""
    t, w = step_6[:3], step_6[3:]
    angle = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
    a, b, c = 1.0, 0.5, 1.0 / 6.0
    if angle >= 1e-8:
        a = np.sin(angle) / angle
        b = (1.0 - np.cos(angle)) / angle**2
        c = (1.0 - a) / angle**2
    moved = np.empty(3)
    for column in range(4):
        v = T_44[:3, column].copy()
        _turn(w, v, a, b, moved)
        T_44[:3, column] = moved
    _turn(w, t.copy(), b, c, moved)
    T_44[:3, 3] += moved


@kernel
def _turn(w: Float64Array, v: Float64Array, a: float, b: float, out: Float64Array) -> None:
    """Fill v + a w x v + b w x (w x v)."""
    cx, cy, cz = w[1] * v[2] - w[2] * v[1], w[2] * v[0] - w[0] * v[2], w[0] * v[1] - w[1] * v[0]
    out[0] = v[0] + a * cx + b * (w[1] * cz - w[2] * cy)
    out[1] = v[1] + a * cy + b * (w[2] * cx - w[0] * cz)
    out[2] = v[2] + a * cz + b * (w[0] * cy - w[1] * cx)


@kernel
def _sweep(
    T_44: Float64Array, points_n3: Float64Array, pixels_n2: Float64Array, view_6: Float64Array,
    before_44: Float64Array, elapsed_s: float, swept_n2: Float64Array,
) -> None:
    """Fill what `sweep` says of the camera's velocity since it was at `before_44` in the map."""
    R = np.ascontiguousarray(T_44[:3, :3]) @ np.ascontiguousarray(before_44[:3, :3])
    R, back = R.T.copy(), np.empty(3)  # from the camera now to the camera then
    for i in range(3):
        back[i] = (T_44[i, 0] * before_44[0, 3] + T_44[i, 1] * before_44[1, 3]
                   + T_44[i, 2] * before_44[2, 3] + T_44[i, 3])
    w = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2.0
    sine = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
    angle = np.arctan2(sine, (R[0, 0] + R[1, 1] + R[2, 2] - 1.0) / 2.0)
    c = 1.0 / 12.0
    if sine >= 1e-8:
        w *= angle / sine
        c = (1.0 - 0.5 * angle / np.tan(0.5 * angle)) / angle**2
    t, v = np.empty(3), np.empty(3)
    for i in range(3):
        t[i] = -(R[i, 0] * back[0] + R[i, 1] * back[1] + R[i, 2] * back[2])
    _turn(w, t, -0.5, c, v)
    v /= elapsed_s
    w /= elapsed_s
    for n in range(len(points_n3)):
        p = points_n3[n]
        x = T_44[0, 0] * p[0] + T_44[0, 1] * p[1] + T_44[0, 2] * p[2] + T_44[0, 3]
        y = T_44[1, 0] * p[0] + T_44[1, 1] * p[1] + T_44[1, 2] * p[2] + T_44[1, 3]
        z = T_44[2, 0] * p[0] + T_44[2, 1] * p[1] + T_44[2, 2] * p[2] + T_44[2, 3]
        near = max(z, NEAREST_M)
        late = pixels_n2[n, 1] / (view_6[4] * near)
        approach = (v[2] + w[0] * y - w[1] * x) / near
        swept_n2[n, 0] = late * view_6[0] * (v[0] + w[1] * z - w[2] * y - x * approach)
        swept_n2[n, 1] = late * view_6[1] * (v[1] + w[2] * x - w[0] * z - y * approach)
