"""How similar two views are."""

from __future__ import annotations

import numpy as np

from .arrays import Float64Array


def most_redundant_view(poses_N44: Float64Array, newest: int) -> int:
    """Index of the pose nearest to another one in place and viewing direction.

    Args:
        poses_N44: camera-to-map poses, oldest first, N > `newest`.
        newest: so many at the end are never chosen.
    """
    old = len(poses_N44) - newest
    gaps = np.linalg.norm(poses_N44[:old, None, :3, 3] - poses_N44[None, :, :3, 3], axis=2)
    gaps += np.linalg.norm(poses_N44[:old, None, :3, 2] - poses_N44[None, :, :3, 2], axis=2)
    gaps[np.arange(old), np.arange(old)] = np.inf
    return int(gaps.min(axis=1).argmin())
