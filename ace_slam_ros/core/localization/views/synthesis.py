"""An image seen from elsewhere, by means of its depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ...geometry.se3 import invert_pose
from ...runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ...data.camera import Camera
    from ...data.frame import Frame
    from ...geometry.arrays import Float32Image, Float64Array, UInt8Image

#: Neighbors whose depths differ by a smaller share are one surface.
_ONE_SURFACE = 0.05
#: What is nearer than this to the other camera is not drawn.
_NEAREST_M = 0.05
#: Pixels that one is drawn over at most, per side: surfaces that turn toward the camera grow.
_LARGEST_PX = 4
#: Holes are filled from surroundings of so many sizes, each twice as large as the last.
_FILL_LEVELS = 5


def see_from(
    frame: Frame, T_cam_view: Float64Array, camera: Camera
) -> tuple[UInt8Image, Float32Image]:
    """Draw a frame as another camera sees it.

    Args:
        frame: gray image and depth.
        T_cam_view: (4, 4) pose of the other camera in the frame's.
        camera: its intrinsics.

    Returns:
        (gray image (H, W) uint8, smoothly filled where the frame does not show it;
        depth (H, W) float32 meters, 0 there).
    """
    assert frame.depth_m is not None
    image = np.zeros((camera.height, camera.width), np.uint8)
    depth_m = np.zeros(image.shape, np.float32)
    own, T_view_cam = frame.camera, invert_pose(T_cam_view)
    draw = draw_surfaces if AVAILABLE else draw_surfaces_twin
    draw(
        np.ascontiguousarray(frame.gray), np.ascontiguousarray(frame.depth_m, np.float32),
        own.pinhole_4, T_view_cam, camera.pinhole_4, image, depth_m)
    _fill_holes(image, depth_m > 0.0)
    return image, depth_m


@kernel
def draw_surfaces(
    gray_HW: UInt8Image, depth_HW: Float32Image, from_4: Float64Array, T_44: Float64Array,
    to_4: Float64Array, image_HW: UInt8Image, out_HW: Float32Image,
) -> None:
    """Draw each pixel as a rectangle that reaches to where its neighbors come to lie.

    Args:
        gray_HW, depth_HW: what is drawn; depth in meters, 0 or NaN where there is none.
        from_4, to_4: fx, fy, cx, cy of both cameras.
        T_44: motion of points into the other camera.
        image_HW, out_HW: results; the nearest surface is seen.
    """
    height, width = gray_HW.shape
    high, wide = image_HW.shape
    u_HW, v_HW = np.empty((2, height, width), np.float32)
    z_HW = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):  # without a branch, so that several are done at once
            d = depth_HW[y, x]
            p, q = (x - from_4[2]) / from_4[0] * d, (y - from_4[3]) / from_4[1] * d
            z = T_44[2, 0] * p + T_44[2, 1] * q + T_44[2, 2] * d + T_44[2, 3]
            z_HW[y, x] = z if d > 0.0 and d < np.inf and z >= _NEAREST_M else 0.0
            u_HW[y, x] = to_4[2] + to_4[0] / z * (
                T_44[0, 0] * p + T_44[0, 1] * q + T_44[0, 2] * d + T_44[0, 3])
            v_HW[y, x] = to_4[3] + to_4[1] / z * (
                T_44[1, 0] * p + T_44[1, 1] * q + T_44[1, 2] * d + T_44[1, 3])
    half = np.float32(0.5)
    for y in range(height - 1):
        for x in range(width - 1):
            d, right, below = depth_HW[y, x], depth_HW[y, x + 1], depth_HW[y + 1, x]
            if (z_HW[y, x] == 0.0 or z_HW[y, x + 1] == 0.0 or z_HW[y + 1, x] == 0.0
                    or abs(right - d) > _ONE_SURFACE * d or abs(below - d) > _ONE_SURFACE * d):
                continue
            u0, v0, z0 = u_HW[y, x], v_HW[y, x], z_HW[y, x]
            low_u = min(u0, u_HW[y, x + 1], u_HW[y + 1, x])
            low_v = min(v0, v_HW[y, x + 1], v_HW[y + 1, x])
            high_u = max(u0, u_HW[y, x + 1], u_HW[y + 1, x])
            high_v = max(v0, v_HW[y, x + 1], v_HW[y + 1, x])
            if (high_u - low_u > _LARGEST_PX or high_v - low_v > _LARGEST_PX
                    or high_u < 0.0 or high_v < 0.0 or low_u >= wide or low_v >= high):
                continue
            first_u, last_u = int(np.floor(low_u + half)), int(np.floor(high_u + half))
            first_v, last_v = int(np.floor(low_v + half)), int(np.floor(high_v + half))
            for j in range(max(first_v, 0), min(last_v, high - 1) + 1):
                for i in range(max(first_u, 0), min(last_u, wide - 1) + 1):
                    # its own pixel, or one that nobody else has come to
                    known = out_HW[j, i]
                    own = abs(i - u0) <= half and abs(j - v0) <= half
                    if known == 0.0 or z0 < known * (1.0 - _ONE_SURFACE) or (
                            own and z0 < known * (1.0 + _ONE_SURFACE)):
                        out_HW[j, i] = z0
                        image_HW[j, i] = gray_HW[y, x]


def draw_surfaces_twin(
    gray_HW: UInt8Image, depth_HW: Float32Image, from_4: Float64Array, T_44: Float64Array,
    to_4: Float64Array, image_HW: UInt8Image, out_HW: Float32Image,
) -> None:
    """Slow twin of `draw_surfaces`: draws from far to near, each pixel's own place last."""
    height, width = gray_HW.shape
    high, wide = image_HW.shape
    d = np.where(np.isfinite(depth_HW), depth_HW, 0.0).astype(np.float64)
    rows, columns = np.mgrid[:height, :width]
    rays = np.stack([(columns - from_4[2]) / from_4[0], (rows - from_4[3]) / from_4[1],
                     np.ones(d.shape)], axis=2)
    there = (rays * d[..., None]) @ T_44[:3, :3].T + T_44[:3, 3]
    z = there[..., 2]
    known = (d > 0.0) & (z >= _NEAREST_M)
    safe = np.where(known, z, 1.0)
    u = (to_4[2] + to_4[0] * there[..., 0] / safe).astype(np.float32)
    v = (to_4[3] + to_4[1] * there[..., 1] / safe).astype(np.float32)

    def corners(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.stack([a[:-1, :-1], a[:-1, 1:], a[1:, :-1]])

    depths = corners(d)
    drawn = (corners(known).all(axis=0)
             & (np.abs(depths - depths[0]) <= _ONE_SURFACE * depths[0]).all(axis=0))
    low_u, high_u = corners(u).min(axis=0), corners(u).max(axis=0)
    low_v, high_v = corners(v).min(axis=0), corners(v).max(axis=0)
    drawn &= (high_u - low_u <= _LARGEST_PX) & (high_v - low_v <= _LARGEST_PX)
    order = np.argsort(-z[:-1, :-1][drawn], kind="stable")

    def picked(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = a[drawn][order]
        return found

    depth_n, gray_n = picked(z[:-1, :-1]), picked(gray_HW[:-1, :-1])
    first = [np.floor(picked(a) + 0.5).astype(int) for a in (low_u, low_v, u[:-1, :-1],
                                                              v[:-1, :-1])]
    last_u, last_v = (np.floor(picked(a) + 0.5).astype(int) for a in (high_u, high_v))
    offsets = [(i, j) for j in range(_LARGEST_PX + 2) for i in range(_LARGEST_PX + 2)]
    at = [(first[0] + i, first[1] + j, (first[0] + i <= last_u) & (first[1] + j <= last_v))
          for i, j in offsets]
    nearest = np.full(out_HW.shape, np.inf)
    for x, y, wanted in at:
        inside = wanted & (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        np.minimum.at(nearest, (y[inside], x[inside]), depth_n[inside])
    for x, y, wanted in [*at, (first[2], first[3], np.ones(len(order), bool))]:
        inside = wanted & (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        inside[inside] = (depth_n[inside]
                          <= nearest[y[inside], x[inside]] * (1.0 + _ONE_SURFACE))
        image_HW[y[inside], x[inside]] = gray_n[inside]
        out_HW[y[inside], x[inside]] = depth_n[inside]


def _fill_holes(image_HW: UInt8Image, known_HW: npt.NDArray[np.bool_]) -> None:
    """Give unknown pixels the mean of known ones around them, from the nearest that has any."""
    value, weight = image_HW.astype(np.float32), known_HW.astype(np.float32)
    value *= weight
    size = (image_HW.shape[1], image_HW.shape[0])
    left_HW = ~known_HW
    for level in range(1, _FILL_LEVELS + 1):
        small = (max(1, size[0] >> level), max(1, size[1] >> level))
        value, weight = (np.asarray(cv2.resize(a, small, interpolation=cv2.INTER_AREA), np.float32)
                         for a in (value, weight))
        wide_value, wide_weight = (cv2.resize(a, size) for a in (value, weight))
        here = left_HW & (wide_weight > 0.05 if level < _FILL_LEVELS else wide_weight >= 0.0)
        image_HW[here] = np.clip(
            wide_value[here] / np.maximum(wide_weight[here], 1e-3), 0, 255).astype(np.uint8)
        left_HW &= ~here
