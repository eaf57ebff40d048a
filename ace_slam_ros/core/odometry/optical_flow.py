"""Following the corners of one image into another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.image_pyramid import LEVELS, ImagePyramid
from ..geometry.se3 import transform_points
from ..runtime.compiled import AVAILABLE, kernel
from .patch_tracking import Patches
from .residuals import NEAREST_M

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float64Array, UInt8Image

#: Levels that are searched; on each one a corner is found from a few pixels away.
_LEVELS = 3
#: Correlation of a followed patch that still is the same thing.
_LEAST_ALIKE = 0.7
#: A followed patch has at least this share of its template's contrast: on a covered or blank
#: image a weak template fits everywhere.
_LEAST_CONTRAST = 0.25
_MARGIN_PX = 3
#: A patch serves until its warp has changed by so much, which is half a pixel at its edge.
_LEAST_WARP = 0.05
#: Wider or narrower than so many times, nothing can be recognized.
_LARGEST_WARP = 3.0


class Template:
    """Corners that are followed, and how they should look where they are searched.

    Their patches are turned, scaled and sheared as the guess tells, since what compares them has
    no such freedom.

    Args:
        gray_HW: the image.
        corners_n2: (n, 2) pixels.
    """

    def __init__(self, gray_HW: UInt8Image, corners_n2: Float32Array) -> None:
        self._pyramid = ImagePyramid.of(gray_HW)
        self._corners_n2 = np.ascontiguousarray(corners_n2, np.float32)
        self._back_n22 = np.full((len(corners_n2), 2, 2), np.inf, np.float32)
        self._levels_n = np.zeros(len(corners_n2), np.int64)
        self._patches = Patches.empty(len(corners_n2))

    def towards(
        self, index_m: npt.NDArray[np.int64], back_m22: Float32Array, levels: int
    ) -> Patches:
        """Return the patches, of which those of `index_m` look as they should.

        Args:
            index_m: which corners.
            back_m22: (m, 2, 2) float32, from steps in the image to search to steps in this one.
            levels: the lowest so many that are searched.
        """
        apart_m4 = np.abs(self._back_n22[index_m] - back_m22).reshape(-1, 4)
        changed_m = apart_m4.max(axis=1) >= _LEAST_WARP
        changed_m |= self._levels_n[index_m] < levels
        which = index_m[changed_m]
        if len(which):
            self._back_n22[which], self._levels_n[which] = back_m22[changed_m], levels
            self._patches.cut(self._pyramid, self._corners_n2, self._back_n22, which, levels)
        return self._patches


def follow(
    template: Template, pyramid: ImagePyramid, guess_n2: Float32Array, back_n22: Float32Array,
    wide: bool,
) -> tuple[npt.NDArray[np.int64], Float32Array]:
    """Find corners of one image in another.

    Args:
        template: the corners.
        pyramid: the image to search.
        guess_n2: (n, 2) float32 where they are expected.
        back_n22: (n, 2, 2) float32, from steps there to steps in the template's image.
        wide: search four times as far.

    Returns:
        (m,) which corners were found, (m, 2) where.
    """
    inner = pyramid.layout_L4[0, 2:] - _MARGIN_PX
    sought_n = ((guess_n2 >= _MARGIN_PX) & (guess_n2 < inner)).all(axis=1)
    sought_n &= (np.abs(back_n22.reshape(-1, 4)) < _LARGEST_WARP).all(axis=1)
    index = np.flatnonzero(sought_n)
    levels = LEVELS if wide else _LEVELS
    patches = template.towards(index, back_n22[index], levels)
    found, alike, contrast = patches.find(pyramid, index, guess_n2[index], levels)
    good = (alike >= _LEAST_ALIKE) & (contrast >= _LEAST_CONTRAST)
    return index[good], found[good]


def expect(
    points_n3: Float64Array, depth_m_n: Float64Array, T_cam_map: Float64Array,
    T_map_host: Float64Array, camera: Camera, host_camera: Camera,
) -> tuple[Float32Array, Float32Array]:
    """Tell where corners of a keyframe should be seen, and how they should look there.

    What is around a corner counts as a plane that faces the keyframe.

    Args:
        points_n3: (n, 3) map points of the corners, meters.
        depth_m_n: (n,) their depth in the keyframe.
        T_cam_map: (4, 4) where they are seen from.
        T_map_host: (4, 4) pose of the keyframe.
        camera, host_camera: intrinsics of both.

    Returns:
        (n, 2) float32 pixels, -1 for points behind the camera, and (n, 2, 2) float32 `back_n22`
        of `follow`.
    """
    R = np.ascontiguousarray((T_cam_map[:3, :3] @ T_map_host[:3, :3])[:, :2])
    R /= (host_camera.fx, host_camera.fy)
    pinhole = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    if not AVAILABLE:
        return expect_twin(points_n3, depth_m_n, T_cam_map, R, pinhole)
    guess_n2 = np.empty((len(points_n3), 2), np.float32)
    back_n22 = np.empty((len(points_n3), 2, 2), np.float32)
    _expect(points_n3, depth_m_n, T_cam_map, R, pinhole, guess_n2, back_n22)
    return guess_n2, back_n22


@kernel
def _expect(
    points_n3: Float64Array, depth_m_n: Float64Array, T_cam_map: Float64Array,
    R_32: Float64Array, pinhole_4: Float64Array, guess_n2: Float32Array, back_n22: Float32Array,
) -> None:
    fx, fy, cx, cy = pinhole_4[0], pinhole_4[1], pinhole_4[2], pinhole_4[3]
    for n in range(len(points_n3)):
        p = points_n3[n]
        x = T_cam_map[0, 0] * p[0] + T_cam_map[0, 1] * p[1] + T_cam_map[0, 2] * p[2]
        y = T_cam_map[1, 0] * p[0] + T_cam_map[1, 1] * p[1] + T_cam_map[1, 2] * p[2]
        z = T_cam_map[2, 0] * p[0] + T_cam_map[2, 1] * p[1] + T_cam_map[2, 2] * p[2]
        x, y, z = x + T_cam_map[0, 3], y + T_cam_map[1, 3], z + T_cam_map[2, 3]
        guess_n2[n] = -1.0
        back_n22[n] = np.inf
        if not z > NEAREST_M:
            continue
        x, y, scale = x / z, y / z, depth_m_n[n] / z
        guess_n2[n, 0], guess_n2[n, 1] = fx * x + cx, fy * y + cy
        a = fx * scale * (R_32[0, 0] - x * R_32[2, 0])
        b = fx * scale * (R_32[0, 1] - x * R_32[2, 1])
        c = fy * scale * (R_32[1, 0] - y * R_32[2, 0])
        d = fy * scale * (R_32[1, 1] - y * R_32[2, 1])
        determinant = a * d - b * c
        if determinant > 0.0:
            back_n22[n, 0, 0], back_n22[n, 0, 1] = d / determinant, -b / determinant
            back_n22[n, 1, 0], back_n22[n, 1, 1] = -c / determinant, a / determinant


def expect_twin(
    points_n3: Float64Array, depth_m_n: Float64Array, T_cam_map: Float64Array,
    R_32: Float64Array, pinhole_4: Float64Array,
) -> tuple[Float32Array, Float32Array]:
    """Do as the kernel behind `expect`, in NumPy."""
    in_cam = transform_points(T_cam_map, points_n3)
    ahead = in_cam[:, 2] > NEAREST_M
    z = np.where(ahead, in_cam[:, 2], 1.0)
    at = in_cam[:, :2] / z[:, None]
    guess = at * pinhole_4[:2] + pinhole_4[2:]
    forth = (pinhole_4[:2, None] * (depth_m_n / z)[:, None, None]
             * (R_32[:2] - at[:, :, None] * R_32[2]))
    determinant = np.linalg.det(forth)
    ahead_and_seen = ahead & (determinant > 0.0)
    forth[~ahead_and_seen] = np.eye(2)
    back = np.linalg.inv(forth)
    back[~ahead_and_seen] = np.inf
    guess[~ahead] = -1.0
    return guess.astype(np.float32), back.astype(np.float32)
