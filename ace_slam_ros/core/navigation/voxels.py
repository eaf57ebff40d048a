"""Thinning of points: one for each voxel that holds enough of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.compiled import kernel

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Int64Array

#: Sums of weights have the rounding errors of 32 bits.
_ENOUGH = 0.999


def thin(points_N3: Float32Array, weight_N: Float32Array, voxel_m: float) -> Float32Array:
    """Return the mean of the points in each voxel whose weights come to one.

    Args:
        points_N3: (N, 3) float32 meters.
        weight_N: (N,) float32; 1 / k asks for k such points.
        voxel_m: edge of a voxel; one has its corner at the origin.

    Returns:
        (M, 3) float32, in the order of the voxels' first points.
    """
    bits = max(4, (2 * len(points_N3)).bit_length())  # a table that is half empty at least
    slots = np.full(1 << bits, -1, np.int64)
    voxel_n3 = np.floor(points_N3 / np.float32(voxel_m)).astype(np.int64)
    sums_n5 = np.zeros((len(points_N3), 5), np.float32)
    kept_n3 = np.empty((len(points_N3), 3), np.float32)
    count = _gather(
        np.ascontiguousarray(points_N3), np.ascontiguousarray(weight_N), voxel_n3, slots, sums_n5,
        kept_n3)
    return kept_n3[:count].copy()


@kernel
def _gather(
    points_n3: Float32Array, weight_n: Float32Array, voxel_n3: Int64Array, slots: Int64Array,
    sums_n5: Float32Array, kept_n3: Float32Array,
) -> int:
    """Sum x, y, z, weight and count of a voxel in the row of its first point."""
    mask = len(slots) - 1
    for n in range(len(points_n3)):
        slot = (voxel_n3[n, 0] * 73856093 ^ voxel_n3[n, 1] * 19349663
                ^ voxel_n3[n, 2] * 83492791) & mask
        while True:
            first = slots[slot]
            if first < 0:
                first = slots[slot] = n
            if (voxel_n3[first, 0] == voxel_n3[n, 0] and voxel_n3[first, 1] == voxel_n3[n, 1]
                    and voxel_n3[first, 2] == voxel_n3[n, 2]):
                break
            slot = (slot + 1) & mask
        for k in range(3):
            sums_n5[first, k] += points_n3[n, k]
        sums_n5[first, 3] += weight_n[n]
        sums_n5[first, 4] += 1
    count = 0
    for n in range(len(points_n3)):
        if sums_n5[n, 3] >= _ENOUGH:
            for k in range(3):
                kept_n3[count, k] = sums_n5[n, k] / sums_n5[n, 4]
            count += 1
    return count


def thin_twin(points_N3: Float32Array, weight_N: Float32Array, voxel_m: float) -> Float32Array:
    """Do as `thin`, in NumPy."""
    voxel_N3 = np.floor(points_N3 / np.float32(voxel_m)).astype(np.int64)
    _, first, inverse = np.unique(voxel_N3, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    count = np.bincount(inverse)
    mean = np.stack(
        [np.bincount(inverse, points_N3[:, k]) / np.maximum(count, 1) for k in range(3)], axis=1)
    enough = np.bincount(inverse, weight_N) >= _ENOUGH
    order = np.argsort(first)
    return mean[order][enough[order]].astype(np.float32).reshape(-1, 3)
