"""From a frame to features: choose cells of the encoder's grid and lift them with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.depth.sampling import cell_depth, pixel_depth
from ..data.features import Features
from ..runtime.steps import Steps, at_once
from .cell_choice import choose_cells, texture

if TYPE_CHECKING:
    from ..config.sections import FeatureConfig, SensorConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..geometry.arrays import Float32Array, Int64Array
    from .base import Encoder, Keypoints


def extract_features(
    encoder: Encoder, frame: Frame, features: FeatureConfig, sensor: SensorConfig
) -> Features:
    """Describe a frame.

    Args:
        encoder: the frozen encoder.
        frame: color and depth; without depth all cells qualify and points are NaN.
        features: how many and which cells.
        sensor: depth range and noise.

    Returns:
        At most `features.count` features: cell centers in row-major order of the grid, or, when
        sparse and the encoder has a detector of its own, its keypoints, best first.
    """
    return at_once(extract_in_steps(encoder, frame, features, sensor))


def extract_in_steps(
    encoder: Encoder, frame: Frame, features: FeatureConfig, sensor: SensorConfig
) -> Steps[Features]:
    """Do as `extract_features`, with the pauses of the encoder."""
    if features.mode == "sparse":
        keypoints = encoder.keypoints(frame.gray)
        if keypoints is not None:
            return _keypoint_features(keypoints, frame, features.count, sensor)
    cells_N, depth_N = chosen_cells(frame, encoder.stride, features, sensor)
    pixels_N2 = _centers(cells_N, frame.camera.width // encoder.stride, encoder.stride)
    points_N3 = lift(frame.camera, pixels_N2, depth_N)
    if len(cells_N):
        descriptors_ND = yield from encoder.describe_cells_in_steps(frame.gray, cells_N)
    else:
        descriptors_ND = np.empty((0, encoder.dimension), np.float32)
    return Features(descriptors_ND, pixels_N2, points_N3)


def chosen_cells(
    frame: Frame, stride: int, features: FeatureConfig, sensor: SensorConfig
) -> tuple[Int64Array, Float32Array]:
    """Choose cells by their texture and depth, before anything is described.

    Returns:
        (flat indices (N,) of cells, ascending; depth (N,) float32 meters, NaN if unknown).
    """
    h, w = frame.gray.shape[0] // stride, frame.gray.shape[1] // stride
    score_hw = texture(frame.gray, stride)[:h, :w]
    if frame.depth_m is None:
        depth_hw = np.full((h, w), np.nan, np.float32)
        usable_hw = np.ones((h, w), bool)
    else:
        depth_hw = cell_depth(frame.depth_m, stride, sensor)
        usable_hw = np.isfinite(depth_hw)
    if frame.mask is not None:
        usable_hw &= frame.mask[stride // 2::stride, stride // 2::stride][:h, :w] > 0
    cells_N = choose_cells(score_hw, usable_hw, features)
    return cells_N, depth_hw.reshape(-1)[cells_N]


def _centers(cells_N: Int64Array, width: int, stride: int) -> Float32Array:
    """Return the pixels (N, 2) at the centers of cells of a grid that is `width` cells wide."""
    rows, columns = np.divmod(cells_N, width)
    return (np.stack([columns, rows], axis=1) * stride + (stride - 1) / 2).astype(np.float32)


def _keypoint_features(
    keypoints: Keypoints, frame: Frame, count: int, sensor: SensorConfig
) -> Features:
    """Keep the best keypoints that have depth."""
    pixels_N2 = keypoints.pixels_N2
    if frame.depth_m is None:
        depth_N = np.full(len(pixels_N2), np.nan, np.float32)
        chosen = np.arange(min(count, len(pixels_N2)))
    else:
        depth_N = pixel_depth(frame.depth_m, pixels_N2, sensor)
        chosen = np.flatnonzero(np.isfinite(depth_N))[:count]
    return Features(keypoints.descriptors_ND[chosen], pixels_N2[chosen],
                    lift(frame.camera, pixels_N2[chosen], depth_N[chosen]))


def lift(camera: Camera, pixels_N2: Float32Array, depth_m_N: Float32Array) -> Float32Array:
    """Unproject pixels with depth to camera-frame points, float32."""
    return camera.unproject(
        pixels_N2.astype(np.float64), depth_m_N.astype(np.float64)).astype(np.float32)
