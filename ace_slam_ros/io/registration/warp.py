"""Depth of one camera as another one sees it: every pixel moved, the nearest surface wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import Float32Image, Float64Array

#: A pixel covers this much more than its own size, so that slanted surfaces have no cracks.
_OVERLAP = 1.1
#: Pixels of the other image that one pixel covers along a side, at most.
_LARGEST = 8.0
_NEAREST_M = 0.01


def register_depth(
    depth_m: Float32Image, depth_camera: Camera, color_camera: Camera, T_color_depth: Float64Array
) -> Float32Image:
    """Return the depth that the color camera would measure.

    Args:
        depth_m: (h, w) meters, 0 = missing, of a camera without distortion.
        depth_camera: that camera.
        color_camera: the other one, without distortion; of any size.
        T_color_depth: (4, 4) pose of the depth camera in the color camera, optical frames.

    Returns:
        (H, W) float32 meters along the optical axis of the color camera, 0 = missing. Of several
        surfaces along a ray the nearest one counts.
    """
    if not AVAILABLE:
        return register_depth_twin(depth_m, depth_camera, color_camera, T_color_depth)
    found = np.full((color_camera.height, color_camera.width), np.inf, np.float32)
    _splat(np.require(depth_m, np.float32, ["C", "W"]), depth_camera.pinhole_4,
           color_camera.pinhole_4, np.ascontiguousarray(T_color_depth, np.float64), found)
    found[np.isinf(found)] = 0.0
    return found


@kernel
def _splat(
    depth_m: Float32Image, own_4: Float64Array, other_4: Float64Array, T_44: Float64Array,
    found: Float32Image,
) -> None:
    height, width = found.shape
    for row in range(depth_m.shape[0]):
        for column in range(depth_m.shape[1]):
            d = float(depth_m[row, column])
            if not d > 0.0:
                continue
            x = (column - own_4[2]) / own_4[0] * d
            y = (row - own_4[3]) / own_4[1] * d
            z = T_44[2, 0] * x + T_44[2, 1] * y + T_44[2, 2] * d + T_44[2, 3]
            if z < _NEAREST_M:
                continue
            u = other_4[0] * (T_44[0, 0] * x + T_44[0, 1] * y + T_44[0, 2] * d + T_44[0, 3]) / z
            v = other_4[1] * (T_44[1, 0] * x + T_44[1, 1] * y + T_44[1, 2] * d + T_44[1, 3]) / z
            u, v = u + other_4[2], v + other_4[3]
            half_u = 0.5 * min(_LARGEST, _OVERLAP * other_4[0] / own_4[0] * d / z)
            half_v = 0.5 * min(_LARGEST, _OVERLAP * other_4[1] / own_4[1] * d / z)
            if not (-half_u <= u <= width + half_u and -half_v <= v <= height + half_v):
                continue
            near = np.float32(z)
            for i in range(max(0, int(np.ceil(v - half_v))),
                           min(height - 1, int(np.floor(v + half_v))) + 1):
                for j in range(max(0, int(np.ceil(u - half_u))),
                               min(width - 1, int(np.floor(u + half_u))) + 1):
                    found[i, j] = min(found[i, j], near)


def register_depth_twin(
    depth_m: Float32Image, depth_camera: Camera, color_camera: Camera, T_color_depth: Float64Array
) -> Float32Image:
    """Do as `register_depth`, in NumPy: the slow twin."""
    rows, columns = np.nonzero(depth_m > 0.0)
    d = depth_m[rows, columns].astype(np.float64)
    points = depth_camera.unproject(np.stack([columns, rows], 1).astype(np.float64), d)
    points = points @ T_color_depth[:3, :3].T + T_color_depth[:3, 3]
    ahead = points[:, 2] >= _NEAREST_M
    points, d = points[ahead], d[ahead]
    u, v = color_camera.project(points).T
    z, (height, width) = points[:, 2], (color_camera.height, color_camera.width)
    half_u = 0.5 * np.minimum(_LARGEST, _OVERLAP * color_camera.fx / depth_camera.fx * d / z)
    half_v = 0.5 * np.minimum(_LARGEST, _OVERLAP * color_camera.fy / depth_camera.fy * d / z)
    found = np.full((height, width), np.inf, np.float32)
    first_row, first_column = np.ceil(v - half_v), np.ceil(u - half_u)
    for i in range(int(_LARGEST) + 1):
        for j in range(int(_LARGEST) + 1):
            row, column = first_row + i, first_column + j
            covered = ((row <= np.floor(v + half_v)) & (column <= np.floor(u + half_u))
                       & (row >= 0) & (row < height) & (column >= 0) & (column < width))
            np.minimum.at(found, (row[covered].astype(int), column[covered].astype(int)),
                          z[covered].astype(np.float32))
    found[np.isinf(found)] = 0.0
    return found
