"""What a depth view says of points: it sees something there, sees through them, or nothing.

A loop over all points of up to thirty views for every new keyframe: compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..geometry.se3 import transform_points
from ..runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float64Array

Int8Array = npt.NDArray[np.int8]

#: What is said of a point: it is not in view, something nearer hides it or nothing is known there;
#: something farther is seen where it is; something is seen there.
OUT_OF_VIEW, HIDDEN, THROUGH, THERE = -1, 0, 1, 2
#: Background must be farther than the point by this share of its depth (the scale error of depth
#: cameras that are not calibrated) and this many standard deviations of the depth noise.
_FARTHER_SHARE, _FARTHER_SIGMAS = 0.02, 5.0


def seen_through(
    points_N3: Float64Array, T_cam_map: Float64Array, nearest_hw: Float32Array, camera: Camera,
    step_px: int, sensor: SensorConfig,
) -> Int8Array:
    """Tell of each point (N,) what a view says: OUT_OF_VIEW, HIDDEN, THROUGH or THERE.

    Args:
        points_N3: in the map, meters.
        T_cam_map: (4, 4) of the view.
        nearest_hw: (h, w) float32 nearest depth around every `step_px`-th pixel, 0 = not known.
        camera: intrinsics of the view.
        step_px: pixels of a cell.
        sensor: range and noise.
    """
    view_4 = camera.pinhole_4
    limits_4 = np.array([sensor.min_depth_m, _FARTHER_SHARE, _FARTHER_SIGMAS * sensor.noise_base_m,
                         _FARTHER_SIGMAS * sensor.noise_quadratic])
    says_N = np.empty(len(points_N3), np.int8)
    say = _say if AVAILABLE else say_twin
    say(np.ascontiguousarray(points_N3), np.ascontiguousarray(T_cam_map), nearest_hw, view_4,
        float(step_px), limits_4, says_N)
    return says_N


@kernel
def _say(
    points_N3: Float64Array, T_44: Float64Array, nearest_hw: Float32Array, view_4: Float64Array,
    step_px: float, limits_4: Float64Array, says_N: Int8Array,
) -> None:
    height, width = nearest_hw.shape
    for n in range(len(points_N3)):
        px, py, pz = points_N3[n, 0], points_N3[n, 1], points_N3[n, 2]
        z = T_44[2, 0] * px + T_44[2, 1] * py + T_44[2, 2] * pz + T_44[2, 3]
        says_N[n] = OUT_OF_VIEW
        if not z > limits_4[0]:
            continue
        x = T_44[0, 0] * px + T_44[0, 1] * py + T_44[0, 2] * pz + T_44[0, 3]
        y = T_44[1, 0] * px + T_44[1, 1] * py + T_44[1, 2] * pz + T_44[1, 3]
        column = np.floor((view_4[0] * x / z + view_4[2]) / step_px)
        row = np.floor((view_4[1] * y / z + view_4[3]) / step_px)
        if not (0.0 <= column < width and 0.0 <= row < height):
            continue
        seen = np.float64(nearest_hw[int(row), int(column)])
        unsure = limits_4[1] * z + limits_4[2] + limits_4[3] * z * z
        says_N[n] = HIDDEN
        if seen > z + unsure:
            says_N[n] = THROUGH
        elif abs(seen - z) <= unsure:
            says_N[n] = THERE


def say_twin(
    points_N3: Float64Array, T_44: Float64Array, nearest_hw: Float32Array, view_4: Float64Array,
    step_px: float, limits_4: Float64Array, says_N: Int8Array,
) -> None:
    """Do as the kernel behind `seen_through`, in NumPy."""
    in_cam = transform_points(T_44, points_N3)
    ahead = np.flatnonzero(in_cam[:, 2] > limits_4[0])
    z = in_cam[ahead, 2]
    pixels = in_cam[ahead, :2] / z[:, None] * view_4[:2] + view_4[2:]
    cell = np.floor(pixels / step_px).astype(np.int64)
    height, width = nearest_hw.shape
    inside = ((cell >= 0) & (cell < (width, height))).all(axis=1)
    index, cell, z = ahead[inside], cell[inside], z[inside]
    seen = nearest_hw[cell[:, 1], cell[:, 0]].astype(np.float64)
    unsure = limits_4[1] * z + limits_4[2] + limits_4[3] * z**2
    says_N[:] = OUT_OF_VIEW
    says_N[index] = np.where(
        seen > z + unsure, THROUGH, np.where(np.abs(seen - z) <= unsure, THERE, HIDDEN))
