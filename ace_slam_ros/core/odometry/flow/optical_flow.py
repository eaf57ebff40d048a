"""Following the corners of one image into another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.image_pyramid import BORDER_PX, LEVELS, ImagePyramid
from ...runtime.compiled import AVAILABLE
from .patch_tracking import (
    COUNT,
    HALF,
    LEAST_DETERMINANT,
    LEAST_SQUARES,
    PARTS,
    SHORTEST_SQUARED,
    SHORTEST_SQUARED_ABOVE,
    SIDE_PX,
    STEPS,
    TO_AND_FRO_PX,
    cut_all,
    find_all,
)

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Int64Array, UInt8Image

#: Levels that are searched for what is not found on the lowest one alone, where the guess is
#: good: on each level a corner is found from a few pixels away.
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


@dataclass(frozen=True)
class Patches:
    """Patches around n corners of an image, as they should look in another one.

    Attributes:
        gradient: (n, levels, 2, 16, 16) int16 along x and y, of all levels.
        inverse_nL3: (n, levels, 3) float32, the inverse (xx, xy, yy) of the squared gradients
            that makes a step of them; 0 where there is nothing to follow.
        gray: (n, 16, 16) uint8, on the lowest level.
        moments_n2: (n, 2) float32, sums of `gray` and of its squares.
    """

    gradient: npt.NDArray[np.int16]
    inverse_nL3: Float32Array
    gray: npt.NDArray[np.uint8]
    moments_n2: Float32Array

    @staticmethod
    def empty(count: int) -> Patches:
        """Return room for the patches of so many corners."""
        return Patches(
            np.zeros((count, LEVELS, 2, SIDE_PX, SIDE_PX), np.int16),
            np.zeros((count, LEVELS, 3), np.float32),
            np.zeros((count, SIDE_PX, SIDE_PX), np.uint8), np.zeros((count, 2), np.float32))

    def cut(
        self, pyramid: ImagePyramid, corners_n2: Float32Array, back_n22: Float32Array,
        which_m: Int64Array, levels: int,
    ) -> None:
        """Cut patches anew.

        Args:
            pyramid: the image that shows the corners.
            corners_n2: (n, 2) float32 pixels of all corners.
            back_n22: (n, 2, 2) float32, from steps in the other image to steps in this one.
            which_m: (m,) which are cut.
            levels: the lowest so many.
        """
        cut = cut_all if AVAILABLE else cut_all_twin
        cut(pyramid.flat, pyramid.layout_L4, corners_n2, back_n22, which_m, levels,
            self.gradient, self.inverse_nL3, self.gray, self.moments_n2)

    def find(
        self, pyramid: ImagePyramid, which_m: Int64Array, guess_m2: Float32Array, levels: int
    ) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
        """Find patches in an image.

        Args:
            pyramid: the image to search.
            which_m: (m,) which patches.
            guess_m2: (m, 2) float32 where they are expected.
            levels: the lowest so many, as far as they were cut.

        Returns:
            (m, 2) where; (m,) how well they correlate there, -1 for one that left the image or
            has nothing to follow; (m,) their contrast there over their own; (m, 3) their misfit,
            see `Followed`.
        """
        found_m2 = np.empty((len(which_m), 2), np.float32)
        alike_m, contrast_m = np.empty((2, len(which_m)), np.float32)
        misfit_m3 = np.empty((len(which_m), 3), np.float32)
        find = find_all if AVAILABLE else find_all_twin
        find(pyramid.flat, pyramid.layout_L4, self.gradient, self.inverse_nL3, self.gray,
             self.moments_n2, which_m, guess_m2, levels, found_m2, alike_m, contrast_m, misfit_m3)
        return found_m2, alike_m, contrast_m, misfit_m3


class Followed(NamedTuple):
    """Corners found in an image.

    Attributes:
        index_m: (m,) which.
        pixels_m2: (m, 2) float32 where.
        misfit_m3: (m, 3) float32 squared pixels xx, xy, yy: how far the gray values that differ
            between the two images may have moved the corner, were they one common error.
    """

    index_m: npt.NDArray[np.int64]
    pixels_m2: Float32Array
    misfit_m3: Float32Array


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
) -> Followed:
    """Find corners of one image in another.

    Args:
        template: the corners.
        pyramid: the image to search.
        guess_n2: (n, 2) float32 where they are expected.
        back_n22: (n, 2, 2) float32, from steps there to steps in the template's image.
        wide: search four times as far.
    """
    inner = pyramid.layout_L4[0, 2:] - _MARGIN_PX
    sought_n = ((guess_n2 >= _MARGIN_PX) & (guess_n2 < inner)).all(axis=1)
    sought_n &= (np.abs(back_n22.reshape(-1, 4)) < _LARGEST_WARP).all(axis=1)
    index = np.flatnonzero(sought_n)
    found, misfit, good = _search(
        template, pyramid, index, guess_n2[index], back_n22[index], LEVELS if wide else 1)
    missed = np.flatnonzero(~good)
    if len(missed) and not wide:
        again = index[missed]
        found[missed], misfit[missed], good[missed] = _search(
            template, pyramid, again, guess_n2[again], back_n22[again], _LEVELS)
    return Followed(index[good], found[good], misfit[good])


def _search(
    template: Template, pyramid: ImagePyramid, index_m: npt.NDArray[np.int64],
    guess_m2: Float32Array, back_m22: Float32Array, levels: int,
) -> tuple[Float32Array, Float32Array, npt.NDArray[np.bool_]]:
    """Search the lowest levels; return where corners are, their misfit, whether they are."""
    patches = template.towards(index_m, back_m22, levels)
    found, alike, contrast, misfit = patches.find(pyramid, index_m, guess_m2, levels)
    return found, misfit, (alike >= _LEAST_ALIKE) & (contrast >= _LEAST_CONTRAST)


def cut_all_twin(
    flat: npt.NDArray[np.uint8], layout_L4: Int64Array, corners_n2: Float32Array,
    back_n22: Float32Array, which_m: Int64Array, levels: int, gradient: npt.NDArray[np.int16],
    inverse_nL3: Float32Array, gray: npt.NDArray[np.uint8], moments_n2: Float32Array,
) -> None:
    """Do as the kernel behind `Patches.cut`, in NumPy."""
    steps = np.arange(-HALF - 1, HALF + 1, dtype=np.float32)
    offsets = np.stack(np.meshgrid(steps, steps), axis=2)  # (18, 18, 2), x first
    for level in range(levels):
        at = (BORDER_PX + corners_n2[which_m] * np.float32(0.5**level))[:, None, None]
        x, y = np.moveaxis(at + np.einsum("mij,rcj->mrci", back_n22[which_m], offsets), 3, 0)
        _, stride, _, height = layout_L4[level].tolist()
        wide = _between(flat, layout_L4[level], np.clip(x, 0, stride - 2),
                        np.clip(y, 0, height + 2 * BORDER_PX - 2))
        value = wide[:, 1:-1, 1:-1].reshape(len(which_m), -1)
        along = np.stack([wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2],
                          wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]], axis=1)
        along = along.reshape(len(which_m), 2, -1) / 2
        centered = value - value.mean(axis=1, keepdims=True)
        along -= along.mean(axis=2, keepdims=True)
        share = np.einsum("mp,map->ma", centered, along) / (
            np.square(centered).sum(axis=1) + LEAST_SQUARES)[:, None]
        along = PARTS * (along - share[..., None] * centered[:, None])
        H = np.einsum("map,mbp->mab", along, along)
        det = H[:, 0, 0] * H[:, 1, 1] - H[:, 0, 1] ** 2
        good = det > LEAST_DETERMINANT * (H[:, 0, 0] + H[:, 1, 1])
        unit = np.where(good, PARTS / np.where(good, det, 1), 0)
        inverse_nL3[which_m, level] = np.stack(
            [H[:, 1, 1] * unit, -H[:, 0, 1] * unit, H[:, 0, 0] * unit], axis=1)
        gradient[which_m, level] = np.rint(along).reshape(-1, 2, SIDE_PX, SIDE_PX)
        if level == 0:
            gray[which_m] = np.rint(value).reshape(-1, SIDE_PX, SIDE_PX)
            moments_n2[which_m] = np.stack(
                [np.rint(value).sum(axis=1), np.square(np.rint(value)).sum(axis=1)], axis=1)


def find_all_twin(
    flat: npt.NDArray[np.uint8], layout_L4: Int64Array, gradient: npt.NDArray[np.int16],
    inverse_nL3: Float32Array, gray: npt.NDArray[np.uint8], moments_n2: Float32Array,
    which_m: Int64Array, guess_m2: Float32Array, levels: int, found_m2: Float32Array,
    alike_m: Float32Array, contrast_m: Float32Array, misfit_m3: Float32Array,
) -> None:
    """Do as the kernel behind `Patches.find`, in NumPy."""
    found_m2[:] = guess_m2
    kept_m = np.ones(len(which_m), bool)
    for level in reversed(range(levels)):
        rows = np.flatnonzero(kept_m & (inverse_nL3[which_m, level, 0] != 0))
        at, before, limit = found_m2 * np.float32(0.5**level), np.zeros_like(found_m2), HALF - 1
        for _ in range(STEPS):
            inside = ((at[rows] > -limit) & (at[rows] < layout_L4[level, 2:] + limit)).all(axis=1)
            kept_m[rows[~inside]] = False
            rows = rows[inside]
            n = which_m[rows]
            along = np.einsum("mapq,mpq->ma", gradient[n, level].astype(np.float32),
                              _patches_at(flat, layout_L4[level], at[rows]))
            xx, xy, yy = inverse_nL3[n, level].T
            step = np.stack([xx * along[:, 0] + xy * along[:, 1],
                             xy * along[:, 0] + yy * along[:, 1]], axis=1)
            short = np.square(step).sum(axis=1) < (
                SHORTEST_SQUARED_ABOVE if level else SHORTEST_SQUARED)
            back = ~short & (np.abs(step + before[rows]) < TO_AND_FRO_PX).all(axis=1)
            at[rows] -= np.where(back[:, None], step / 2, step)
            before[rows] = step
            rows = rows[~short & ~back]
            if len(rows) == 0:
                break
        found_m2[kept_m] = at[kept_m] * np.float32(2.0**level)
    kept_m &= inverse_nL3[which_m, 0, 0] != 0
    kept_m &= ((found_m2 >= HALF) & (found_m2 < layout_L4[0, 2:] - HALF)).all(axis=1)
    alike_m[:], contrast_m[:], misfit_m3[:] = -1.0, 0.0, 0.0
    there = _patches_at(flat, layout_L4[0], found_m2[kept_m]).reshape(-1, SIDE_PX * SIDE_PX)
    there = there - there.mean(axis=1, keepdims=True)
    total, squares = moments_n2[which_m[kept_m]].astype(np.float64).T
    own = np.maximum(squares - np.square(total) / COUNT, LEAST_SQUARES)
    energy = np.maximum(np.square(there).sum(axis=1), LEAST_SQUARES)
    product = np.einsum("mp,mp->m", there, gray[which_m[kept_m]].reshape(there.shape))
    alike_m[kept_m], contrast_m[kept_m] = product / np.sqrt(own * energy), np.sqrt(energy / own)
    left = np.maximum(1.0 - np.square(alike_m[kept_m]), 0.0) * energy
    misfit_m3[kept_m] = (PARTS * left)[:, None] * inverse_nL3[which_m[kept_m], 0]


def _between(
    flat: npt.NDArray[np.uint8], layout_4: Int64Array, x: Float32Array, y: Float32Array
) -> Float32Array:
    """Gray values of a level between its pixels, bilinear; x and y count from the border's."""
    start, stride = layout_4[0], layout_4[1]
    column, row = x.astype(np.int64), y.astype(np.int64)
    right, down = np.float32(x - column), np.float32(y - row)
    at = start + row * stride + column
    upper = flat[at] * (1 - right) + flat[at + 1] * right
    lower = flat[at + stride] * (1 - right) + flat[at + stride + 1] * right
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _patches_at(
    flat: npt.NDArray[np.uint8], layout_4: Int64Array, corners_m2: Float32Array
) -> Float32Array:
    steps = np.arange(-HALF, HALF, dtype=np.float32) + BORDER_PX
    return _between(flat, layout_4, corners_m2[:, 0, None, None] + steps,
                    corners_m2[:, 1, None, None] + steps[:, None])
