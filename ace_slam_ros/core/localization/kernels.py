"""The compiled parts of the solver: hypotheses without gaps, proposals, scores, matches.

Each has a twin in NumPy next to its caller, which says more about what it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..geometry.arrays import Float32Array, Float64Array, Int64Array

#: Constants of the generator of random numbers: splitmix64, Steele et al. 2014.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _BY_33 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(33)


@kernel
def flatten_slots(
    wanted_N: npt.NDArray[np.bool_], x_NS3: Float32Array, sigma_NS: Float32Array
) -> tuple[Int64Array, Int64Array, Float32Array, Float32Array]:
    """List the hypotheses of the wanted features: (row_n, count_n, x_M3, sigma_M)."""
    features, total = 0, 0
    for n in range(len(wanted_N)):
        held = 0
        if wanted_N[n]:
            for s in range(sigma_NS.shape[1]):
                held += np.int64(sigma_NS[n, s] < np.inf)
        total += held
        features += np.int64(held > 0)
    row_n, count_n = np.empty(features, np.int64), np.empty(features, np.int64)
    x_M3, sigma_M = np.empty((total, 3), np.float32), np.empty(total, np.float32)
    i, m = 0, 0
    for n in range(len(wanted_N)):
        if not wanted_N[n]:
            continue
        first = m
        for s in range(sigma_NS.shape[1]):
            if sigma_NS[n, s] < np.inf:
                sigma_M[m] = sigma_NS[n, s]
                x_M3[m, 0], x_M3[m, 1] = x_NS3[n, s, 0], x_NS3[n, s, 1]
                x_M3[m, 2] = x_NS3[n, s, 2]
                m += 1
        if m > first:
            row_n[i], count_n[i] = n, m - first
            i += 1
    return row_n, count_n, x_M3, sigma_M


@kernel
def _draw(state_1: npt.NDArray[np.uint64], urn_u: Int64Array) -> int:
    """Draw a feature from the urn."""
    state_1[0] += _STEP
    z = state_1[0]
    z = (z ^ (z >> _BY_30)) * _MIX_A
    z = (z ^ (z >> _BY_27)) * _MIX_B
    bits = np.int64((z ^ (z >> _BY_31)) >> _BY_33)
    return urn_u[(bits * len(urn_u)) >> 31]


@kernel
def _squared(a_n3: Float32Array, i: int, b_n3: Float32Array, j: int) -> float:
    """Squared distance of two points."""
    x, y, z = a_n3[i, 0] - b_n3[j, 0], a_n3[i, 1] - b_n3[j, 1], a_n3[i, 2] - b_n3[j, 2]
    return x * x + y * y + z * z


@kernel
def _agree(x_M3: Float32Array, gate2_M: Float32Array, i: int, j: int, side: float) -> bool:
    """Whether two hypotheses are as far apart as their features."""
    gap = np.sqrt(_squared(x_M3, i, x_M3, j)) - side
    return gap * gap < max(gate2_M[i], gate2_M[j])


@kernel
def draw_triplets(
    y_n3: Float32Array, start_n: Int64Array, count_n: Int64Array, x_M3: Float32Array,
    gate2_M: Float32Array, urn_u: Int64Array, seed: int, limits_4: Int64Array,
    shortest: float, features_T3: Int64Array, hypotheses_T3: Int64Array,
) -> int:
    """Draw features, test all their hypotheses; returns how many triplets were found.

    Args:
        y_n3, start_n, count_n, x_M3, gate2_M: see `Hypotheses`.
        urn_u: (u,) features, each as often as it shall be drawn.
        seed: of the draws.
        limits_4: most pairs of features drawn, most tests of a side, third features tried for a
            pair, most triplets from one pair of features.
        shortest: side in shares of the depth.
        features_T3, hypotheses_T3: results, as many as are wanted.
    """
    state_1 = np.full(1, np.uint64(seed))
    found, tests = 0, 0
    for _ in range(limits_4[0]):
        p, q = _draw(state_1, urn_u), _draw(state_1, urn_u)
        side = np.sqrt(_squared(y_n3, p, y_n3, q))
        if side <= shortest * y_n3[p, 2]:
            continue
        tests += count_n[p] * count_n[q]
        of_pair = 0
        for i in range(start_n[p], start_n[p] + count_n[p]):
            for j in range(start_n[q], start_n[q] + count_n[q]):
                if of_pair == limits_4[3] or not _agree(x_M3, gate2_M, i, j, side):
                    continue
                for _ in range(limits_4[2]):
                    r = _draw(state_1, urn_u)
                    least = shortest * y_n3[r, 2]
                    side_p = np.sqrt(_squared(y_n3, p, y_n3, r))
                    side_q = np.sqrt(_squared(y_n3, q, y_n3, r))
                    if side_p <= least or side_q <= least:
                        continue
                    tests += count_n[r]
                    for k in range(start_n[r], start_n[r] + count_n[r]):
                        if (_agree(x_M3, gate2_M, i, k, side_p)
                                and _agree(x_M3, gate2_M, j, k, side_q)):
                            features_T3[found, 0], hypotheses_T3[found, 0] = p, i
                            features_T3[found, 1], hypotheses_T3[found, 1] = q, j
                            features_T3[found, 2], hypotheses_T3[found, 2] = r, k
                            found += 1
                            of_pair += 1
                            break
                    if found == len(features_T3):
                        return found
                    if of_pair == limits_4[3]:
                        break
        if tests > limits_4[1]:
            break
    return found


@kernel
def _frame(points_n3: Float32Array, a: int, b: int, c: int, frame_43: Float64Array) -> None:
    """Write two directions in the plane of a triangle, its normal, and its center."""
    for i in range(3):
        frame_43[0, i] = np.float64(points_n3[b, i]) - points_n3[a, i]
        frame_43[1, i] = np.float64(points_n3[c, i]) - points_n3[a, i]
        frame_43[3, i] = points_n3[a, i] + (frame_43[0, i] + frame_43[1, i]) / 3.0
    along = 0.0
    length2 = 1e-18
    for i in range(3):
        along += frame_43[0, i] * frame_43[1, i]
        length2 += frame_43[0, i] ** 2
    across2 = 1e-18
    for i in range(3):
        frame_43[1, i] -= along / length2 * frame_43[0, i]
        across2 += frame_43[1, i] ** 2
    for i in range(3):
        frame_43[0, i] /= np.sqrt(length2)
        frame_43[1, i] /= np.sqrt(across2)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        frame_43[2, i] = (frame_43[0, j] * frame_43[1, k] - frame_43[0, k] * frame_43[1, j])


@kernel
def align_triplets(
    source_n3: Float32Array, target_M3: Float32Array, source_T3: Int64Array,
    target_T3: Int64Array, poses_T44: Float64Array,
) -> None:
    """Write the rigid alignment of each triangle of source points with one of target points.

    Least squares: planes fall together, and within them the angle is that of the mean product.
    Twin: `kabsch_batch`. Source: Horn 1987, section 5 (coplanar points).
    """
    here_43, there_43 = np.empty((4, 3)), np.empty((4, 3))
    for t in range(len(poses_T44)):
        _frame(source_n3, source_T3[t, 0], source_T3[t, 1], source_T3[t, 2], here_43)
        _frame(target_M3, target_T3[t, 0], target_T3[t, 1], target_T3[t, 2], there_43)
        dot, cross = 1e-18, 0.0
        for corner in range(3):
            a = b = c = d = 0.0
            for i in range(3):
                here = source_n3[source_T3[t, corner], i] - here_43[3, i]
                there = target_M3[target_T3[t, corner], i] - there_43[3, i]
                a += here * here_43[0, i]
                b += here * here_43[1, i]
                c += there * there_43[0, i]
                d += there * there_43[1, i]
            dot += a * c + b * d
            cross += a * d - b * c
        length = np.sqrt(dot * dot + cross * cross)
        cosine, sine = dot / length, cross / length
        pose_44 = poses_T44[t]
        for i in range(3):
            u = cosine * there_43[0, i] + sine * there_43[1, i]
            v = cosine * there_43[1, i] - sine * there_43[0, i]
            pose_44[i, 3] = there_43[3, i]
            for j in range(3):
                R_ij = u * here_43[0, j] + v * here_43[1, j] + there_43[2, i] * here_43[2, j]
                pose_44[i, j] = R_ij
                pose_44[i, 3] -= R_ij * here_43[3, j]
            pose_44[3, i] = 0.0
        pose_44[3, 3] = 1.0


@kernel
def add_scores(
    poses_CH: Float32Array, y_n3: Float32Array, start_n: Int64Array, count_n: Int64Array,
    x_M3: Float32Array, gate2_M: Float32Array, some_f: Int64Array, scores_H: Float32Array,
) -> None:
    """Add the agreement of each pose with some features; all poses go through one step at once.

    Args:
        poses_CH: (12, H) rotation by rows, then translation.
        y_n3, start_n, count_n, x_M3, gate2_M: see `Hypotheses`.
        some_f: which features.
        scores_H: result, is added to.
    """
    poses = poses_CH.shape[1]
    least_H, a_H = np.empty(poses, np.float32), np.empty(poses, np.float32)
    b_H, c_H = np.empty(poses, np.float32), np.empty(poses, np.float32)
    one = np.float32(1.0)
    for n in some_f:
        u, v, w = y_n3[n, 0], y_n3[n, 1], y_n3[n, 2]
        for h in range(poses):
            a_H[h] = poses_CH[0, h] * u + poses_CH[1, h] * v + poses_CH[2, h] * w + poses_CH[9, h]
            b_H[h] = poses_CH[3, h] * u + poses_CH[4, h] * v + poses_CH[5, h] * w + poses_CH[10, h]
            c_H[h] = poses_CH[6, h] * u + poses_CH[7, h] * v + poses_CH[8, h] * w + poses_CH[11, h]
            least_H[h] = one
        for m in range(start_n[n], start_n[n] + count_n[n]):
            x, y, z, scale = x_M3[m, 0], x_M3[m, 1], x_M3[m, 2], one / gate2_M[m]
            for h in range(poses):
                a, b, c = a_H[h] - x, b_H[h] - y, c_H[h] - z
                relative = (a * a + b * b + c * c) * scale
                least_H[h] = relative if relative < least_H[h] else least_H[h]
        for h in range(poses):
            scores_H[h] += one - least_H[h]


@kernel
def match_into(
    T_44: Float64Array, y_n3: Float32Array, start_n: Int64Array, count_n: Int64Array,
    x_M3: Float32Array, gate2_M: Float32Array, variance_M: Float64Array, best_n: Int64Array,
    relative_n: Float64Array, residual2_n: Float64Array, sums_16: Float64Array,
) -> int:
    """Find the hypothesis of each feature that agrees best with a pose, and sum for `kabsch`.

    Args:
        T_44: the pose.
        y_n3, start_n, count_n, x_M3, gate2_M: see `Hypotheses`.
        variance_M: of a residual per axis.
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
        weight = 1.0 / (variance_M[best] + residual2)
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
