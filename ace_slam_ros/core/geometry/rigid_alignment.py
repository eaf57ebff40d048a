"""Rigid alignment of point sets (Kabsch, Umeyama), one at a time and in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Float64Array


def kabsch_batch(source_H33: Float64Array, target_H33: Float64Array) -> Float64Array:
    """Rigid alignment of H point triplets at once: (H, 3 points, 3) -> (H, 4, 4) poses."""
    center_s, center_t = source_H33.mean(axis=1), target_H33.mean(axis=1)
    cross = np.einsum("hni,hnj->hij", source_H33 - center_s[:, None],
                      target_H33 - center_t[:, None])
    U, _, Vt = np.linalg.svd(cross)
    sign = np.ones((len(U), 3))
    sign[:, 2] = np.sign(np.linalg.det(np.matmul(U, Vt)))
    R = np.einsum("hji,hj,hkj->hik", Vt, sign, U)
    poses = np.tile(np.eye(4), (len(U), 1, 1))
    poses[:, :3, :3] = R
    poses[:, :3, 3] = center_t - np.einsum("hij,hj->hi", R, center_s)
    return poses


def kabsch(
    source_N3: Float64Array, target_N3: Float64Array, weights_N: Float64Array | None = None
) -> Float64Array:
    """Weighted rigid alignment: T minimizing sum w |target - T source|^2.

    Args:
        source_N3, target_N3: corresponding points, N >= 3, not collinear.
        weights_N: non-negative weights, default all one.

    Returns:
        (4, 4) rigid pose, determinant +1.

    Source: Kabsch 1976, Umeyama 1991 without scale.
    """
    w = np.ones(len(source_N3)) if weights_N is None else weights_N
    w = w / w.sum()
    center_s, center_t = w @ source_N3, w @ target_N3
    H_33 = ((source_N3 - center_s) * w[:, None]).T @ (target_N3 - center_t)
    return kabsch_of_moments(H_33, center_s, center_t)


def kabsch_of_moments(
    H_33: Float64Array, center_s: Float64Array, center_t: Float64Array
) -> Float64Array:
    """Do as `kabsch`, given sum w (source - center) (target - center)^T and the centers."""
    U, _, Vt = np.linalg.svd(H_33)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(Vt.T @ U.T))])
    R_33 = (Vt.T * sign) @ U.T
    T_44 = np.eye(4)
    T_44[:3, :3], T_44[:3, 3] = R_33, center_t - R_33 @ center_s
    return T_44
