"""The layers of the shipped encoder on a CPU, in whichever library runs them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network import upsample
from .merging import Merging, convolutions

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from ..tiny import EncoderNetwork

#: Channels of what `fine` and `middle` give.
WIDTH = 64


class Layers(ABC):
    """`EncoderNetwork` in three parts: two for an image, one for chosen cells.

    Attributes:
        runtime: the library and its version.
    """

    runtime: str

    @abstractmethod
    def fine(self, pixels: Float32Array, out: Float32Array) -> None:
        """Compute features of all cells.

        Args:
            pixels: (2 h + 2, 2 w + 2, 16) float32 from `blocks_of`.
            out: (h + 2, w + 2, WIDTH) float32 is filled with the features, those of a mirrored
                border of one cell around them.
        """

    @abstractmethod
    def middle(self, fine: Float32Array, out: Float32Array) -> None:
        """Compute their context.

        Args:
            fine: from `fine`.
            out: (h / 2, w / 2, WIDTH) float32 is filled with what is to be upsampled and added.
        """

    def rows(self, count: int) -> int:
        """Return how many rows `merge` is to be given for some cells; the last may be spare."""
        return count

    @abstractmethod
    def merge(self, learned_MC: Float32Array, edges_ME: Float32Array) -> Float32Array:
        """Return (M, D) float32 descriptors of unit norm.

        Args:
            learned_MC: features with their context.
            edges_ME: histograms from `at_cells`.
        """


class TorchLayers(Layers):
    """Runs the layers in torch; `merge` in single precision.

    Args:
        network: loaded; it is copied.
        precision: torch.float32 or torch.bfloat16.
    """

    def __init__(self, network: EncoderNetwork, precision: torch.dtype) -> None:
        self.runtime = f"torch {torch.__version__}"
        self._precision = precision
        self._merging = Merging(network)
        self._network = copy.deepcopy(network).to(  # type: ignore[call-overload]
            dtype=precision, memory_format=torch.channels_last)

    @torch.inference_mode()
    def fine(self, pixels: Float32Array, out: Float32Array) -> None:
        """See `Layers`."""
        stem = self._network.stem
        x = self._network.fine(stem[2:](_without_border(stem[1], self._enter(pixels))))
        _leave(F.pad(x, (1, 1, 1, 1), mode="reflect"), out)

    @torch.inference_mode()
    def middle(self, fine: Float32Array, out: Float32Array) -> None:
        """See `Layers`."""
        network = self._network
        middle = network.middle[1:](_without_border(network.middle[0], self._enter(fine)))
        coarse = network.join_coarse(network.coarse(middle))
        middle = network.middle_out(middle + upsample(coarse, middle))
        _leave(network.join_middle(middle), out)

    @torch.inference_mode()
    def merge(self, learned_MC: Float32Array, edges_ME: Float32Array) -> Float32Array:
        """See `Layers`."""
        m = self._merging
        x = F.relu_(_apply(m.widen, torch.from_numpy(learned_MC)))
        x = F.normalize(_apply(m.narrow, x), dim=1)
        e = F.normalize(_apply(m.whiten, torch.from_numpy(edges_ME)), dim=1)
        found: Float32Array = F.normalize(
            _apply(m.merge_learned, x).addmm_(e, m.merge_edges), dim=1).numpy()
        return found

    def _enter(self, array_hwC: Float32Array) -> Tensor:
        return torch.from_numpy(array_hwC).permute(2, 0, 1)[None].to(self._precision)


def _without_border(block: nn.Module, x: Tensor) -> Tensor:
    """Run a `ConvBlock`, its normalization folded, on what has its border already."""
    layer, = convolutions(block)
    return F.relu(F.conv2d(x, layer.weight, layer.bias, layer.stride))


def _leave(x_1Chw: Tensor, out_hwC: Float32Array) -> None:
    torch.from_numpy(out_hwC).copy_(x_1Chw[0].permute(1, 2, 0))


def _apply(layer: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    return torch.addmm(layer[1], x, layer[0])
