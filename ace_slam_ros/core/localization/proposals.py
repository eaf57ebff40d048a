"""Candidate poses from scene-coordinate hypotheses.

A word may stand for many places, so a feature may bring dozens of hypotheses of which one is
right. Drawing hypotheses at random would need their number cubed in tries; instead features are
drawn, and *every* combination of their hypotheses is tested for equal side lengths in camera and
map, which wrong combinations fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..geometry.rigid_alignment import kabsch_batch
from ..runtime.compiled import AVAILABLE, kernel
from .ranges import expand

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float64Array, Int64Array
    from .hypotheses import Hypotheses

#: Side tests per proposed pose, and at most per frame; sides drawn per pose asked for.
_TESTS_PER_POSE, _MOST_TESTS = 800, 200_000
PAIRS_PER_POSE, CANDIDATES_PER_POSE, THIRDS = 32, 4, 4
#: Triplets that two features may give, so that those of many hypotheses leave room for others.
MOST_OF_PAIR = 4
#: A side shorter than this share of the depth fixes no rotation.
SHORTEST_SIDE = 0.08
#: Added to what the surest hypothesis of a feature claims, for its weight in draws, meters.
LEAST_SIGMA_M = 0.01
#: Draws without replacement of an urn: features rarer than one in so many may be left out.
_URN = 4096
#: Constants of the generator of random numbers: splitmix64, Steele et al. 2014.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _BY_33 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(33)


def propose(known: Hypotheses, rng: np.random.Generator, count: int) -> Float64Array:
    """Align triplets of features whose three sides agree in camera and map: (H, 4, 4), H <= count.

    Features with few and sure hypotheses are drawn more often.
    """
    if not AVAILABLE:
        return propose_reference(known, rng, count)
    place_u = (np.arange(_URN) + rng.random()) / _URN
    urn_u = np.searchsorted(_cumulative_weight(known), place_u)
    features_T3, triplets_T3 = np.empty((2, count, 3), np.int64)
    limits_4 = np.array([PAIRS_PER_POSE * count, min(_TESTS_PER_POSE * count, _MOST_TESTS),
                         THIRDS, MOST_OF_PAIR])
    found = draw_triplets(
        known.y_n3, known.start_n, known.count_n, known.x_M3, known.gate2_M,
        np.minimum(urn_u, len(known.y_n3) - 1), int(rng.integers(2**63)), limits_4,
        SHORTEST_SIDE, features_T3, triplets_T3)
    poses_H44 = np.empty((found, 4, 4))
    align_triplets(known.y_n3, known.x_M3, features_T3, triplets_T3, poses_H44)
    return poses_H44


def _cumulative_weight(known: Hypotheses) -> Float64Array:
    """Chance of each feature (n,) to be drawn, summed up."""
    best = np.minimum.reduceat(known.sigma_M, known.start_n)
    weight = 1.0 / ((best**2 + LEAST_SIGMA_M**2) * known.count_n)
    return np.cumsum(weight / weight.sum())


@kernel
def _draw(state_1: npt.NDArray[np.uint64], urn_u: Int64Array) -> int:
    """Draw a feature from the urn."""
    state_1[0] += _STEP
    z = state_1[0]
    z = (z ^ (z >> _BY_30)) * _MIX_A
    z = (z ^ (z >> _BY_27)) * _MIX_B
    bits = np.int64((z ^ (z >> _BY_31)) >> _BY_33)
    feature: int = urn_u[(bits * len(urn_u)) >> 31]
    return feature


@kernel
def _squared(a_n3: Float32Array, i: int, b_n3: Float32Array, j: int) -> float:
    """Squared distance of two points."""
    x, y, z = a_n3[i, 0] - b_n3[j, 0], a_n3[i, 1] - b_n3[j, 1], a_n3[i, 2] - b_n3[j, 2]
    squared: float = x * x + y * y + z * z
    return squared


@kernel
def _agree(x_M3: Float32Array, gate2_M: Float32Array, i: int, j: int, side: float) -> bool:
    """Whether two hypotheses are as far apart as their features."""
    gap = np.sqrt(_squared(x_M3, i, x_M3, j)) - side
    near: bool = gap * gap < max(gate2_M[i], gate2_M[j])
    return near


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


def propose_reference(known: Hypotheses, rng: np.random.Generator, count: int) -> Float64Array:
    """Slow twin of `propose`: whole arrays of pairs, other draws."""
    cumulative = _cumulative_weight(known)

    def draw(number: int) -> Int64Array:
        return np.minimum(np.searchsorted(cumulative, rng.random(number)), len(cumulative) - 1)

    a, b = _pairs(known, draw, count)
    if len(a) > CANDIDATES_PER_POSE * count:
        some = rng.choice(len(a), CANDIDATES_PER_POSE * count, replace=False)
        a, b = a[some], b[some]
    a, b = np.repeat(a, THIRDS), np.repeat(b, THIRDS)
    third, c = _thirds(known, a, b, draw(len(a)))
    triplets = np.stack([a[third], b[third], c], axis=1)
    if len(triplets) > count:
        triplets = triplets[rng.choice(len(triplets), count, replace=False)]
    return kabsch_batch(known.y_n3[known.owner_M[triplets]].astype(np.float64),
                        known.x_M3[triplets].astype(np.float64))


def _pairs(
    known: Hypotheses, draw: Callable[[int], Int64Array], count: int
) -> tuple[Int64Array, Int64Array]:
    """Return pairs of hypotheses (K,), (K,) of drawn features whose one side agrees."""
    p, q = draw(PAIRS_PER_POSE * count), draw(PAIRS_PER_POSE * count)
    side = _length(known.y_n3[p] - known.y_n3[q])
    long = side > SHORTEST_SIDE * known.y_n3[p, 2]
    p, q, side = p[long], q[long], side[long]
    combinations = known.count_n[p] * known.count_n[q]
    budget = min(_TESTS_PER_POSE * count, _MOST_TESTS)
    within = np.cumsum(combinations) <= max(budget, int(combinations[:1].sum()))
    p, q, side, combinations = p[within], q[within], side[within], combinations[within]
    pair, number = expand(np.zeros_like(combinations), combinations)
    width = known.count_n[q][pair]
    i = known.start_n[p][pair] + number // width
    j = known.start_n[q][pair] + number % width
    agree = _agreeing(known, i, j, side[pair])
    return i[agree], j[agree]


def _thirds(
    known: Hypotheses, a_K: Int64Array, b_K: Int64Array, feature_K: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Find a hypothesis of each third feature that agrees with both others.

    Returns:
        (which pairs have one (T,), the hypothesis (T,)); of several the first counts.
    """
    owner_M = known.owner_M
    y = known.y_n3
    side_a = _length(y[owner_M[a_K]] - y[feature_K])
    side_b = _length(y[owner_M[b_K]] - y[feature_K])
    shortest = SHORTEST_SIDE * y[feature_K, 2]
    useful = np.flatnonzero((side_a > shortest) & (side_b > shortest))
    owner, c = expand(known.start_n[feature_K[useful]], known.count_n[feature_K[useful]])
    owner = useful[owner]
    agree = _agreeing(known, a_K[owner], c, side_a[owner])
    owner, c = owner[agree], c[agree]
    agree = _agreeing(known, b_K[owner], c, side_b[owner])
    owner, c = owner[agree], c[agree]
    pair, first = np.unique(owner, return_index=True)
    return pair, c[first]


def _agreeing(
    known: Hypotheses, i_K: Int64Array, j_K: Int64Array, side_K: Float32Array
) -> npt.NDArray[np.bool_]:
    """Whether two hypotheses are as far apart in the map as their features are in the camera."""
    gap = np.abs(_length(known.x_M3[i_K] - known.x_M3[j_K]) - side_K)
    return np.asarray(gap * gap < np.maximum(known.gate2_M[i_K], known.gate2_M[j_K]))


def _length(vectors_K3: Float32Array) -> Float32Array:
    return np.asarray(np.sqrt(np.einsum("ki,ki->k", vectors_K3, vectors_K3)))
