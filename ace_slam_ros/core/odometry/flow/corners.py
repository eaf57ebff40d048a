"""Image points worth following, and the measured depth at them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ...data.image_pyramid import half_size
from .patch_tracking import HALF

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Float64Array, UInt8Image

_GRID = 16
#: Contrast of a corner with its surroundings, gray values; means of pixels are less noisy.
_THRESHOLD, _THRESHOLD_COARSE = 8, 6
#: Faint corners have so many times the contrast of the noise, and no less than this.
_FAINT_SIGMAS, _LEAST_THRESHOLD = 4.5, 3
#: With more noise, gray values, many corners are noise.
_LARGEST_NOISE = 1.2
#: Pixels of the image to one of the smallest that corners are sought in.
_COARSEST = 4
#: A share of the corners asked for that is few.
_FEW_SHARE = 0.25
#: Lower quartile of the absolute value of a Gaussian of sigma 1; what the filter makes of sigma 1.
_QUARTILE, _SECOND_SIGMA = 0.3186, 6.0
_SECOND_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def detect_corners(gray_HW: UInt8Image, count: int) -> Float32Array:
    """Return up to `count` corners (n, 2) spread over the image, FAST ranked within a grid.

    Corners of the image at half and a quarter of its size stand in where the image itself is too
    noisy, and fill up where it has few: those of a blurred image, or of dim light. Where even
    these are few, as in the dark, fainter ones count, as far as they stand out from the noise.
    """
    whole_noise, scale = noise_sigma(gray_HW), 1
    noise, coarse = whole_noise, []
    while noise > _LARGEST_NOISE and scale < _COARSEST:
        gray_HW, noise, scale = half_size(gray_HW), noise / 2, scale * 2
    found = _fast(gray_HW, scale, count)
    while len(found) < _FEW_SHARE * count and scale < _COARSEST:
        gray_HW, scale = half_size(gray_HW), scale * 2
        coarse.append((gray_HW, scale))
        found = _fill(found, _fast(gray_HW, scale, count))
    for gray_HW, scale in coarse:
        if len(found) < _FEW_SHARE * count:
            faint = max(_LEAST_THRESHOLD, math.ceil(_FAINT_SIGMAS * whole_noise / scale))
            found = _fill(found, _fast(gray_HW, scale, count, faint))
    return found[:count]


def _fill(corners_n2: Float32Array, more_m2: Float32Array) -> Float32Array:
    """Append those of `more_m2` that are in cells of the grid without corners."""
    def cells(pixels: Float32Array) -> npt.NDArray[np.int64]:
        cell = (pixels // _GRID).astype(np.int64)
        return np.asarray(cell[:, 1] * 100_000 + cell[:, 0])

    new = ~np.isin(cells(more_m2), cells(corners_n2))
    return np.concatenate([corners_n2, more_m2[new]])


def _fast(
    gray_HW: UInt8Image, scale: int, count: int, threshold: int | None = None
) -> Float32Array:
    """Return corners (n, 2) of an image of 1 / `scale` the size, in pixels of the whole one."""
    threshold = threshold or (_THRESHOLD if scale == 1 else _THRESHOLD_COARSE)
    found = cv2.FastFeatureDetector_create(threshold).detect(  # type: ignore[attr-defined]
        gray_HW)
    if not found:
        return np.empty((0, 2), np.float32)
    pixels = np.asarray(cv2.KeyPoint.convert(found), np.float32) * scale
    pixels += np.float32((scale - 1) / 2)
    response = np.array([k.response for k in found], np.float32)
    height, width = np.array(gray_HW.shape) * scale
    margin = HALF + 2
    inside = ((pixels > margin) & (pixels < (width - margin, height - margin))).all(axis=1)
    pixels, response = pixels[inside], response[inside]
    order = np.argsort(-response, kind="stable")
    pixels = pixels[order]
    cell = np.int64(pixels[:, 1] // _GRID) * (width // _GRID + 1) + np.int64(pixels[:, 0] // _GRID)
    _, first = np.unique(cell, return_index=True)
    found = pixels[np.sort(first)]
    return np.asarray(found[spread(found, count, int(width), int(height))])


def spread(
    pixels_n2: Float32Array, count: int, width: int, height: int
) -> npt.NDArray[np.int64]:
    """Return the indices of the best corners, a quarter of them from each half of the picture.

    A plate with holes at the lower edge would take all of them, and hold the camera still.

    Args:
        pixels_n2: corners (n, 2), the best first.
        count: how many are wanted.
        width, height: of the picture. A half that has fewer corners gives what it has.
    """
    if len(pixels_n2) <= count:
        return np.arange(len(pixels_n2))
    wanted = np.zeros(len(pixels_n2), bool)
    left, upper = pixels_n2[:, 0] < width / 2, pixels_n2[:, 1] < height / 2
    for half in (left, ~left, upper, ~upper):
        wanted[np.flatnonzero(half)[:count // 4]] = True
    others = np.flatnonzero(~wanted)
    wanted[others[:count - int(wanted.sum())]] = True
    return np.flatnonzero(wanted)


def noise_sigma(gray_HW: UInt8Image) -> float:
    """Standard deviation of the noise of an image, from its second differences where it is flat.

    Source: Immerkaer, Fast Noise Variance Estimation, CVIU 1996; the lower quartile instead of
    the mean, so that texture does not count.
    """
    second = np.abs(cv2.filter2D(gray_HW, cv2.CV_16S, _SECOND_DIFFERENCE)[::2])
    count = second.size // 4
    return float(np.partition(second.reshape(-1), count)[count]) / _QUARTILE / _SECOND_SIGMA


#: A corner that was followed less often tells nothing: a sixth of a second at 30 Hz.
_LEAST_FOLLOWED = 5
#: Of the frames it was followed into, a mover disagrees with the pose in most, what stands in few.
_MOVING_SHARE, _STANDING_SHARE = 0.5, 0.25
#: Parts of a body that are closer move together: a hand's length.
_NEAR_M = 0.15
#: A single corner that goes astray is no mover.
_LEAST_MOVING = 2


@dataclass(frozen=True)
class CornerMotion:
    """Corners of a keyframe and what became of them in later frames; counts grow in place.

    Attributes:
        points_cam_n3: (n, 3) in the keyframe's camera, meters.
        followed_n: into how many frames they were followed.
        astray_n: in how many of these they disagreed with the pose.
    """

    points_cam_n3: Float64Array
    followed_n: npt.NDArray[np.int32]
    astray_n: npt.NDArray[np.int32]

    @classmethod
    def of(cls, points_cam_n3: Float64Array) -> CornerMotion:
        """Return the corners of a new keyframe, followed into no frame yet."""
        count = len(points_cam_n3)
        return cls(points_cam_n3, np.zeros(count, np.int32), np.zeros(count, np.int32))

    def note(self, index_m: npt.NDArray[np.int64], agrees_m: npt.NDArray[np.bool_]) -> None:
        """Count corners (m,) that were followed into a frame, and which disagree there."""
        self.followed_n[index_m] += 1
        self.astray_n[index_m] += ~agrees_m

    def moving_near(self, points_cam_N3: Float32Array) -> npt.NDArray[np.bool_]:
        """Return which points (N, 3) are on a mover: more corners near them move than stand.

        None are when more of all corners move than stand: then the keyframe's pose is wrong.
        """
        known = self.followed_n >= _LEAST_FOLLOWED
        share = self.astray_n / np.maximum(self.followed_n, 1)
        moving = self.points_cam_n3[known & (share > _MOVING_SHARE)]
        standing = self.points_cam_n3[known & (share < _STANDING_SHARE)]
        found_N = np.zeros(len(points_cam_N3), bool)
        if not _LEAST_MOVING <= len(moving) <= len(standing):
            return found_N
        moves_N = _count_near(points_cam_N3, moving)
        some = np.flatnonzero(moves_N >= _LEAST_MOVING)
        found_N[some] = moves_N[some] > _count_near(points_cam_N3[some], standing)
        return found_N


def _count_near(points_N3: Float32Array, corners_m3: Float64Array) -> npt.NDArray[np.int64]:
    """Count the corners near each point."""
    apart = points_N3[:, None] - corners_m3[None]
    return np.asarray((np.square(apart).sum(axis=2) < _NEAR_M**2).sum(axis=1), np.int64)
