"""Candidate poses from scene-coordinate hypotheses, and how well they agree with all of them.

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
from .hypotheses import Hypotheses, IndexArray, expand

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float64Array

#: Side tests per proposed pose, and at most per frame; sides drawn per pose asked for.
_TESTS_PER_POSE, _MOST_TESTS = 800, 200_000
_PAIRS_PER_POSE, _CANDIDATES_PER_POSE, _THIRDS = 32, 4, 4
#: A side shorter than this share of the depth fixes no rotation.
_SHORTEST_SIDE = 0.08
_SCREENING_FEATURES, _LEADERS = 300, 8


def propose(known: Hypotheses, rng: np.random.Generator, count: int) -> Float64Array:
    """Align triplets of features whose three sides agree in camera and map: (H, 4, 4), H <= count.

    Features with few and sure hypotheses are drawn more often.
    """
    best = np.minimum.reduceat(known.sigma_M, known.start_n)
    weight = 1.0 / ((best**2 + 0.01**2) * known.count_n)
    cumulative = np.cumsum(weight / weight.sum())

    def draw(number: int) -> IndexArray:
        return np.minimum(np.searchsorted(cumulative, rng.random(number)), len(cumulative) - 1)

    a, b = _pairs(known, draw, count)
    if len(a) > _CANDIDATES_PER_POSE * count:
        some = rng.choice(len(a), _CANDIDATES_PER_POSE * count, replace=False)
        a, b = a[some], b[some]
    a, b = np.repeat(a, _THIRDS), np.repeat(b, _THIRDS)
    third, c = _thirds(known, a, b, draw(len(a)))
    triplets = np.stack([a[third], b[third], c], axis=1)
    if len(triplets) > count:
        triplets = triplets[rng.choice(len(triplets), count, replace=False)]
    row_M = known.row_M
    return kabsch_batch(known.y_n3[row_M[triplets]].astype(np.float64),
                        known.x_M3[triplets].astype(np.float64))


def _pairs(
    known: Hypotheses, draw: Callable[[int], IndexArray], count: int
) -> tuple[IndexArray, IndexArray]:
    """Return pairs of hypotheses (K,), (K,) of drawn features whose one side agrees."""
    p, q = draw(_PAIRS_PER_POSE * count), draw(_PAIRS_PER_POSE * count)
    side = _length(known.y_n3[p] - known.y_n3[q])
    long = side > _SHORTEST_SIDE * known.y_n3[p, 2]
    p, q, side = p[long], q[long], side[long]
    combinations = known.count_n[p] * known.count_n[q]
    budget = min(_TESTS_PER_POSE * count, _MOST_TESTS)
    within = np.cumsum(combinations) <= max(budget, int(combinations[:1].sum()))
    p, q, side, combinations = p[within], q[within], side[within], combinations[within]
    pair, number = expand(np.zeros_like(combinations), combinations)
    width = known.count_n[q][pair]
    i = known.start_n[p][pair] + number // width
    j = known.start_n[q][pair] + number % width
    agree = _agree(known, i, j, side[pair])
    return i[agree], j[agree]


def _thirds(
    known: Hypotheses, a_K: IndexArray, b_K: IndexArray, feature_K: IndexArray
) -> tuple[IndexArray, IndexArray]:
    """Find a hypothesis of each third feature that agrees with both others.

    Returns:
        (which pairs have one (T,), the hypothesis (T,)); of several the first counts.
    """
    row_M = known.row_M
    y = known.y_n3
    side_a, side_b = _length(y[row_M[a_K]] - y[feature_K]), _length(y[row_M[b_K]] - y[feature_K])
    shortest = _SHORTEST_SIDE * y[feature_K, 2]
    useful = np.flatnonzero((side_a > shortest) & (side_b > shortest))
    owner, c = expand(known.start_n[feature_K[useful]], known.count_n[feature_K[useful]])
    owner = useful[owner]
    agree = _agree(known, a_K[owner], c, side_a[owner])
    owner, c = owner[agree], c[agree]
    agree = _agree(known, b_K[owner], c, side_b[owner])
    owner, c = owner[agree], c[agree]
    pair, first = np.unique(owner, return_index=True)
    return pair, c[first]


def _agree(
    known: Hypotheses, i_K: IndexArray, j_K: IndexArray, side_K: Float32Array
) -> npt.NDArray[np.bool_]:
    """Whether two hypotheses are as far apart in the map as their features are in the camera."""
    gap = np.abs(_length(known.x_M3[i_K] - known.x_M3[j_K]) - side_K)
    return np.asarray(gap * gap < np.maximum(known.gate2_M[i_K], known.gate2_M[j_K]))


def _length(vectors_K3: Float32Array) -> Float32Array:
    return np.asarray(np.sqrt(np.einsum("ki,ki->k", vectors_K3, vectors_K3)))


def choose_pose(
    poses_H44: Float64Array, known: Hypotheses, rng: np.random.Generator
) -> Float64Array:
    """Return the best pose: all are scored on some features, the leaders on all features."""
    count = len(known.y_n3)
    if count > _SCREENING_FEATURES and len(poses_H44) > _LEADERS:
        some = np.sort(rng.choice(count, _SCREENING_FEATURES, replace=False))
        screened = score_poses(poses_H44, known.of(some))
        poses_H44 = poses_H44[np.argsort(-screened, kind="stable")[:_LEADERS]]
    return np.asarray(poses_H44[int(np.argmax(score_poses(poses_H44, known)))])


def score_poses(poses_H44: Float64Array, known: Hypotheses) -> Float64Array:
    """Truncated-quadratic agreement (H,) of each pose with the best hypothesis of each feature.

    |R y + t - x|^2 is linear in (R, R^T t, t, |t|^2, 1), so all distances are one matrix product;
    `score_poses_reference` is the plain twin. Points are centered first to keep single precision
    exact enough (1e-5 m^2).
    """
    center_y, center_x = known.y_n3.mean(axis=0), known.x_M3.mean(axis=0)
    y = (known.y_n3 - center_y)[known.row_M]
    x = known.x_M3 - center_x
    R = poses_H44[:, :3, :3].astype(np.float32)
    t = (poses_H44[:, :3, 3] + poses_H44[:, :3, :3] @ center_y - center_x).astype(np.float32)
    back = np.einsum("hji,hj->hi", R, t)
    ones = np.ones((len(t), 1), np.float32)
    pose_HF = np.concatenate(
        [-2 * R.reshape(-1, 9), 2 * back, -2 * t, (t * t).sum(axis=1, keepdims=True), ones], 1)
    outer = (x[:, :, None] * y[:, None, :]).reshape(-1, 9)
    column = np.ones((len(x), 1), np.float32)
    squares = (np.einsum("mi,mi->m", x, x) + np.einsum("mi,mi->m", y, y))[:, None]
    pair_MF = np.concatenate([outer, y, x, column, squares], axis=1)
    pair_MF /= known.gate2_M[:, None]
    agreement_MH = 1.0 - pair_MF @ pose_HF.T
    best = np.maximum.reduceat(agreement_MH, known.start_n, axis=0)
    return np.asarray(np.maximum(best, 0.0).sum(axis=0), np.float64)


def score_poses_reference(poses_H44: Float64Array, known: Hypotheses) -> Float64Array:
    """Slow twin of `score_poses`, one pose and one feature at a time."""
    scores = np.zeros(len(poses_H44))
    for h, T in enumerate(poses_H44):
        for y, start, count in zip(known.y_n3.astype(np.float64), known.start_n, known.count_n,
                                   strict=True):
            moved = T[:3, :3] @ y + T[:3, 3]
            own = slice(start, start + count)
            agreement = [1.0 - float(np.sum((moved - x) ** 2)) / gate2
                         for x, gate2 in zip(known.x_M3[own], known.gate2_M[own], strict=True)]
            scores[h] += max([0.0, *agreement])
    return scores
