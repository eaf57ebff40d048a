"""Histograms of edge orientations at chosen cells: what `encoders/orientations.py` defines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...runtime.compiled import AVAILABLE, kernel
from ..shipped import LEAST_GRADIENT, ORIENTATIONS, REGIONS

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Int64Array
    from ...runtime.scratch import Scratch

#: Numbers that describe a cell at one spacing, region by region, and at both.
_WIDTH = REGIONS * REGIONS * ORIENTATIONS
EDGES_WIDTH = 2 * _WIDTH
_COUNT = ORIENTATIONS
#: Blur along one axis as the boxes of `OrientationHistograms` do it together.
_TAPS = {1: np.array([1 / 8, 3 / 8, 3 / 8, 1 / 8], np.float32),
         3: np.array([1 / 18, 3 / 18, 5 / 18, 5 / 18, 3 / 18, 1 / 18], np.float32)}
_DIAGONAL, _HALF, _QUARTER = np.float32(0.5 ** 0.5), np.float32(0.5), np.float32(0.25)
_ZERO, _ONE, _TINY = np.float32(0), np.float32(1), np.float32(1e-8)
_LEAST = np.float32(LEAST_GRADIENT)


class Histograms(NamedTuple):
    """Those around every cell of an image at one spacing.

    Attributes:
        roots: (h + 3 s, w + 3 s, 8) float32 square roots of every region's histogram; that of
            index (0, 0) is the first of cell (0, 0).
        sums: (h + 3 s, w + 3 s) float32 sums of the histograms.
        spacing: s, in cells.
    """

    roots: Float32Array
    sums: Float32Array
    spacing: int


def histograms(means_hw: Float32Array, scratch: Scratch) -> tuple[Histograms, Histograms]:
    """Count the edges of an image around every cell.

    Args:
        means_hw: normalized means of blocks of 4x4 pixels, from `blocks_of`.
        scratch: for what is returned.

    Returns:
        (near, wide): at spacings of one and of three cells.
    """
    if not AVAILABLE:
        from .torch_twins import histograms_by_torch

        return (Histograms(*histograms_by_torch(means_hw, 1), 1),
                Histograms(*histograms_by_torch(means_hw, 3), 3))
    gradients = scratch.array(means_hw.shape[0] // 2, means_hw.shape[1] // 2, ORIENTATIONS)
    _count_gradients(_with_border(means_hw), gradients)
    return _blurred(gradients, 1, scratch), _blurred(gradients, 3, scratch)


def at_cells(
    near: Histograms, wide: Histograms, rows_N: Int64Array, columns_N: Int64Array,
    out_ME: Float32Array,
) -> None:
    """Write the 16 near regions of cells and their 16 wide ones to the first rows of `out_ME`.

    Each half has unit norm, unless there is no edge at all.
    """
    gather = _gather if AVAILABLE else gather_twin
    for k, (roots, sums, spacing) in enumerate((near, wide)):
        gather(roots, sums, spacing, rows_N, columns_N, k * _WIDTH, out_ME)


def gather_twin(
    roots: Float32Array, sums: Float32Array, spacing: int, rows_N: Int64Array,
    columns_N: Int64Array, first: int, out: Float32Array,
) -> None:
    """Write the regions of cells to columns `first` and following: the slow twin of a kernel."""
    out = out[:len(rows_N)]
    offsets = np.arange(REGIONS) * spacing
    rows = rows_N[:, None, None] + offsets[:, None]
    columns = columns_N[:, None, None] + offsets
    whole = sums[rows, columns].sum(axis=(1, 2))[:, None]
    out[:, first:first + _WIDTH] = roots[rows, columns].reshape(-1, _WIDTH) / np.sqrt(
        whole + _LEAST)


def _with_border(means_hw: Float32Array) -> Float32Array:
    """Repeat the outermost blocks once."""
    h, w = means_hw.shape
    padded = np.empty((h + 2, w + 2), np.float32)
    padded[1:-1, 1:-1] = means_hw
    padded[0, 1:-1], padded[-1, 1:-1] = means_hw[0], means_hw[-1]
    padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded


def _blurred(gradients: Float32Array, spacing: int, scratch: Scratch) -> Histograms:
    h, w = gradients.shape[0] + 3 * spacing, gradients.shape[1] + 3 * spacing
    roots, sums = scratch.array(h, w, ORIENTATIONS), scratch.array(h, w)
    taps = _TAPS[spacing]
    reach = (len(taps) - 1 + 3 * spacing) // 2
    line = np.empty((w + len(taps) - 1) * ORIENTATIONS, np.float32)
    _blur(gradients.reshape(len(gradients), -1), taps, reach, line,
          roots.reshape(h, -1), sums)
    return Histograms(roots, sums, spacing)


@kernel
def _count_gradients(padded: Float32Array, gradients: Float32Array) -> None:
    """`gradients_of_blocks`: of means with a border to (h, w, 8)."""
    h, w = gradients.shape[:2]
    lines = np.empty((_COUNT, 2 * w), np.float32)
    for i in range(h):
        for half in range(2):
            up, here, down = padded[2 * i + half], padded[2 * i + half + 1], padded[
                2 * i + half + 2]
            for x in range(2 * w):
                dx = (here[x + 2] - here[x]) * _HALF
                dy = (down[x + 1] - up[x + 1]) * _HALF
                shrink = _ONE / np.sqrt(dx * dx + dy * dy + _TINY)
                rising, falling = (dx + dy) * _DIAGONAL, (dy - dx) * _DIAGONAL
                for k, along in enumerate((dx, rising, dy, falling)):
                    cosine = along * shrink
                    cubed = cosine * cosine * cosine
                    sharp = along * cubed * cubed
                    before = lines[k, x] if half else _ZERO
                    lines[k, x] = before + max(sharp, _ZERO)
                    before = lines[k + 4, x] if half else _ZERO
                    lines[k + 4, x] = before + max(-sharp, _ZERO)
        for j in range(w):
            for k in range(_COUNT):
                gradients[i, j, k] = (lines[k, 2 * j] + lines[k, 2 * j + 1]) * _QUARTER


@kernel
def _blur(
    gradients: Float32Array, taps: Float32Array, reach: int, line: Float32Array,
    roots: Float32Array, sums: Float32Array,
) -> None:
    """`root_histograms`: blur (h, w * 8) along both axes, borders mirrored; then square roots."""
    h, w = gradients.shape[0], gradients.shape[1] // _COUNT
    columns = sums.shape[1]
    for i in range(sums.shape[0]):
        middle = line[reach * _COUNT:(reach + w) * _COUNT]
        middle[:] = _ZERO
        for t in range(len(taps)):
            y = abs(i - reach + t)
            y = y if y < h else 2 * (h - 1) - y
            for q in range(w * _COUNT):
                middle[q] += taps[t] * gradients[y, q]
        for j in range(1, reach + 1):
            for k in range(_COUNT):
                line[(reach - j) * _COUNT + k] = middle[j * _COUNT + k]
                line[(reach + w - 1 + j) * _COUNT + k] = middle[(w - 1 - j) * _COUNT + k]
        out = roots[i]
        out[:] = _ZERO
        for t in range(len(taps)):
            for q in range(columns * _COUNT):
                out[q] += taps[t] * line[q + t * _COUNT]
        for j in range(columns):
            total = _ZERO
            for k in range(_COUNT):
                total += out[j * _COUNT + k]
            sums[i, j] = total
        for q in range(columns * _COUNT):
            out[q] = np.sqrt(out[q])


@kernel
def _gather(
    roots: Float32Array, sums: Float32Array, spacing: int, rows_N: Int64Array,
    columns_N: Int64Array, first: int, out: Float32Array,
) -> None:
    """As `gather_twin`."""
    for n in range(len(rows_N)):
        i, j = rows_N[n], columns_N[n]
        whole = _LEAST
        for a in range(REGIONS):
            for b in range(REGIONS):
                whole += sums[i + a * spacing, j + b * spacing]
        scale = _ONE / np.sqrt(whole)
        for a in range(REGIONS):
            for b in range(REGIONS):
                for k in range(_COUNT):
                    out[n, first + (REGIONS * a + b) * _COUNT + k] = scale * roots[
                        i + a * spacing, j + b * spacing, k]
