"""The compiled pointing of the token head: where the tokens that a feature attends to are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...geometry.arrays import Float32Array, Float64Array, Int64Array


@kernel
def _gather(
    token_k: Int64Array, left_k: Float32Array, x_T3: Float32Array, sigma_T: Float32Array,
    submap_T: npt.NDArray[np.uint8], radius2: float, sums_6: Float64Array,
) -> int:
    """Take the tokens around the heaviest one left out of `left_k`; returns that one.

    `sums_6`: their weight, and times it offsets from that token, squared offset and variance.
    """
    heaviest = 0
    for k in range(len(left_k)):
        if left_k[k] > left_k[heaviest]:
            heaviest = k
    best: int = token_k[heaviest]
    sums_6[:] = 0.0
    for k in range(len(left_k)):
        t, weight = token_k[k], left_k[k]
        if weight > 0.0 and submap_T[t] == submap_T[best]:
            u, v, w = (x_T3[t, 0] - x_T3[best, 0], x_T3[t, 1] - x_T3[best, 1],
                       x_T3[t, 2] - x_T3[best, 2])
            gap2 = u * u + v * v + w * w
            if gap2 <= radius2:
                sums_6[0] += weight
                sums_6[1] += weight * u
                sums_6[2] += weight * v
                sums_6[3] += weight * w
                sums_6[4] += weight * gap2
                sums_6[5] += weight * sigma_T[t] * sigma_T[t]
                left_k[k] = 0.0
    return best


@kernel
def point(
    token_Nk: Int64Array, weight_Nk: Float32Array, x_T3: Float32Array, sigma_T: Float32Array,
    submap_T: npt.NDArray[np.uint8], radius_m: float, least: float, coords_NS3: Float32Array,
    sigma_NS: Float32Array, submap_NS: npt.NDArray[np.uint8],
) -> None:
    """Gather the tokens of each feature into places: their weighted means are its hypotheses.

    The heaviest token that is left begins a place, and takes those near it. A place with less
    than `least` of the weight of the first one is none.

    Args:
        token_Nk: (N, k) candidates of each feature.
        weight_Nk: (N, k) attention; 0 is no candidate.
        x_T3, sigma_T, submap_T: map points of the tokens, meters, and their submaps.
        radius_m: tokens nearer than this are of one place.
        least: share of the weight.
        coords_NS3, sigma_NS, submap_NS: results, see `Predictions`.
    """
    sums_6 = np.empty(6)
    for n in range(len(token_Nk)):
        left_k = weight_Nk[n].copy()
        first = 0.0
        for s in range(sigma_NS.shape[1]):
            coords_NS3[n, s, :], sigma_NS[n, s] = np.float32(0.0), np.float32(np.inf)
            submap_NS[n, s] = 0
            best = _gather(
                token_Nk[n], left_k, x_T3, sigma_T, submap_T, radius_m * radius_m, sums_6)
            total = sums_6[0]
            if s == 0:
                first = total
            if total <= 0.0 or total < least * first:
                continue
            spread = sums_6[4] / total
            for i in range(3):
                shift = sums_6[1 + i] / total
                coords_NS3[n, s, i] = x_T3[best, i] + shift
                spread -= shift * shift
            sigma_NS[n, s] = np.sqrt(sums_6[5] / total + max(spread, 0.0) / 3.0)
            submap_NS[n, s] = submap_T[best]


def point_twin(
    token_Nk: Int64Array, weight_Nk: Float32Array, x_T3: Float32Array, sigma_T: Float32Array,
    submap_T: npt.NDArray[np.uint8], radius_m: float, least: float, coords_NS3: Float32Array,
    sigma_NS: Float32Array, submap_NS: npt.NDArray[np.uint8],
) -> None:
    """Slow twin of `point`: all features at once, slot by slot."""
    rows = np.arange(len(token_Nk))
    left_Nk, first_N = weight_Nk.copy(), np.zeros(len(token_Nk), np.float32)
    x_Nk3, submap_Nk = x_T3[token_Nk].astype(np.float64), submap_T[token_Nk]
    for s in range(sigma_NS.shape[1]):
        best_N = left_Nk.argmax(axis=1)
        gap_Nk3 = x_Nk3 - x_Nk3[rows, best_N][:, None]
        gap2_Nk = np.square(gap_Nk3).sum(axis=2)
        taken_Nk = ((gap2_Nk <= radius_m**2) & (left_Nk > 0)
                    & (submap_Nk == submap_Nk[rows, best_N][:, None]))
        w_Nk = np.where(taken_Nk, left_Nk, 0.0)
        left_Nk[taken_Nk] = 0.0
        total_N = w_Nk.sum(axis=1)
        first_N = total_N if s == 0 else first_N
        known_N = (total_N > 0) & (total_N >= least * first_N)
        w_Nk /= np.where(total_N > 0, total_N, 1.0)[:, None]
        mean_N3 = np.einsum("nk,nkx->nx", w_Nk, gap_Nk3)
        spread_N = np.maximum((w_Nk * gap2_Nk).sum(axis=1) - np.square(mean_N3).sum(axis=1), 0.0)
        sigma_N = np.sqrt((w_Nk * np.square(sigma_T[token_Nk])).sum(axis=1) + spread_N / 3.0)
        coords_NS3[:, s] = np.where(known_N[:, None], x_Nk3[rows, best_N] + mean_N3, 0.0)
        sigma_NS[:, s] = np.where(known_N, sigma_N, np.inf)
        submap_NS[:, s] = np.where(known_N, submap_Nk[rows, best_N], 0)
