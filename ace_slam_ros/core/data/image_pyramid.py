"""An image at halved sizes, with borders: what corners are followed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..geometry.arrays import Int64Array, UInt8Image

LEVELS = 5
#: Every level has a border of so many pixels, repeated from its edge.
BORDER_PX = 16


@dataclass(frozen=True)
class ImagePyramid:
    """All levels in one array, so that compiled code takes them as one.

    Attributes:
        flat: uint8, rows of the levels with their borders, one after the other.
        layout_L4: (levels, 4) int64: start in `flat`, length of a row, width and height without
            borders.
    """

    flat: npt.NDArray[np.uint8]
    layout_L4: Int64Array

    @staticmethod
    def of(gray_HW: UInt8Image) -> ImagePyramid:
        """Return the pyramid of a gray image (H, W)."""
        layout = _layout(*gray_HW.shape)
        start, stride, _, height = layout[-1].tolist()
        flat = np.empty(start + stride * (height + 2 * BORDER_PX), np.uint8)
        level_hw = gray_HW
        for n, (start, stride, _, height) in enumerate(layout.tolist()):
            if n:
                level_hw = np.asarray(cv2.pyrDown(level_hw), np.uint8)
            rows = height + 2 * BORDER_PX
            cv2.copyMakeBorder(
                level_hw, BORDER_PX, BORDER_PX, BORDER_PX, BORDER_PX, cv2.BORDER_REPLICATE,
                dst=flat[start:start + stride * rows].reshape(rows, stride))
        return ImagePyramid(flat, layout)

    def level(self, number: int) -> UInt8Image:
        """Return a level (h, w) without its border; 0 is the whole image."""
        start, stride, width, height = self.layout_L4[number].tolist()
        whole = self.flat[start:start + stride * (height + 2 * BORDER_PX)].reshape(-1, stride)
        return whole[BORDER_PX:BORDER_PX + height, BORDER_PX:BORDER_PX + width]


def half_size(gray_HW: UInt8Image) -> UInt8Image:
    """Return a gray image with half the pixels along each side, each the mean of four."""
    return np.asarray(
        cv2.resize(gray_HW, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def _layout(height: int, width: int) -> Int64Array:
    rows, start = [], 0
    for _ in range(LEVELS):
        stride = width + 2 * BORDER_PX
        rows.append((start, stride, width, height))
        start += stride * (height + 2 * BORDER_PX)
        width, height = (width + 1) // 2, (height + 1) // 2
    return np.array(rows, np.int64)
