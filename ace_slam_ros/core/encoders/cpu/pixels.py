"""From a gray image to what the first layers read: normalized pixels in blocks of 4x4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, UInt8Image
    from ...runtime.scratch import Scratch

_SIXTEENTH = np.float32(1 / 16)


def blocks_of(gray_HW: UInt8Image, scratch: Scratch) -> tuple[Float32Array, Float32Array]:
    """Normalize an image and sort it into blocks.

    Args:
        gray_HW: sides are multiples of 4.
        scratch: for what is returned.

    Returns:
        (pixels (H / 4 + 2, W / 4 + 2, 16) float32, those of a block row by row, around them one
        mirrored block; means (H / 4, W / 4) float32 of the blocks). The image as a whole has zero
        mean and unit variance.
    """
    if not AVAILABLE:
        from .torch_twins import blocks_by_torch

        return blocks_by_torch(gray_HW)
    height, width = gray_HW.shape
    mean, deviation = (float(v[0, 0]) for v in cv2.meanStdDev(gray_HW))
    count = height * width
    factor = 1 / (deviation * (count / (count - 1)) ** 0.5 + 1.0)  # as `normalize` does
    pixels = scratch.array(height // 4 + 2, width // 4 + 2, 16)
    means = scratch.array(height // 4, width // 4)
    _fill_blocks(np.require(gray_HW, np.uint8, ["C", "W"]), np.float32(mean),
                 np.float32(factor), pixels, means)
    pixels[1:-1, 0], pixels[1:-1, -1] = pixels[1:-1, 2], pixels[1:-1, -3]
    pixels[0], pixels[-1] = pixels[2], pixels[-3]
    return pixels, means


@kernel
def _fill_blocks(
    gray_HW: UInt8Image, mean: np.float32, factor: np.float32, pixels: Float32Array,
    means: Float32Array,
) -> None:
    """Write what `blocks_of` returns, but for the mirrored border."""
    h, w = means.shape
    for i in range(h):
        for j in range(w):
            total = np.float32(0)
            for y in range(4):
                for x in range(4):
                    value = (np.float32(gray_HW[4 * i + y, 4 * j + x]) - mean) * factor
                    pixels[i + 1, j + 1, 4 * y + x] = value
                    total += value
            means[i, j] = total * _SIXTEENTH
