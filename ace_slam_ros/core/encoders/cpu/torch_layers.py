"""The layers of the shipped encoder in torch: where OpenVINO does not run, or by choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.network import DTYPES, upsample
from ..networks.tiny import EncoderNetwork
from .layers import Layers
from .merging import Merging

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from ...runtime.precision import Precision
    from .merging import Weights


class TorchLayers(Layers):
    """Runs the layers in torch; `merge` in single precision.

    Args:
        weights: of the encoder.
        precision: of all but `merge`.
    """

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self.runtime = f"torch {torch.__version__}"
        self._precision = DTYPES[precision]
        m = Merging(weights)
        self._widen, self._narrow, self._whiten, self._merge_learned = (
            _tensors(layer) for layer in (m.widen, m.narrow, m.whiten, m.merge_learned))
        self._merge_edges = torch.from_numpy(m.merge_edges)
        network = EncoderNetwork.for_weights({})
        network.load_state_dict({name: torch.from_numpy(a) for name, a in weights.items()})
        self._network = network.to(  # type: ignore[call-overload]
            dtype=self._precision, memory_format=torch.channels_last)

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
        x = F.relu_(_apply(self._widen, torch.from_numpy(learned_MC)))
        x = F.normalize(_apply(self._narrow, x), dim=1)
        e = F.normalize(_apply(self._whiten, torch.from_numpy(edges_ME)), dim=1)
        found: Float32Array = F.normalize(
            _apply(self._merge_learned, x).addmm_(e, self._merge_edges), dim=1).numpy()
        return found

    def _enter(self, array_hwC: Float32Array) -> Tensor:
        return torch.from_numpy(array_hwC).permute(2, 0, 1)[None].to(self._precision)


def _without_border(block: nn.Module, x: Tensor) -> Tensor:
    """Run a `ConvBlock`, its normalization folded, on what has its border already."""
    layer, = (one for one in block.modules() if isinstance(one, nn.Conv2d))
    return F.relu(F.conv2d(x, layer.weight, layer.bias, layer.stride))


def _leave(x_1Chw: Tensor, out_hwC: Float32Array) -> None:
    torch.from_numpy(out_hwC).copy_(x_1Chw[0].permute(1, 2, 0))


def _apply(layer: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    return torch.addmm(layer[1], x, layer[0])


def _tensors(layer: tuple[Float32Array, Float32Array]) -> tuple[Tensor, Tensor]:
    weights, bias = layer
    return torch.from_numpy(weights), torch.from_numpy(bias)
