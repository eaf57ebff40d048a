"""Describes chosen cells of an image: the shipped encoder in a third of the time of all cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...runtime.compiled import AVAILABLE, kernel
from ...runtime.scratch import ScratchPool
from ..network import CellDescriber
from ..tiny import STRIDE
from .edges import at_cells, histograms
from .pixels import blocks_of
from .runtimes import choose_trunk
from .trunk import WIDTH, convolutions

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Int64Array, UInt8Image
    from ...runtime.steps import Steps
    from ..tiny import EncoderNetwork

#: Share of the nearer of two coarse cells in a fine cell between them, by bilinear interpolation.
_NEAR, _FAR = np.float32(0.75), np.float32(0.25)


class CellNetwork(CellDescriber):
    """`EncoderNetwork` for a CPU: convolutions of the image, all that follows for chosen cells.

    What follows runs in single precision.

    Args:
        network: loaded, its normalization folded; its weights are copied.
        precision: of the convolutions.
        runtime: that runs them: auto, torch or openvino.

    Raises:
        EncoderError: the runtime does not run here.
    """

    def __init__(self, network: EncoderNetwork, precision: torch.dtype, runtime: str) -> None:
        self._trunk = choose_trunk(network, precision, runtime)
        self.runtime = self._trunk.runtime
        self._tail = _Tail(network)
        self._scratch = ScratchPool()

    def steps(
        self, gray_HW: UInt8Image, rows_N: Int64Array, columns_N: Int64Array
    ) -> Steps[Float32Array]:
        """See `CellDescriber`; there are three steps."""
        h, w = gray_HW.shape[0] // STRIDE, gray_HW.shape[1] // STRIDE
        with self._scratch.lend() as scratch:
            pixels, means = blocks_of(gray_HW, scratch)
            edges = at_cells(*histograms(means, scratch), rows_N, columns_N, scratch)
            yield
            fine, middle = scratch.array(h, w, WIDTH), scratch.array(h // 2, w // 2, WIDTH)
            self._trunk.fine(pixels, fine)
            yield
            self._trunk.middle(fine, middle)
            learned = scratch.array(len(rows_N), WIDTH)
            add_context = _add_context if AVAILABLE else add_context_by_numpy
            add_context(fine, middle, rows_N, columns_N, learned)
            return self._tail.descriptors(learned, edges)


class _Tail:
    """The layers of one cell alone."""

    def __init__(self, network: EncoderNetwork) -> None:
        widen, narrow = convolutions(network.project)
        self._widen, self._narrow = _pointwise(widen), _pointwise(narrow)
        self._merge = _pointwise(network.merge_learned)
        self._whiten_DE = torch.cat([_flat(layer.project.weight) for layer in (
            network.near, network.wide)], dim=1).T.contiguous()
        self._center_E = network.centre.detach().float().clone()
        self._merge_edges_ED = _flat(network.merge_edges.weight).T.contiguous()

    @torch.inference_mode()
    def descriptors(self, learned_NC: Float32Array, edges_NE: Float32Array) -> Float32Array:
        """Return (N, D) float32 of unit norm from features and histograms of cells."""
        x = F.relu_(_apply(self._widen, torch.from_numpy(learned_NC)))
        x = F.normalize(_apply(self._narrow, x), dim=1)
        e = torch.addmm(self._center_E, torch.from_numpy(edges_NE), self._whiten_DE, beta=-1)
        merged = _apply(self._merge, x).addmm_(F.normalize(e, dim=1), self._merge_edges_ED)
        found: Float32Array = F.normalize(merged, dim=1).numpy()
        return found


def _pointwise(layer: torch.nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return (weights (inputs, outputs), bias) of a 1x1 convolution."""
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return _flat(layer.weight).T.contiguous(), bias.detach().float().clone()


def _flat(weight: Tensor) -> Tensor:
    """Return weights as (outputs, inputs), those of a region beside each other."""
    return weight.detach().float().permute(0, 2, 3, 1).reshape(len(weight), -1)


def _apply(layer: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    return torch.addmm(layer[1], x, layer[0])


def add_context_by_numpy(
    fine_hwC: Float32Array, middle_hwC: Float32Array, rows_N: Int64Array, columns_N: Int64Array,
    out_NC: Float32Array,
) -> None:
    """Write `fine` plus upsampled `middle` at cells to `out_NC`: the slow twin of a kernel."""
    out_NC[:] = fine_hwC[rows_N, columns_N]
    h, w = middle_hwC.shape[:2]
    up, down = np.maximum((rows_N - 1) // 2, 0), np.minimum((rows_N + 1) // 2, h - 1)
    left, right = np.maximum((columns_N - 1) // 2, 0), np.minimum((columns_N + 1) // 2, w - 1)
    lower = np.where(rows_N % 2, _FAR, _NEAR)[:, None]
    righter = np.where(columns_N % 2, _FAR, _NEAR)[:, None]
    for rows, share in ((up, 1 - lower), (down, lower)):
        out_NC += share * ((1 - righter) * middle_hwC[rows, left]
                           + righter * middle_hwC[rows, right])


@kernel
def _add_context(
    fine_hwC: Float32Array, middle_hwC: Float32Array, rows_N: Int64Array, columns_N: Int64Array,
    out_NC: Float32Array,
) -> None:
    """As `add_context_by_numpy`."""
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
            out_NC[n, c] = fine_hwC[i, j, c] + upper * above + lower * below
