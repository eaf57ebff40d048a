"""Which cells of an image are described: those with texture in both directions, and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ..data.image_pyramid import half_size
from ..runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ..config.sections import FeatureConfig
    from ..geometry.arrays import Float32Array, Int64Array, UInt8Image

#: Side of the window over which gradients are summed, in pixels of the image at half size.
WINDOW = 5
_HALF = np.float32(0.5)
#: What `cv2.cornerMinEigenVal` does to gradients of 3x3 pixels of eight bits, squared.
SCALE = np.float32((1 / (4 * WINDOW * 255)) ** 2)


def texture(gray_HW: UInt8Image, stride: int) -> Float32Array:
    """Return (H // stride, W // stride) float32: smaller structure-tensor eigenvalue per cell.

    The largest within the cell, of the image at half size.
    """
    if not AVAILABLE:
        return texture_by_opencv(gray_HW, stride)
    small = half_size(gray_HW)
    block = stride // 2
    h, w = small.shape[0] // block, small.shape[1] // block
    score_hw = np.empty((h, w), np.float32)
    padded = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    _score_cells(np.asarray(padded, np.uint8), block, score_hw)
    return score_hw


def texture_by_opencv(gray_HW: UInt8Image, stride: int) -> Float32Array:
    """Do as `texture`: the slow twin."""
    score = cv2.cornerMinEigenVal(half_size(gray_HW), blockSize=WINDOW, ksize=3)
    block = stride // 2
    h, w = score.shape[0] // block, score.shape[1] // block
    return np.asarray(
        score[: h * block, : w * block].reshape(h, block, w, block).max(axis=(1, 3)), np.float32)


def choose_cells(
    score_hw: Float32Array, usable_hw: npt.NDArray[np.bool_], features: FeatureConfig
) -> Int64Array:
    """Return flat indices of the chosen cells, ascending.

    dense: the cells with most texture, the first of equal ones.
    sparse: of these only the ones with more texture than their eight neighbors.
    """
    score_hw = np.where(usable_hw, score_hw, np.float32(-1))
    if features.mode == "sparse":
        peak_hw = score_hw >= cv2.dilate(score_hw, np.ones((3, 3), np.uint8))
        score_hw = np.where(peak_hw, score_hw, np.float32(-1))
    score = score_hw.reshape(-1)
    candidates = np.flatnonzero(score >= 0)
    if len(candidates) <= features.count:
        return candidates
    score = score[candidates]
    least = np.partition(score, len(score) - features.count)[len(score) - features.count]
    chosen = score > least
    equal = np.flatnonzero(score == least)
    chosen[equal[: features.count - np.count_nonzero(chosen)]] = True
    found: Int64Array = candidates[chosen]
    return found


@kernel
def _score_cells(padded: UInt8Image, block: int, score_hw: Float32Array) -> None:
    """Largest smaller eigenvalue within each block, of an image with a mirrored border of 1.

    Sums are whole numbers, below 2^31: exact. Rows of products go around in a ring.
    """
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    reach = WINDOW // 2
    ring = np.empty((WINDOW, 3, width), np.int32)
    sums = np.empty((3, width + 2 * reach), np.int32)
    values = np.empty(width, np.float32)
    score_hw[:] = np.float32(0)
    for filled in range(-reach, score_hw.shape[0] * block + reach):
        source = abs(filled)
        source = source if source < height else 2 * (height - 1) - source
        up, here, down = padded[source], padded[source + 1], padded[source + 2]
        products = ring[(filled + reach) % WINDOW]
        for x in range(width):
            left = np.int32(up[x]) + np.int32(2) * np.int32(here[x]) + np.int32(down[x])
            right = np.int32(up[x + 2]) + np.int32(2) * np.int32(here[x + 2]) + np.int32(
                down[x + 2])
            above = np.int32(up[x]) + np.int32(2) * np.int32(up[x + 1]) + np.int32(up[x + 2])
            below = np.int32(down[x]) + np.int32(2) * np.int32(down[x + 1]) + np.int32(
                down[x + 2])
            dx, dy = np.int32(right - left), np.int32(below - above)
            products[0, x], products[1, x], products[2, x] = dx * dx, dx * dy, dy * dy
        row = filled - reach
        if row < 0:
            continue
        for k in range(3):
            middle = sums[k, reach:reach + width]
            for x in range(width):
                middle[x] = (ring[0, k, x] + ring[1, k, x] + ring[2, k, x] + ring[3, k, x]
                             + ring[4, k, x])
            for x in range(1, reach + 1):
                sums[k, reach - x] = middle[x]
                sums[k, reach + width - 1 + x] = middle[width - 1 - x]
        for x in range(width):
            xx = sums[0, x] + sums[0, x + 1] + sums[0, x + 2] + sums[0, x + 3] + sums[0, x + 4]
            xy = sums[1, x] + sums[1, x + 1] + sums[1, x + 2] + sums[1, x + 3] + sums[1, x + 4]
            yy = sums[2, x] + sums[2, x + 1] + sums[2, x + 2] + sums[2, x + 3] + sums[2, x + 4]
            a, b, c = np.float32(xx) * _HALF, np.float32(xy), np.float32(yy) * _HALF
            values[x] = (a + c) - np.sqrt((a - c) * (a - c) + b * b)
        best = score_hw[row // block]
        for j in range(len(best)):
            for x in range(block):
                best[j] = max(best[j], values[j * block + x] * SCALE)
