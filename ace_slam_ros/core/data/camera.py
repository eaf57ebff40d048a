"""Pinhole cameras with lens distortion: intrinsics, checks, and rectification maps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import CalibrationError
from .distortion import standard_distortion

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array

#: Cameras whose maps are kept: ten bytes a pixel each.
_MAPS = 2


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a camera, OpenCV and ROS `CameraInfo` convention (optical frame, z forward).

    Attributes:
        width, height: image size in pixels.
        fx, fy, cx, cy: focal lengths and principal point in pixels.
        distortion: coefficients in the order of `distortion_model`; empty or all zero = none.
        distortion_model: plumb_bob, rational_polynomial or equidistant; other names of these are
            understood, see `standard_distortion`.

    Raises:
        CalibrationError: a size or focal length is not positive and finite, or the distortion
            means nothing.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    distortion_model: str = "plumb_bob"

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise CalibrationError(f"camera size {self.width}x{self.height} is not positive")
        for name in ("fx", "fy", "cx", "cy"):
            value = getattr(self, name)
            if not math.isfinite(value) or (name in ("fx", "fy") and value <= 0.0):
                raise CalibrationError(
                    f"camera {name}={value}: the camera driver publishes no calibration; "
                    "calibrate the camera or give the intrinsics in a camera.yaml"
                )
        model, coefficients = standard_distortion(self.distortion_model, self.distortion)
        object.__setattr__(self, "distortion_model", model)
        object.__setattr__(self, "distortion", coefficients)

    @property
    def K_33(self) -> Float64Array:
        """(3, 3) calibration matrix in pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def pinhole_4(self) -> Float64Array:
        """fx, fy, cx, cy (4,) in pixels, as compiled loops take them."""
        return np.array([self.fx, self.fy, self.cx, self.cy], np.float64)

    @property
    def is_distorted(self) -> bool:
        """True when any distortion coefficient is not zero."""
        return any(d != 0.0 for d in self.distortion)

    def without_distortion(self) -> Camera:
        """Return the same pinhole with no lens distortion."""
        return replace(self, distortion=(), distortion_model="plumb_bob")

    def scaled(self, factor: float) -> Camera:
        """Return the camera of an image resized by `factor` (pixel centers at integers)."""
        return replace(
            self,
            width=round(self.width * factor), height=round(self.height * factor),
            fx=self.fx * factor, fy=self.fy * factor,
            cx=(self.cx + 0.5) * factor - 0.5, cy=(self.cy + 0.5) * factor - 0.5,
        )

    def unproject(self, uv_N2: Float64Array, depth_m_N: Float64Array) -> Float64Array:
        """Lift undistorted pixels (N, 2) with depth (N,) meters to camera-frame points (N, 3)."""
        x = (uv_N2[:, 0] - self.cx) / self.fx * depth_m_N
        y = (uv_N2[:, 1] - self.cy) / self.fy * depth_m_N
        return np.stack([x, y, depth_m_N], axis=1)

    def project(self, points_cam_N3: Float64Array) -> Float64Array:
        """Project camera-frame points (N, 3) meters to undistorted pixels (N, 2)."""
        z = points_cam_N3[:, 2]
        return np.stack(
            [self.fx * points_cam_N3[:, 0] / z + self.cx,
             self.fy * points_cam_N3[:, 1] / z + self.cy], axis=1,
        )


@lru_cache(maxsize=_MAPS)
def rectification_maps(
    camera: Camera,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
    """Fixed-point maps for `cv2.remap` that undistort an image of `camera` onto its own pinhole.

    Returns:
        (map_xy (H, W, 2) int16, map_fraction (H, W) uint16).
    """
    size = (camera.width, camera.height)
    K, d = camera.K_33, np.array(camera.distortion, np.float64)
    if camera.distortion_model == "equidistant":
        map1, map2 = cv2.fisheye.initUndistortRectifyMap(
            K, d[:4].reshape(4, 1), np.eye(3), K, size, cv2.CV_16SC2
        )
    else:
        map1, map2 = cv2.initUndistortRectifyMap(K, d, np.eye(3), K, size, cv2.CV_16SC2)
    return np.asarray(map1), np.asarray(map2)


@lru_cache(maxsize=_MAPS)
def nearest_map(camera: Camera) -> npt.NDArray[np.int16]:
    """Map for `cv2.remap(image, map, None, INTER_NEAREST)` that undistorts without mixing pixels.

    OpenCV 5.0 rounds the maps of `rectification_maps` to the wrong pixel under INTER_NEAREST, so
    the rounding is done here.

    Returns:
        (H, W, 2) int16 source pixel (x, y) of each undistorted pixel.
    """
    map_xy, map_fraction = rectification_maps(camera)
    up_x, up_y = (map_fraction & 31) >= 16, (map_fraction >> 5) >= 16  # in 1/32 pixel
    return map_xy + np.stack([up_x, up_y], axis=2).astype(np.int16)
