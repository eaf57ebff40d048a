"""Following the corners of one image into another: Lucas-Kanade with a warped template."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..geometry import Float64Array
from .corners import WINDOW_PX, Float32Array, UInt8Image, contrast

_LEVELS, _LEVELS_WIDE = 2, 4
#: Mean difference of grey values in a followed window that still is the same thing.
_LARGEST_DIFFERENCE = 25.0
#: A followed window has at least this share of its template's contrast: on a covered or blank
#: image a weak template fits everywhere.
_LEAST_CONTRAST = 0.25
_MARGIN_PX = 3
#: Turned or scaled by less, the template is used as it is.
_LEAST_WARP = 0.02


def follow(
    template: UInt8Image, corners_n2: Float32Array, contrast_n: Float32Array, image: UInt8Image,
    guess_n2: Float32Array, wide: bool,
) -> tuple[npt.NDArray[np.int64], Float32Array]:
    """Find corners of one image in another.

    The template is turned, scaled and sheared first as the guesses tell, since the windows that
    are compared have no such freedom.

    Args:
        template: (H, W) image that shows the corners.
        corners_n2: (n, 2) pixels.
        contrast_n: (n,) contrast of the corners' windows.
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
    warped, corners = warp_to_guess(template, corners_n2[index], guess_n2[index])
    found, status, error = cv2.calcOpticalFlowPyrLK(
        warped, image, corners, guess_n2[index].copy(), winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=_LEVELS_WIDE if wide else _LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-4)
    good = (status.reshape(-1) == 1) & (error.reshape(-1) < _LARGEST_DIFFERENCE)
    good &= ((found > 2) & (found < inner)).all(axis=1)
    good[good] = contrast(image, found[good]) >= _LEAST_CONTRAST * contrast_n[index[good]]
    return index[good], np.asarray(found[good], np.float32)


def warp_to_guess(
    template: UInt8Image, corners_n2: Float32Array, guess_n2: Float32Array
) -> tuple[UInt8Image, Float32Array]:
    """Return the template as it should look where it is searched, and its corners there."""
    if len(corners_n2) < 12:
        return template, corners_n2
    affine_32 = _robust_affine(corners_n2.astype(np.float64), guess_n2.astype(np.float64))
    if np.abs(affine_32[:2] - np.eye(2)).max() < _LEAST_WARP:
        return template, corners_n2
    height, width = template.shape
    warped = cv2.warpAffine(template, affine_32.T, (width, height), flags=cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_REPLICATE)
    moved = corners_n2 @ affine_32[:2] + affine_32[2]
    return np.asarray(warped, np.uint8), moved.astype(np.float32)


def _robust_affine(source_n2: Float64Array, target_n2: Float64Array) -> Float64Array:
    """Affine map (3, 2) that most points follow: [x y 1] @ map; Cauchy-weighted least squares."""
    A = np.concatenate([source_n2, np.ones((len(source_n2), 1))], axis=1)
    weight = np.ones((len(A), 1))
    fitted = np.zeros((3, 2))
    for _ in range(3):
        fitted = np.asarray(
            np.linalg.lstsq(A * weight, target_n2 * weight, rcond=None)[0], np.float64)
        distance = np.linalg.norm(A @ fitted - target_n2, axis=1, keepdims=True)
        weight = 1.0 / np.sqrt(1.0 + (distance / (2 * np.median(distance) + 0.1)) ** 2)
    return fitted
