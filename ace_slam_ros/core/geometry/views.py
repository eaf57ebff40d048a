"""How similar two views are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Float64Array, Int64Array

#: Radians of rotation count as much as this share of the depth as translation.
_PER_RADIAN = 1.5


def view_distances(
    poses_N44: Float64Array, T_map_cam: Float64Array, depth_m: Float64Array | float,
    drift_m: Float64Array | float = 0.0,
) -> Float64Array:
    """Return how much views (N,) differ from one at `T_map_cam`, 0 = same view.

    Translation over depth plus 1.5 times the rotation in radians.

    Args:
        poses_N44: T_map_cam of the views.
        T_map_cam: (4, 4) pose of the one.
        depth_m: median depth of what is seen, one number or (N,).
        drift_m: so much of the distance may not be true, one number or (N,).
    """
    apart_N3 = poses_N44[:, :3, 3] - T_map_cam[:3, 3]
    gap_m = np.sqrt(np.einsum("ni,ni->n", apart_N3, apart_N3))
    cosine = (np.einsum("nij,ij->n", poses_N44[:, :3, :3], T_map_cam[:3, :3]) - 1.0) / 2.0
    return np.asarray(np.maximum(gap_m - drift_m, 0.0) / depth_m
                      + _PER_RADIAN * np.arccos(np.clip(cosine, -1.0, 1.0)))


def most_redundant_view(poses_N44: Float64Array, submap_N: Int64Array, newest: int) -> int:
    """Index of the pose nearest to another one of its submap in place and viewing direction.

    Args:
        poses_N44: camera-to-map poses, oldest first, N > `newest`.
        submap_N: the submap of each.
        newest: so many at the end are never chosen.
    """
    old = len(poses_N44) - newest
    gaps = np.linalg.norm(poses_N44[:old, None, :3, 3] - poses_N44[None, :, :3, 3], axis=2)
    gaps += np.linalg.norm(poses_N44[:old, None, :3, 2] - poses_N44[None, :, :3, 2], axis=2)
    gaps[np.arange(old), np.arange(old)] = np.inf
    gaps[submap_N[:old, None] != submap_N[None, :]] = np.inf
    return int(gaps.min(axis=1).argmin())
