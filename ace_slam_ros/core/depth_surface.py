"""Depth of a small window when it is one surface: no points in the air at edges."""

from __future__ import annotations

import numpy as np

from .config import SensorConfig
from .keyframe import Float32Array


def surface_depth(
    window_kN: Float32Array, sensor: SensorConfig, least: int, slope: float
) -> Float32Array:
    """Mean depth of each of N windows of k pixels.

    Args:
        window_kN: (k, ...) measured depth in metres, 0 or NaN where there is none.
        sensor: range and noise.
        least: fewer pixels in range are no measurement.
        slope: spread that a slanted surface explains, as a share of the depth.

    Returns:
        (...) float32 metres, NaN where too little is measured or it spreads by more than slope
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
