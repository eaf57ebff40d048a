"""From a frame to features: choose cells of the encoder's grid and lift them with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..data.depth_sampling import cell_depth, pixel_depth
from ..data.features import Features
from ..runtime.steps import Steps, at_once

if TYPE_CHECKING:
    from ..config.sections import FeatureConfig, SensorConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..geometry.arrays import Float32Array
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
    grid_hwD = yield from encoder.describe_in_steps(frame.gray)
    return _cell_features(grid_hwD, encoder.stride, frame, features, sensor)


def _cell_features(
    grid_hwD: Tensor, stride: int, frame: Frame, features: FeatureConfig, sensor: SensorConfig
) -> Features:
    """Choose cells by their texture and depth."""
    h, w = int(grid_hwD.shape[0]), int(grid_hwD.shape[1])
    score_hw = texture(frame.gray, stride)[:h, :w]
    if frame.depth_m is None:
        depth_hw = np.full((h, w), np.nan, np.float32)
        usable_hw = np.ones((h, w), bool)
    else:
        depth_hw = cell_depth(frame.depth_m, stride, sensor)
        usable_hw = np.isfinite(depth_hw)
    chosen = choose_cells(score_hw, usable_hw, features)
    rows, columns = np.divmod(chosen, w)
    center = (stride - 1) / 2
    pixels_N2 = np.stack([columns * stride + center, rows * stride + center], 1).astype(np.float32)
    points_N3 = lift(frame.camera, pixels_N2, depth_hw.reshape(-1)[chosen])
    flat_ND = grid_hwD.reshape(h * w, -1)
    index = np.ascontiguousarray(chosen)
    descriptors = flat_ND.cpu().numpy()[index]
    return Features(descriptors, pixels_N2, points_N3)


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


def texture(gray_HW: npt.NDArray[np.uint8], stride: int) -> Float32Array:
    """Return (H // stride, W // stride) float32: smaller structure-tensor eigenvalue per cell."""
    small = cv2.resize(gray_HW, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    score = cv2.cornerMinEigenVal(small, blockSize=5, ksize=3)
    block = stride // 2
    h, w = score.shape[0] // block, score.shape[1] // block
    return np.asarray(
        score[: h * block, : w * block].reshape(h, block, w, block).max(axis=(1, 3)), np.float32)


def choose_cells(
    score_hw: Float32Array, usable_hw: npt.NDArray[np.bool_], features: FeatureConfig
) -> npt.NDArray[np.int64]:
    """Return flat indices of the chosen cells, ascending.

    dense: the cells with most texture.
    sparse: of these only the ones with more texture than their eight neighbors.
    """
    h, w = score_hw.shape
    score = np.where(usable_hw, score_hw, -1.0).astype(np.float32)
    largest = cv2.dilate(score, np.ones((3, 3), np.uint8))
    peak = score >= largest
    if features.mode == "sparse":
        order = np.where(peak & (score >= 0), score, -1.0).reshape(-1)
    else:
        order = score.reshape(-1)
    ranked = np.argsort(-order, kind="stable")[: features.count]
    return np.sort(ranked[order[ranked] >= 0]).astype(np.int64)
