"""Describes chosen cells of an image: the shipped encoder in a third of the time of all cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.compiled import AVAILABLE, kernel
from ...runtime.scratch import ScratchPool
from ..shipped import STRIDE
from .edges import EDGES_WIDTH, at_cells, histograms
from .layers import WIDTH
from .pixels import blocks_of

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Int64Array, UInt8Image
    from ...runtime.steps import Steps
    from .layers import Layers

#: Share of the nearer of two coarse cells in a fine cell between them, by bilinear interpolation.
_NEAR, _FAR = np.float32(0.75), np.float32(0.25)


class CellNetwork:
    """`EncoderNetwork` for a CPU: what belongs to one cell is computed for chosen cells alone.

    Args:
        layers: those of the network.

    Attributes:
        runtime: the library that runs them, and its version.
    """

    def __init__(self, layers: Layers) -> None:
        self._layers, self.runtime = layers, layers.runtime
        self._scratch = ScratchPool()

    def steps(
        self, gray_HW: UInt8Image, rows_N: Int64Array, columns_N: Int64Array
    ) -> Steps[Float32Array]:
        """Compute (N, D) float32 unit-norm descriptors of cells, in three steps.

        Args:
            gray_HW: sides are multiples of `size_multiple`, two of them at least.
            rows_N, columns_N: where the cells are in the grid.
        """
        h, w = gray_HW.shape[0] // STRIDE, gray_HW.shape[1] // STRIDE
        count = len(rows_N)
        with self._scratch.lend() as scratch:
            edges = scratch.array(self._layers.rows(count), EDGES_WIDTH)
            learned = scratch.array(len(edges), WIDTH)
            edges[count:], learned[count:] = 0, 0
            pixels, means = blocks_of(gray_HW, scratch)
            at_cells(*histograms(means, scratch), rows_N, columns_N, edges)
            yield
            fine, middle = scratch.array(h + 2, w + 2, WIDTH), scratch.array(h // 2, w // 2, WIDTH)
            self._layers.fine(pixels, fine)
            yield
            self._layers.middle(fine, middle)
            add_context = _add_context if AVAILABLE else add_context_twin
            add_context(fine, middle, rows_N, columns_N, learned)
            return self._layers.merge(learned, edges)[:count]


def add_context_twin(
    fine: Float32Array, middle_hwC: Float32Array, rows_N: Int64Array, columns_N: Int64Array,
    out_MC: Float32Array,
) -> None:
    """Write `fine` plus upsampled `middle` at cells to the first rows of `out_MC`.

    Both are from `Layers`; `fine` has a border. The slow twin of a kernel.
    """
    out = out_MC[:len(rows_N)]
    out[:] = fine[rows_N + 1, columns_N + 1]
    h, w = middle_hwC.shape[:2]
    up, down = np.maximum((rows_N - 1) // 2, 0), np.minimum((rows_N + 1) // 2, h - 1)
    left, right = np.maximum((columns_N - 1) // 2, 0), np.minimum((columns_N + 1) // 2, w - 1)
    lower = np.where(rows_N % 2, _FAR, _NEAR)[:, None]
    righter = np.where(columns_N % 2, _FAR, _NEAR)[:, None]
    for rows, share in ((up, 1 - lower), (down, lower)):
        out += share * ((1 - righter) * middle_hwC[rows, left]
                        + righter * middle_hwC[rows, right])


@kernel
def _add_context(
    fine: Float32Array, middle_hwC: Float32Array, rows_N: Int64Array, columns_N: Int64Array,
    out_MC: Float32Array,
) -> None:
    """As `add_context_twin`."""
    h, w, channels = middle_hwC.shape
    for n in range(len(rows_N)):
        i, j = rows_N[n], columns_N[n]
        up, down = max((i - 1) // 2, 0), min((i + 1) // 2, h - 1)
        left, right = max((j - 1) // 2, 0), min((j + 1) // 2, w - 1)
        upper, lower = (_NEAR, _FAR) if i % 2 else (_FAR, _NEAR)
        lefter, righter = (_NEAR, _FAR) if j % 2 else (_FAR, _NEAR)
        for c in range(channels):
            above = lefter * middle_hwC[up, left, c] + righter * middle_hwC[up, right, c]
            below = lefter * middle_hwC[down, left, c] + righter * middle_hwC[down, right, c]
            out_MC[n, c] = fine[i + 1, j + 1, c] + upper * above + lower * below
