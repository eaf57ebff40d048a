"""Depth that few pixels have, as of a LiDAR: filled where neighbors show one surface, or named.

Everything that reads depth looks at small windows of neighboring pixels. Sparse depth is
therefore made dense once, where it enters; dense depth passes as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ...config.sections import SensorConfig
    from ...geometry.arrays import Float32Array, Float32Image

#: Depth is sparse when measured pixels have, of their eight neighbors, a smaller share measured.
#: A third of a dense image may be missing, in patches or scattered, and the share is two thirds.
_DENSE_SHARE = 0.5
#: So many bands of so many rows are looked at to decide, spread without a period: rows of a LiDAR
#: have one.
_BANDS, _BAND, _GOLDEN = 24, 6, 0.6180339887
#: Half sides of the windows that are fitted, in blocks of 2x2 pixels: one pixel in ten has twenty
#: neighbors in the first; where that holds one row of a LiDAR, the second holds three.
_HALF_SIDES = (3, 8)
#: The second is not tried where the first fills so much.
_FILLED = 0.9
_LEAST_POINTS = 4
#: Squared standard deviation of the depth found, in those of one measurement: no extrapolation.
_LARGEST_LEVERAGE = 0.7
#: Depth may spread about the plane by this share of it: else the window shows several surfaces.
_SPREAD = 0.012
#: A position within a block is not told better than that, squared blocks.
_POSITION_VARIANCE = 1.0 / 12.0
#: Shares of the image that make a reason.
_FEW_MEASURED, _MOST = 0.08, 0.5


def fill_sparse(depth_m: Float32Image) -> Float32Image:
    """Return depth that is dense wherever sparse depth shows one surface.

    A plane is fitted to the inverse depths around each pixel; pixels that were measured keep
    their depth. Works down to one pixel in ten, or one row in sixteen.

    Args:
        depth_m: (H, W) meters, 0 = missing.

    Returns:
        (H, W) meters, 0 = missing; `depth_m` itself when it is dense already, or empty.
    """
    if not _is_sparse(depth_m):
        return depth_m
    height, width = depth_m.shape
    known = np.pad((depth_m > 0.0).astype(np.float32), ((0, height % 2), (0, width % 2)))
    inverse = np.zeros_like(known)
    np.divide(1.0, depth_m, out=inverse[:height, :width], where=depth_m > 0.0)
    sums = (_in_blocks(known), _in_blocks(inverse), _in_blocks(inverse * inverse))
    found = _fit(*sums, _HALF_SIDES[0])
    if (found > 0.0).mean() < _FILLED:
        found = np.where(found > 0.0, found, _fit(*sums, _HALF_SIDES[1]))
    full = found.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(depth_m > 0.0, depth_m, full)


def explain_missing_depth(depth_m: Float32Image | None, sensor: SensorConfig) -> str:
    """Say why so little of a depth image (H, W) can be used, with the fix; empty if all is well.

    Density comes first: of a sparse image the range is nothing to complain about.
    """
    if depth_m is None:
        return "there is no depth"
    known = depth_m[np.isfinite(depth_m) & (depth_m > 0.0)]
    share = known.size / max(1, depth_m.size)
    if share < _FEW_MEASURED:
        return (f"only {100 * share:.1f} % of the pixels have depth, one in ten is needed: check "
                "the sensor, its filters and how depth is registered to color")
    near, far = (float(part.mean()) for part in (
        known < sensor.min_depth_m, known > sensor.max_depth_m))
    median_m = float(np.median(known))
    if near >= far and near > _MOST:
        return (f"{100 * near:.0f} % of the depth is nearer than sensor.min_depth_m = "
                f"{sensor.min_depth_m:g} m (median {median_m:.2f} m): set it lower")
    if far > _MOST:
        return (f"{100 * far:.0f} % of the depth is farther than sensor.max_depth_m = "
                f"{sensor.max_depth_m:g} m (median {median_m:.1f} m): set it higher")
    if _is_sparse(depth_m):
        return ("measured pixels stand alone: fill sparse depth with `fill_sparse`, as recordings "
                "and nodes do")
    return ""


def _is_sparse(depth_m: Float32Image) -> bool:
    """Tell whether measured pixels stand alone; looks at a few bands of rows."""
    height = depth_m.shape[0]
    if height < _BAND or depth_m.shape[1] < 3:
        return False
    first = np.arange(_BANDS) * _GOLDEN % 1.0 * (height - _BAND + 1)
    known = depth_m[first.astype(np.int64)[:, None] + np.arange(_BAND)] > 0.0
    centers = known[:, 1:-1, 1:-1]
    if not centers.any():
        return False
    rows = known[:, :-2].astype(np.uint8) + known[:, 1:-1] + known[:, 2:]
    count = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    return bool(count[centers].mean() - 1.0 < 8.0 * _DENSE_SHARE)


def _in_blocks(values: Float32Array) -> Float32Array:
    """Sum (h, w) of each block of 2x2 pixels."""
    half = (values.shape[1] // 2, values.shape[0] // 2)
    return 4.0 * np.asarray(cv2.resize(values, half, interpolation=cv2.INTER_AREA), np.float32)


def _fit(
    count: Float32Array, total: Float32Array, squares: Float32Array, half_side: int
) -> Float32Array:
    """Fit a plane of inverse depth around each block; depth (h, w) in meters, 0 = none.

    Args:
        count, total, squares: (h, w) of each block the number of measurements, the sums of
            inverse depths and of their squares.
        half_side: of the window, in blocks.
    """
    step = np.arange(-half_side, half_side + 1, dtype=np.float32)
    one = np.ones_like(step)

    def sums(values: Float32Array, power_x: int, power_y: int) -> Float32Array:
        x, y = (step if p == 1 else step * step if p else one for p in (power_x, power_y))
        return np.asarray(cv2.sepFilter2D(
            values, cv2.CV_32F, x, y, borderType=cv2.BORDER_CONSTANT), np.float32)

    n = sums(count, 0, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, mean = (sums(count, 1, 0) / n, sums(count, 0, 1) / n, sums(total, 0, 0) / n)
        xx = sums(count, 2, 0) / n - x * x + _POSITION_VARIANCE
        yy = sums(count, 0, 2) / n - y * y + _POSITION_VARIANCE
        xy = sums(count, 1, 1) / n - x * y
        xv, yv = sums(total, 1, 0) / n - x * mean, sums(total, 0, 1) / n - y * mean
        vv = sums(squares, 0, 0) / n - mean * mean
        area = xx * yy - xy * xy
        slope_x, slope_y = (xv * yy - yv * xy) / area, (yv * xx - xv * xy) / area
        leverage = (1.0 + (x * x * yy - 2.0 * x * y * xy + y * y * xx) / area) / n
        inverse = mean - slope_x * x - slope_y * y
        spread = np.sqrt(np.maximum(vv - slope_x * xv - slope_y * yv, 0.0)) / inverse
        good = ((n > _LEAST_POINTS - 0.5) & (leverage < _LARGEST_LEVERAGE) & (inverse > 0.0)
                & (spread < _SPREAD))
        return np.where(good, 1.0 / inverse, 0.0).astype(np.float32)
