"""Points of the surfaces in a depth image: pixels whose neighbors agree, with less noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.compiled import kernel

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float32Image, Float64Array, UInt8Image

#: Neighbors agree within this share of the depth and so many standard deviations of noise; so
#: many pixels of a 3x3 window, the middle one included, make a surface: a pole one pixel wide.
_SLOPE, _SIGMAS, _LEAST = 0.02, 4.0, 3


def surface_points(
    depth_m: Float32Image, shown_HW: UInt8Image | None, stride: int, camera: Camera,
    sensor: SensorConfig,
) -> tuple[Float32Array, int]:
    """Lift every `stride`-th pixel of every `stride`-th row that is part of a surface.

    Args:
        depth_m: (H, W) float32 meters, 0 or NaN where there is none.
        shown_HW: (H, W) uint8, 0 where pixels are left out; None = nowhere.
        stride: between pixels that are looked at.
        camera: intrinsics without distortion.
        sensor: range and noise.

    Returns:
        (N, 3) float32 points in the optical frame, meters, in the order of the rows; and how many
        pixels were looked at.
    """
    height, width = depth_m.shape
    found_n3 = np.empty((height // stride * (width // stride) + height + width, 3), np.float32)
    shown = np.empty((0, 0), np.uint8) if shown_HW is None else np.ascontiguousarray(shown_HW)
    count, looked = _lift(
        np.ascontiguousarray(depth_m, np.float32), shown, stride, camera.pinhole_4,
        np.float32(sensor.min_depth_m),
        np.float32(sensor.max_depth_m), sensor.noise_base_m, sensor.noise_quadratic, found_n3)
    return found_n3[:count], looked


@kernel
def _lift(
    depth_m: Float32Image, shown_HW: UInt8Image, stride: int, camera_4: Float64Array,
    nearest: np.float32, farthest: np.float32, noise_base_m: float, noise_quadratic: float,
    found_n3: Float32Array,
) -> tuple[int, int]:
    count, looked = 0, 0
    for i in range(max(stride // 2, 1), depth_m.shape[0] - 1, stride):
        for j in range(max(stride // 2, 1), depth_m.shape[1] - 1, stride):
            if shown_HW.size and shown_HW[i, j] == 0:
                continue
            looked += 1
            z = depth_m[i, j]
            if not nearest <= z <= farthest:
                continue
            within = _SLOPE * z + _SIGMAS * (noise_base_m + noise_quadratic * z * z)
            agree, total = 0, 0.0
            for y in range(i - 1, i + 2):
                for x in range(j - 1, j + 2):
                    if abs(depth_m[y, x] - z) <= within:
                        agree += 1
                        total += depth_m[y, x]
            if agree < _LEAST:
                continue
            mean = total / agree
            found_n3[count, 0] = (j - camera_4[2]) / camera_4[0] * mean
            found_n3[count, 1] = (i - camera_4[3]) / camera_4[1] * mean
            found_n3[count, 2] = mean
            count += 1
    return count, looked


def surface_points_twin(
    depth_m: Float32Image, shown_HW: UInt8Image | None, stride: int, camera: Camera,
    sensor: SensorConfig,
) -> tuple[Float32Array, int]:
    """Do as `surface_points`, in NumPy."""
    first = max(stride // 2, 1)
    rows, columns = (np.arange(first, size - 1, stride) for size in depth_m.shape)
    v, u = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    if shown_HW is not None:
        shown = shown_HW[v, u] > 0
        v, u = v[shown], u[shown]
    looked = len(v)
    z = depth_m[v, u]
    good = (z >= np.float32(sensor.min_depth_m)) & (z <= np.float32(sensor.max_depth_m))
    v, u, z = v[good], u[good], z[good]
    within = _SLOPE * z + _SIGMAS * sensor.depth_sigma_m(z)
    steps = np.arange(-1, 2)
    window_n33 = depth_m[v[:, None, None] + steps[:, None], u[:, None, None] + steps]
    agree_n33 = np.abs(window_n33 - z[:, None, None]) <= within[:, None, None]
    agree = agree_n33.sum(axis=(1, 2))
    surface = agree >= _LEAST
    mean = np.where(agree_n33, window_n33, 0).sum(axis=(1, 2), dtype=np.float64)[surface]
    mean /= agree[surface]
    pixels = np.stack([u[surface], v[surface]], axis=1).astype(np.float64)
    return camera.unproject(pixels, mean).astype(np.float32), looked
