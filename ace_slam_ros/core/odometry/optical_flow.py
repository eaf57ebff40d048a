"""Following the corners of one image into another: Lucas-Kanade with a warped template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from .corners import WINDOW_PX, contrast

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float64Array, UInt8Image

_LEVELS, _LEVELS_WIDE = 2, 4
#: Mean difference of gray values in a followed window that still is the same thing.
_LARGEST_DIFFERENCE = 25.0
#: A followed window has at least this share of its template's contrast: on a covered or blank
#: image a weak template fits everywhere.
_LEAST_CONTRAST = 0.25
_MARGIN_PX = 3
#: Turned or scaled by less, the template is used as it is.
_LEAST_WARP = 0.02
_FEWEST_FOR_WARP = 12
#: Share of the corners that a warped image must show to be used again.
_LEAST_SHOWN = 0.97


class Template:
    """An image whose corners are followed, and how it should look where they are searched.

    It is turned, scaled and sheared as the guesses tell, since the windows that are compared have
    no such freedom. That takes half as long as following: a warped image serves while it fits.

    Args:
        gray_HW: the image.
        corners_n2: (n, 2) pixels.
        contrast_n: (n,) contrast of the corners' windows.
    """

    def __init__(
        self, gray_HW: UInt8Image, corners_n2: Float32Array, contrast_n: Float32Array
    ) -> None:
        self._gray, self._corners_n2, self.contrast_n = gray_HW, corners_n2, contrast_n
        self._warped, self._affine_32 = gray_HW, np.eye(3, 2)

    def towards(
        self, index_m: npt.NDArray[np.int64], guess_m2: Float32Array
    ) -> tuple[UInt8Image, Float32Array]:
        """Return the image as it should look where corners are searched, and the corners there."""
        corners = self._corners_n2[index_m]
        if len(corners) < _FEWEST_FOR_WARP:
            return self._gray, corners
        affine = _robust_affine(corners.astype(np.float64), guess_m2.astype(np.float64))
        if np.abs(affine[:2] - np.eye(2)).max() < _LEAST_WARP:
            return self._gray, corners
        if not self._fits(affine, corners):
            height, width = self._gray.shape
            self._affine_32 = affine
            self._warped = np.asarray(cv2.warpAffine(
                self._gray, affine.T, (width, height), flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE), np.uint8)
        return self._warped, _move(corners, self._affine_32)

    def _fits(self, affine_32: Float64Array, corners_m2: Float32Array) -> bool:
        """Whether the warped image looks like `affine_32` asks, and shows nearly all corners."""
        if np.abs(affine_32[:2] - self._affine_32[:2]).max() >= _LEAST_WARP:
            return False
        height, width = self._gray.shape
        moved = _move(corners_m2, self._affine_32)
        inside = ((moved > _MARGIN_PX) & (moved < (width - _MARGIN_PX, height - _MARGIN_PX)))
        return bool(inside.all(axis=1).mean() >= _LEAST_SHOWN)


def follow(
    template: Template, image: UInt8Image, guess_n2: Float32Array, wide: bool
) -> tuple[npt.NDArray[np.int64], Float32Array]:
    """Find corners of one image in another.

    Args:
        template: the image that shows the corners.
        image: (H, W) image to search.
        guess_n2: (n, 2) where they are expected.
        wide: search four times as far.

    Returns:
        (m,) which corners were found, (m, 2) where.
    """
    height, width = image.shape
    inner = (width - _MARGIN_PX, height - _MARGIN_PX)
    index = np.flatnonzero(((guess_n2 > 2) & (guess_n2 < inner)).all(axis=1))
    if len(index) == 0:
        return index, np.empty((0, 2), np.float32)
    warped, corners = template.towards(index, guess_n2[index])
    found, status, error = cv2.calcOpticalFlowPyrLK(
        warped, image, corners, guess_n2[index].copy(), winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=_LEVELS_WIDE if wide else _LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-4)
    good = (status.reshape(-1) == 1) & (error.reshape(-1) < _LARGEST_DIFFERENCE)
    good &= ((found > 2) & (found < inner)).all(axis=1)
    good[good] = contrast(image, found[good]) >= _LEAST_CONTRAST * template.contrast_n[index[good]]
    return index[good], np.asarray(found[good], np.float32)


def _move(pixels_n2: Float32Array, affine_32: Float64Array) -> Float32Array:
    return np.asarray(pixels_n2 @ affine_32[:2] + affine_32[2], np.float32)


def _robust_affine(source_n2: Float64Array, target_n2: Float64Array) -> Float64Array:
    """Affine map (3, 2) that most points follow: [x y 1] @ map; Cauchy-weighted least squares."""
    center = source_n2.mean(axis=0)
    A_3n = np.concatenate([(source_n2 - center).T, np.ones((1, len(source_n2)))])
    weight_n = np.ones(len(source_n2))
    fitted = np.zeros((3, 2))
    for _ in range(3):
        weighted = A_3n * weight_n
        fitted = np.linalg.solve(weighted @ A_3n.T + 1e-9 * np.eye(3), weighted @ target_n2)
        squared_n = np.square(fitted.T @ A_3n - target_n2.T).sum(axis=0)
        weight_n = 1.0 / (1.0 + squared_n / (2.0 * np.sqrt(np.median(squared_n)) + 0.1) ** 2)
    fitted[2] -= center @ fitted[:2]
    return np.asarray(fitted)
