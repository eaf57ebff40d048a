"""Image points worth following, and the measured depth at them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..config import SensorConfig
from ..depth_surface import surface_depth

Float32Array = npt.NDArray[np.float32]
UInt8Image = npt.NDArray[np.uint8]

#: Side of the square image window that is followed.
WINDOW_PX = 17
_GRID = 16


def detect_corners(grey_HW: UInt8Image, count: int) -> Float32Array:
    """Return up to `count` corners (n, 2) spread over the image, FAST ranked within a grid."""
    found = cv2.FastFeatureDetector_create(8).detect(grey_HW)  # type: ignore[attr-defined]
    if not found:
        return np.empty((0, 2), np.float32)
    pixels = np.array([k.pt for k in found], np.float32)
    response = np.array([k.response for k in found], np.float32)
    height, width = grey_HW.shape
    margin = WINDOW_PX // 2 + 2
    inside = ((pixels > margin) & (pixels < (width - margin, height - margin))).all(axis=1)
    pixels, response = pixels[inside], response[inside]
    order = np.argsort(-response, kind="stable")
    pixels = pixels[order]
    cell = np.int64(pixels[:, 1] // _GRID) * (width // _GRID + 1) + np.int64(pixels[:, 0] // _GRID)
    _, first = np.unique(cell, return_index=True)
    return np.asarray(pixels[np.sort(first)[:count]])


def point_depth(
    depth_m: Float32Array, pixels_n2: Float32Array, sensor: SensorConfig
) -> Float32Array:
    """Depth (n,) at pixels: mean of the 3x3 measured pixels if they are one surface, else NaN."""
    columns = np.rint(pixels_n2[:, 0]).astype(np.int64)
    rows = np.rint(pixels_n2[:, 1]).astype(np.int64)
    height, width = depth_m.shape
    inside = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
    columns, rows = np.clip(columns, 1, width - 2), np.clip(rows, 1, height - 2)
    steps = np.arange(-1, 2)
    window = depth_m[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]
    found = surface_depth(window.reshape(-1, 9).T, sensor, least=5, slope=0.02)
    return np.where(inside, found, np.float32(np.nan))


def contrast(grey_HW: UInt8Image, pixels_n2: Float32Array) -> Float32Array:
    """Standard deviation (n,) of the grey values around pixels."""
    half = WINDOW_PX // 2
    steps = np.arange(-half, half + 1, 4)
    height, width = grey_HW.shape
    rows = np.clip(np.rint(pixels_n2[:, 1]).astype(np.int64), half, height - 1 - half)
    columns = np.clip(np.rint(pixels_n2[:, 0]).astype(np.int64), half, width - 1 - half)
    window = grey_HW[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]
    return np.asarray(window.std(axis=(1, 2)), np.float32)
