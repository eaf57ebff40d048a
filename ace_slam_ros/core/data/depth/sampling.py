"""Depth of a small window when it is one surface: no points in the air at edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ...config.sections import SensorConfig
    from ...geometry.arrays import Float32Array

#: Of windows of 4x4 pixels: fewer in range are no measurement; share of the depth that they may
#: spread by.
LEAST_OF_CELL, SLOPE_OF_CELL = 8, 0.03
#: The same of the 3x3 pixels of a corner.
_LEAST_OF_CORNER, _SLOPE_OF_CORNER = 5, 0.02


def surface_depth(
    window_kN: Float32Array, sensor: SensorConfig, least: int, slope: float
) -> Float32Array:
    """Mean depth of each of N windows of k pixels.

    Args:
        window_kN: (k, ...) measured depth in meters, 0 or NaN where there is none.
        sensor: range and noise.
        least: fewer pixels in range are no measurement.
        slope: spread that a slanted surface explains, as a share of the depth.

    Returns:
        (...) float32 meters, NaN where too little is measured or it spreads by more than slope
        and four standard deviations of noise.
    """
    good = (window_kN >= sensor.min_depth_m) & (window_kN <= sensor.max_depth_m)
    count = good.sum(axis=0)
    mean = np.where(good, window_kN, 0).sum(axis=0) / np.maximum(count, 1)
    low = np.where(good, window_kN, np.inf).min(axis=0)
    high = np.where(good, window_kN, 0).max(axis=0)
    spread = slope * mean + 4 * sensor.depth_sigma_m(mean)
    usable = (count >= least) & (high - low <= spread)
    return np.where(usable, mean, np.nan).astype(np.float32)


def point_depth(
    depth_m: Float32Array, pixels_n2: Float32Array, sensor: SensorConfig
) -> Float32Array:
    """Depth (n,) at pixels: mean of the 3x3 measured pixels if they are one surface, else NaN."""
    if not AVAILABLE or depth_m.dtype != np.float32:
        return point_depth_twin(depth_m, pixels_n2, sensor)
    found_n = np.empty(len(pixels_n2), np.float32)
    _point_depth(
        np.ascontiguousarray(depth_m), np.ascontiguousarray(pixels_n2, np.float32), found_n,
        sensor.min_depth_m, sensor.max_depth_m, sensor.noise_base_m, sensor.noise_quadratic)
    return found_n


@kernel
def _point_depth(
    depth_m: Float32Array, pixels_n2: Float32Array, found_n: Float32Array, nearest_m: float,
    farthest_m: float, noise_base_m: float, noise_quadratic: float,
) -> None:
    height, width = depth_m.shape
    for n in range(len(pixels_n2)):
        column, row = int(np.rint(pixels_n2[n, 0])), int(np.rint(pixels_n2[n, 1]))
        found_n[n] = np.nan
        if column <= 0 or column >= width - 1 or row <= 0 or row >= height - 1:
            continue
        count, total, low, high = 0, 0.0, np.inf, 0.0
        for i in range(row - 1, row + 2):
            for j in range(column - 1, column + 2):
                d = float(depth_m[i, j])
                if nearest_m <= d <= farthest_m:
                    count += 1
                    total += d
                    low, high = min(low, d), max(high, d)
        mean = total / max(count, 1)
        spread = _SLOPE_OF_CORNER * mean + 4.0 * (noise_base_m + noise_quadratic * mean * mean)
        if count >= _LEAST_OF_CORNER and high - low <= spread:
            found_n[n] = mean


def point_depth_twin(
    depth_m: Float32Array, pixels_n2: Float32Array, sensor: SensorConfig
) -> Float32Array:
    """Do as `point_depth`, in NumPy."""
    columns = np.rint(pixels_n2[:, 0]).astype(np.int64)
    rows = np.rint(pixels_n2[:, 1]).astype(np.int64)
    height, width = depth_m.shape
    inside = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
    columns, rows = np.clip(columns, 1, width - 2), np.clip(rows, 1, height - 2)
    steps = np.arange(-1, 2)
    window = depth_m[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]
    found = surface_depth(
        window.reshape(-1, 9).T, sensor, _LEAST_OF_CORNER, _SLOPE_OF_CORNER)
    return np.where(inside, found, np.float32(np.nan))


def cell_depth(depth_m: Float32Array, stride: int, sensor: SensorConfig) -> Float32Array:
    """Mean depth (h, w) of the 4x4 pixels around each cell center, NaN unless one surface."""
    if not AVAILABLE:
        return cell_depth_twin(depth_m, stride, sensor)
    found = np.empty((depth_m.shape[0] // stride, depth_m.shape[1] // stride), np.float32)
    _measure_cells(
        np.require(depth_m, np.float32, ["C", "W"]), stride, np.float32(sensor.min_depth_m),
        np.float32(sensor.max_depth_m), 4 * sensor.noise_base_m, 4 * sensor.noise_quadratic,
        found)
    return found


def cell_depth_twin(
    depth_m: Float32Array, stride: int, sensor: SensorConfig
) -> Float32Array:
    """Do as `cell_depth`: the slow twin."""
    first = stride // 2 - 2
    h, w = depth_m.shape[0] // stride, depth_m.shape[1] // stride
    cells = depth_m[: h * stride, : w * stride].reshape(h, stride, w, stride)
    window = cells[:, first:first + 4, :, first:first + 4].transpose(1, 3, 0, 2).reshape(16, h, w)
    return surface_depth(window, sensor, LEAST_OF_CELL, SLOPE_OF_CELL)


@kernel
def _measure_cells(
    depth_m: Float32Array, stride: int, nearest: np.float32, farthest: np.float32, noise: float,
    noise_quadratic: float, found: Float32Array,
) -> None:
    """`surface_depth` of the middle of each cell; noise in four standard deviations."""
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            first_row, first_column = (i + 0.5) * stride - 2, (j + 0.5) * stride - 2
            total, count, low, high = np.float32(0), 0, farthest, np.float32(0)
            for y in range(int(first_row), int(first_row) + 4):
                for x in range(int(first_column), int(first_column) + 4):
                    z = depth_m[y, x]
                    if nearest <= z <= farthest:
                        total += z
                        count += 1
                        low, high = min(low, z), max(high, z)
            mean = total / max(count, 1)
            spread = SLOPE_OF_CELL * mean + noise + noise_quadratic * mean * mean
            found[i, j] = mean if count >= LEAST_OF_CELL and high - low <= spread else np.nan


def pixel_depth(
    depth_m: Float32Array, pixels_N2: Float32Array, sensor: SensorConfig
) -> Float32Array:
    """Mean depth (N,) of the 4x4 pixels around each pixel, NaN unless one surface inside."""
    padded = np.pad(depth_m, 2)  # no depth outside
    first = np.floor(pixels_N2).astype(int) + 1  # one before the pixel, plus the padding
    step = np.arange(4)
    rows = first[:, 1, None, None] + step[:, None]
    columns = first[:, 0, None, None] + step[None, :]
    window_16N = padded[rows, columns].reshape(len(pixels_N2), 16).T
    return surface_depth(window_16N, sensor, LEAST_OF_CELL, SLOPE_OF_CELL)
