"""Patches of one image found in another: inverse Lucas-Kanade that is blind to exposure.

Source: Baker and Matthews 2004, section 3.2 (inverse compositional) with translations only, the
patch being warped beforehand, and 4.2 (linear changes of brightness and contrast, projected out
of the gradients): a step is the gradients times the image at the present place, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...data.image_pyramid import BORDER_PX
from ...runtime.compiled import kernel

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Int64Array

#: Side of a patch. Its corner is the first pixel right of and below the middle.
SIDE_PX = 16
HALF = SIDE_PX // 2
COUNT = np.float32(SIDE_PX * SIDE_PX)
#: Gradients are whole numbers, so many to a gray value per pixel: that halves the memory that
#: following reads, and rounding moves a corner by less than 0.001 pixels.
PARTS = np.float32(64.0)
#: A patch is one to follow if its gradients along any direction are at least this large (root
#: mean square, gray values per pixel), without what a change of exposure explains.
_LEAST_GRADIENT = 0.5
#: Steps at most on each level, and shorter ones are the last: of the lowest level, of others.
STEPS, SHORTEST_SQUARED, SHORTEST_SQUARED_ABOVE = 20, np.float32(0.02**2), np.float32(0.1**2)
#: A step that takes back the one before but for so much (pixels) is halved, and the last.
TO_AND_FRO_PX = np.float32(0.01)
_ZERO, _HALF_OF_ONE, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
LEAST_DETERMINANT = (np.float32(_LEAST_GRADIENT) * PARTS) ** 2 * COUNT  # over the trace
LEAST_SQUARES = np.float32(1e-3)  # of a patch without any contrast


@kernel
def _cut(
    flat: npt.NDArray[np.uint8], layout_4: Int64Array, x: np.float32, y: np.float32,
    back_22: Float32Array, wide: Float32Array, at_row: npt.NDArray[np.int32],
    x_row: Float32Array, y_row: Float32Array,
) -> None:
    """Fill the warped patch `wide` and a pixel around it; the rows are for work."""
    start, stride = np.int32(layout_4[0]), np.int32(layout_4[1])
    right, bottom = np.float32(stride - 2), np.float32(layout_4[3] + 2 * BORDER_PX - 2)
    b00, b01, b10, b11 = back_22[0, 0], back_22[0, 1], back_22[1, 0], back_22[1, 1]
    first = np.float32(-HALF - 1)
    for i in range(SIDE_PX + 2):
        down = np.float32(i) + first
        x0, y0 = x + b01 * down, y + b11 * down
        for j in range(SIDE_PX + 2):  # apart from the loop below: this one becomes vectors
            aside = np.float32(j) + first
            column = min(max(x0 + b00 * aside, _ZERO), right)
            row = min(max(y0 + b10 * aside, _ZERO), bottom)
            column_int, row_int = np.int32(column), np.int32(row)
            x_row[j], y_row[j] = column - np.float32(column_int), row - np.float32(row_int)
            at_row[j] = start + row_int * stride + column_int
        for j in range(SIDE_PX + 2):
            at = np.uint64(at_row[j])
            below = at + np.uint64(stride)
            a, b = np.float32(flat[at]), np.float32(flat[at + np.uint64(1)])
            c, d = np.float32(flat[below]), np.float32(flat[below + np.uint64(1)])
            upper = a + x_row[j] * (b - a)
            lower = c + x_row[j] * (d - c)
            wide[i, j] = upper + y_row[j] * (lower - upper)


@kernel
def _prepare(
    wide: Float32Array, gradient: npt.NDArray[np.int16], inverse_3: Float32Array
) -> None:
    """Take the gradients of a patch without what brightness and contrast explain."""
    total, sum_x, sum_y, product_x, product_y = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    squares = LEAST_SQUARES
    for i in range(SIDE_PX):
        for j in range(SIDE_PX):
            v = wide[i + 1, j + 1]
            x = wide[i + 1, j + 2] - wide[i + 1, j]
            y = wide[i + 2, j + 1] - wide[i, j + 1]
            total += v
            sum_x += x
            sum_y += y
            squares += v * v
            product_x += v * x
            product_y += v * y
    mean, mean_x, mean_y = total / COUNT, sum_x / COUNT, sum_y / COUNT
    squares -= total * mean
    share_x = (product_x - total * mean_x) / squares
    share_y = (product_y - total * mean_y) / squares
    xx, xy, yy = _ZERO, _ZERO, _ZERO
    unit = _HALF_OF_ONE * PARTS
    for i in range(SIDE_PX):
        for j in range(SIDE_PX):
            v = wide[i + 1, j + 1] - mean
            x = unit * (wide[i + 1, j + 2] - wide[i + 1, j] - mean_x - share_x * v)
            y = unit * (wide[i + 2, j + 1] - wide[i, j + 1] - mean_y - share_y * v)
            gradient[0, i, j] = np.int16(np.rint(x))
            gradient[1, i, j] = np.int16(np.rint(y))
            xx += x * x
            xy += x * y
            yy += y * y
    determinant = xx * yy - xy * xy
    unit = _ZERO
    if determinant > LEAST_DETERMINANT * (xx + yy):
        unit = PARTS / determinant
    inverse_3[0], inverse_3[1], inverse_3[2] = yy * unit, -xy * unit, xx * unit


@kernel
def cut_all(
    flat: npt.NDArray[np.uint8], layout_L4: Int64Array, corners_n2: Float32Array,
    back_n22: Float32Array, which_m: Int64Array, levels: int, gradient: npt.NDArray[np.int16],
    inverse_nL3: Float32Array, gray: npt.NDArray[np.uint8], moments_n2: Float32Array,
) -> None:
    """Cut patches anew, see `Patches.cut`."""
    wide = np.empty((SIDE_PX + 2, SIDE_PX + 2), np.float32)
    at_row = np.empty(SIDE_PX + 2, np.int32)
    x_row, y_row = np.empty(SIDE_PX + 2, np.float32), np.empty(SIDE_PX + 2, np.float32)
    border = np.float32(BORDER_PX)
    for n in which_m:
        for level in range(levels):
            scale = np.float32(1.0 / (1 << level))
            _cut(flat, layout_L4[level], border + scale * corners_n2[n, 0],
                 border + scale * corners_n2[n, 1], back_n22[n], wide, at_row, x_row, y_row)
            _prepare(wide, gradient[n, level], inverse_nL3[n, level])
            if level == 0:
                _keep_gray(wide, gray[n], moments_n2[n])


@kernel
def _keep_gray(
    wide: Float32Array, gray: npt.NDArray[np.uint8], moments_2: Float32Array
) -> None:
    total, squares = _ZERO, _ZERO
    for i in range(SIDE_PX):
        for j in range(SIDE_PX):
            v = np.rint(wide[i + 1, j + 1])
            gray[i, j] = np.uint8(v)
            total += v
            squares += v * v
    moments_2[0], moments_2[1] = total, squares


@kernel
def _four_pixels(
    left: np.float32, top: np.float32
) -> tuple[np.int64, np.int64, np.float32, np.float32, np.float32, np.float32]:
    """Return the pixel before a place and the bilinear weights of it and the three beside it."""
    column, row = np.int64(left), np.int64(top)
    right, down = left - np.float32(column), top - np.float32(row)
    return (column, row, (_ONE - right) * (_ONE - down), right * (_ONE - down),
            (_ONE - right) * down, right * down)


@kernel
def _along_gradient(
    flat: npt.NDArray[np.uint8], start: int, stride: int, left: np.float32, top: np.float32,
    gradient: npt.NDArray[np.int16],
) -> tuple[np.float32, np.float32]:
    """Sum up the gradients times the image, between its pixels, at `left`, `top`."""
    column, row, w00, w01, w10, w11 = _four_pixels(left, top)
    x, y = _ZERO, _ZERO
    for i in range(SIDE_PX):
        at = start + (row + i) * stride + column
        upper, lower = flat[at:at + SIDE_PX + 1], flat[at + stride:at + stride + SIDE_PX + 1]
        for j in range(SIDE_PX):
            v = (w00 * np.float32(upper[j]) + w01 * np.float32(upper[j + 1])
                 + w10 * np.float32(lower[j]) + w11 * np.float32(lower[j + 1]))
            x += v * np.float32(gradient[0, i, j])
            y += v * np.float32(gradient[1, i, j])
    return x, y


@kernel
def _compare(
    flat: npt.NDArray[np.uint8], start: int, stride: int, left: np.float32, top: np.float32,
    gray: npt.NDArray[np.uint8], moments_2: Float32Array,
) -> tuple[np.float32, np.float32, np.float32]:
    """Correlate a patch with the image at `left`, `top`.

    Returns:
        The correlation, the contrast there over its own, the squares of what is left between the
        two in units of `inverse_3`.
    """
    column, row, w00, w01, w10, w11 = _four_pixels(left, top)
    total, squares, product = _ZERO, _ZERO, _ZERO
    for i in range(SIDE_PX):
        at = start + (row + i) * stride + column
        upper, lower = flat[at:at + SIDE_PX + 1], flat[at + stride:at + stride + SIDE_PX + 1]
        for j in range(SIDE_PX):
            v = (w00 * np.float32(upper[j]) + w01 * np.float32(upper[j + 1])
                 + w10 * np.float32(lower[j]) + w11 * np.float32(lower[j + 1]))
            total += v
            squares += v * v
            product += v * np.float32(gray[i, j])
    own = max(moments_2[1] - moments_2[0] * moments_2[0] / COUNT, LEAST_SQUARES)
    there = max(squares - total * total / COUNT, LEAST_SQUARES)
    product -= total * moments_2[0] / COUNT
    alike = product / np.sqrt(own * there)
    return alike, np.sqrt(there / own), PARTS * max(_ONE - alike * alike, _ZERO) * there


@kernel
def _find(
    flat: npt.NDArray[np.uint8], layout_L4: Int64Array, gradient: npt.NDArray[np.int16],
    inverse_L3: Float32Array, levels: int, x: np.float32, y: np.float32,
) -> tuple[np.float32, np.float32, bool]:
    """Descend from the highest level to the lowest; return where, and whether it is inside."""
    border, out = np.float32(BORDER_PX - HALF), np.float32(1 - HALF)
    for step in range(levels):
        level = levels - 1 - step
        xx, xy, yy = inverse_L3[level, 0], inverse_L3[level, 1], inverse_L3[level, 2]
        if xx == _ZERO:
            continue
        start, stride = layout_L4[level, 0], layout_L4[level, 1]
        right = np.float32(layout_L4[level, 2]) - out
        bottom = np.float32(layout_L4[level, 3]) - out
        scale = np.float32(1 << level)
        x, y = x / scale, y / scale
        last_x, last_y = _ZERO, _ZERO
        shortest = SHORTEST_SQUARED_ABOVE if level else SHORTEST_SQUARED
        for _ in range(STEPS):
            if not (x > out and y > out and x < right and y < bottom):
                return scale * x, scale * y, False
            along_x, along_y = _along_gradient(
                flat, start, stride, x + border, y + border, gradient[level])
            step_x, step_y = xx * along_x + xy * along_y, xy * along_x + yy * along_y
            short = step_x * step_x + step_y * step_y < shortest
            back = (not short and abs(step_x + last_x) < TO_AND_FRO_PX
                    and abs(step_y + last_y) < TO_AND_FRO_PX)
            share = _HALF_OF_ONE if back else _ONE
            x, y = x - share * step_x, y - share * step_y
            if short or back:
                break
            last_x, last_y = step_x, step_y
        x, y = x * scale, y * scale
    half = np.float32(HALF)
    inside = (x >= half and y >= half and x < np.float32(layout_L4[0, 2]) - half
              and y < np.float32(layout_L4[0, 3]) - half)
    return x, y, bool(inside and inverse_L3[0, 0] != _ZERO)


@kernel
def find_all(
    flat: npt.NDArray[np.uint8], layout_L4: Int64Array, gradient: npt.NDArray[np.int16],
    inverse_nL3: Float32Array, gray: npt.NDArray[np.uint8], moments_n2: Float32Array,
    which_m: Int64Array, guess_m2: Float32Array, levels: int, found_m2: Float32Array,
    alike_m: Float32Array, contrast_m: Float32Array, misfit_m3: Float32Array,
) -> None:
    """Find patches in an image, see `Patches.find`."""
    border = np.float32(BORDER_PX - HALF)
    for m in range(len(which_m)):
        n = which_m[m]
        x, y, inside = _find(
            flat, layout_L4, gradient[n], inverse_nL3[n], levels, guess_m2[m, 0], guess_m2[m, 1])
        found_m2[m, 0], found_m2[m, 1] = x, y
        alike_m[m], contrast_m[m], share = -_ONE, _ZERO, _ZERO
        if inside:
            alike_m[m], contrast_m[m], share = _compare(
                flat, layout_L4[0, 0], layout_L4[0, 1], x + border, y + border, gray[n],
                moments_n2[n])
        for k in range(3):
            misfit_m3[m, k] = share * inverse_nL3[n, 0, k]
