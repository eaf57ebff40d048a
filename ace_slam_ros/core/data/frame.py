"""One synchronized color + depth image with its camera: what a sensor hands to the core."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .image_pyramid import ImagePyramid, half_size

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float32Image, UInt8Image
    from .camera import Camera


@dataclass
class _Cache:
    gray: UInt8Image | None = None
    pyramid: ImagePyramid | None = None
    half: Frame | None = None


@dataclass(frozen=True)
class Frame:
    """One camera frame.

    Attributes:
        stamp_ns: acquisition time, integer nanoseconds.
        image: (H, W, 3) uint8 RGB or (H, W) uint8 gray.
        depth_m: (H, W) float32 meters along the optical axis, 0 where there is no measurement;
            None for an RGB-only query. Few pixels alone are of no use, see `fill_sparse`.
        camera: intrinsics of both images (depth registered to color).
        mask: (H, W) uint8, 0 where nothing of the scene is seen; None = everywhere.
        depth_late_s: how long after the color image depth was taken; negative = before it.

    Raises:
        DataError: image, depth and camera sizes disagree, or a dtype is wrong.
    """

    stamp_ns: int
    image: UInt8Image
    depth_m: Float32Image | None
    camera: Camera
    mask: UInt8Image | None = None
    depth_late_s: float = 0.0
    _cache: _Cache = field(
        default_factory=_Cache, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        if self.image.dtype != np.uint8 or self.image.shape[2:] not in ((), (3,)):
            raise DataError(
                f"image must be uint8 (H, W) or (H, W, 3), got {self.image.dtype} "
                f"{self.image.shape}"
            )
        if self.image.shape[:2] != size:
            raise DataError(
                f"image is {self.image.shape[1]}x{self.image.shape[0]} but camera_info says "
                f"{size[1]}x{size[0]}: use the camera_info of the same stream"
            )
        if self.depth_m is not None and self.depth_m.shape != size:
            raise DataError(
                f"depth is {self.depth_m.shape[1]}x{self.depth_m.shape[0]} but color is "
                f"{size[1]}x{size[0]}: register depth to color (align_depth.enable on RealSense)"
            )

    @property
    def gray(self) -> UInt8Image:
        """(H, W) uint8 luminance, computed once."""
        if self.image.ndim == 2:
            return self.image
        if self._cache.gray is None:
            self._cache.gray = np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY))
        return self._cache.gray

    @property
    def half(self) -> Frame:
        """The frame with half the pixels along each side, gray, single depths; computed once."""
        if self._cache.half is None:
            camera = self.camera.scaled(0.5)
            size = (camera.width, camera.height)
            depth_m = None if self.depth_m is None else np.asarray(
                cv2.resize(self.depth_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
            mask = None if self.mask is None else np.asarray(
                cv2.resize(self.mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
            self._cache.half = Frame(self.stamp_ns, half_size(self.gray), depth_m, camera, mask)
        return self._cache.half

    def without(self, mask_HW: UInt8Image) -> Frame:
        """Return the frame without depth and mask where `mask_HW` is 0."""
        depth_m = None if self.depth_m is None else np.where(mask_HW > 0, self.depth_m, 0)
        mask = mask_HW if self.mask is None else np.minimum(self.mask, mask_HW)
        return self._with_cache(replace(self, depth_m=depth_m, mask=mask))

    def with_any_depth(self) -> Frame:
        """Return the frame with a depth image, of no measurement where there was none."""
        if self.depth_m is not None:
            return self
        return self.with_depth(np.zeros(self.gray.shape, np.float32))

    def with_depth(self, depth_m: Float32Image) -> Frame:
        """Return the frame with other depth, of the time of its image."""
        return self._with_cache(replace(self, depth_m=depth_m, depth_late_s=0.0))

    def _with_cache(self, other: Frame) -> Frame:
        """Give a frame of the same image what was computed of it."""
        other._cache.gray, other._cache.pyramid = self._cache.gray, self._cache.pyramid
        return other

    def repeats_only_picture_of(self, other: Frame) -> bool:
        """Tell whether the images are the same, bit for bit, but not the depth images."""
        mine, others = self.image, other.image
        return (np.array_equal(mine[::32], others[::32]) and np.array_equal(mine, others)
                and self.depth_m is not None and other.depth_m is not None
                and not np.array_equal(self.depth_m, other.depth_m, equal_nan=True))

    def shows(self, pixels_n2: Float32Array) -> npt.NDArray[np.bool_]:
        """Tell which pixels (n, 2) inside of the image show the scene, by the mask."""
        return shows(self.mask, pixels_n2)

    def reduced(self, most_pixels: int) -> Frame:
        """Return the frame halved until it has at most so many pixels, itself when it has."""
        small = self.camera.width * self.camera.height <= most_pixels
        return self if small else self.half.reduced(most_pixels)

    @property
    def pyramid(self) -> ImagePyramid:
        """`gray` at halved sizes, computed once."""
        if self._cache.pyramid is None:
            self._cache.pyramid = ImagePyramid.of(self.gray)
        return self._cache.pyramid


def shows(mask_HW: UInt8Image | None, pixels_n2: Float32Array) -> npt.NDArray[np.bool_]:
    """Tell at which pixels (n, 2) inside of an image a mask (H, W) is not 0; None = at all."""
    if mask_HW is None:
        return np.ones(len(pixels_n2), bool)
    column, row = np.rint(pixels_n2).astype(np.int64).T
    height, width = mask_HW.shape
    return np.asarray(mask_HW[row.clip(0, height - 1), column.clip(0, width - 1)] > 0)
