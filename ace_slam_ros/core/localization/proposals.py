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
from ..runtime.compiled import AVAILABLE
from .hypotheses import Hypotheses, IndexArray, expand
from .kernels import add_scores, align_triplets, draw_triplets

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float64Array

#: Side tests per proposed pose, and at most per frame; sides drawn per pose asked for.
_TESTS_PER_POSE, _MOST_TESTS = 800, 200_000
_PAIRS_PER_POSE, _CANDIDATES_PER_POSE, _THIRDS = 32, 4, 4
#: Triplets that two features may give, so that those of many hypotheses leave room for others.
_MOST_OF_PAIR = 4
#: A side shorter than this share of the depth fixes no rotation.
_SHORTEST_SIDE = 0.08
#: Draws without replacement of an urn: features rarer than one in so many may be left out.
_URN = 4096
_SCREENING_FEATURES, _LEADERS = 300, 8


def propose(known: Hypotheses, rng: np.random.Generator, count: int) -> Float64Array:
    """Align triplets of features whose three sides agree in camera and map: (H, 4, 4), H <= count.

    Features with few and sure hypotheses are drawn more often.
    """
    cumulative = _cumulative_weight(known)
    if not AVAILABLE:
        return propose_reference(known, rng, count)
    urn_u = np.searchsorted(cumulative, (np.arange(_URN) + rng.random()) / _URN)
    features_T3, triplets_T3 = np.empty((2, count, 3), np.int64)
    limits_4 = np.array([_PAIRS_PER_POSE * count, min(_TESTS_PER_POSE * count, _MOST_TESTS),
                         _THIRDS, _MOST_OF_PAIR])
    found = draw_triplets(
        known.y_n3, known.start_n, known.count_n, known.x_M3, known.gate2_M,
        np.minimum(urn_u, len(known.y_n3) - 1), int(rng.integers(2**63)), limits_4,
        _SHORTEST_SIDE, features_T3, triplets_T3)
    poses_H44 = np.empty((found, 4, 4))
    align_triplets(known.y_n3, known.x_M3, features_T3, triplets_T3, poses_H44)
    return poses_H44


def _cumulative_weight(known: Hypotheses) -> Float64Array:
    """Chance of each feature (n,) to be drawn, summed up."""
    best = np.minimum.reduceat(known.sigma_M, known.start_n)
    weight = 1.0 / ((best**2 + 0.01**2) * known.count_n)
    return np.cumsum(weight / weight.sum())


def propose_reference(known: Hypotheses, rng: np.random.Generator, count: int) -> Float64Array:
    """Slow twin of `propose`: whole arrays of pairs, other draws."""
    cumulative = _cumulative_weight(known)

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
    return kabsch_batch(known.y_n3[known.owner_M[triplets]].astype(np.float64),
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
    owner_M = known.owner_M
    y = known.y_n3
    side_a, side_b = _length(y[owner_M[a_K]] - y[feature_K]), _length(y[owner_M[b_K]] - y[feature_K])
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
        screened = score_poses(poses_H44, known, some)
        poses_H44 = poses_H44[np.argsort(-screened, kind="stable")[:_LEADERS]]
    scores_H = score_poses(poses_H44, known, np.arange(count))
    return np.asarray(poses_H44[int(np.argmax(scores_H))])


def score_poses(
    poses_H44: Float64Array, known: Hypotheses, some_f: IndexArray
) -> npt.NDArray[np.floating]:
    """Truncated-quadratic agreement (H,) of each pose with the best hypothesis of some features."""
    if not AVAILABLE:
        return score_poses_reference(poses_H44, known, some_f)
    poses_CH = np.empty((12, len(poses_H44)), np.float32)
    poses_CH[:9] = poses_H44[:, :3, :3].reshape(-1, 9).T
    poses_CH[9:] = poses_H44[:, :3, 3].T
    scores_H = np.zeros(len(poses_H44), np.float32)
    add_scores(poses_CH, known.y_n3, known.start_n, known.count_n, known.x_M3, known.gate2_M,
               some_f, scores_H)
    return scores_H


def score_poses_reference(
    poses_H44: Float64Array, known: Hypotheses, some_f: IndexArray
) -> Float64Array:
    """Slow twin of `score_poses`, one pose at a time."""
    owner, m = expand(known.start_n[some_f], known.count_n[some_f])
    y, x, gate2 = known.y_n3[some_f].astype(np.float64), known.x_M3[m], known.gate2_M[m]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    scores = np.zeros(len(poses_H44))
    for h, T in enumerate(poses_H44):
        gap = (y @ T[:3, :3].T + T[:3, 3])[owner] - x
        relative = np.minimum.reduceat(np.einsum("mi,mi->m", gap, gap) / gate2, first)
        scores[h] = np.maximum(1.0 - relative, 0.0).sum()
    return scores
