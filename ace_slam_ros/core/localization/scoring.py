"""How well candidate poses agree with the hypotheses of all features, and which does best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..runtime.compiled import AVAILABLE, kernel
from .ranges import expand

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float64Array, Int64Array
    from .hypotheses import Hypotheses

SCREENING_FEATURES, LEADERS = 300, 8


def choose_pose(
    poses_H44: Float64Array, known: Hypotheses, rng: np.random.Generator
) -> tuple[Float64Array, float]:
    """Return the best pose and its score: all are scored on some features, leaders on all."""
    count = len(known.y_n3)
    if count > SCREENING_FEATURES and len(poses_H44) > LEADERS:
        some = np.sort(rng.choice(count, SCREENING_FEATURES, replace=False))
        screened = score_poses(poses_H44, known, some)
        poses_H44 = poses_H44[np.argsort(-screened, kind="stable")[:LEADERS]]
    scores_H = score_poses(poses_H44, known, np.arange(count))
    best = int(np.argmax(scores_H))
    return poses_H44[best], float(scores_H[best])


def score_poses(
    poses_H44: Float64Array, known: Hypotheses, some_f: Int64Array
) -> npt.NDArray[np.floating]:
    """Truncated-quadratic agreement (H,) of each pose with some features at their best."""
    if not AVAILABLE:
        return score_poses_reference(poses_H44, known, some_f)
    poses_CH = np.empty((12, len(poses_H44)), np.float32)
    poses_CH[:9] = poses_H44[:, :3, :3].reshape(-1, 9).T
    poses_CH[9:] = poses_H44[:, :3, 3].T
    scores_H = np.zeros(len(poses_H44), np.float32)
    add_scores(poses_CH, known.y_n3, known.start_n, known.count_n, known.x_M3, known.gate2_M,
               some_f, scores_H)
    return scores_H


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


def score_poses_reference(
    poses_H44: Float64Array, known: Hypotheses, some_f: Int64Array
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
