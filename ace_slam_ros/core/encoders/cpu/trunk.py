"""The convolutions of the shipped encoder on a CPU, in whichever library runs them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from ..network import upsample

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from ..tiny import EncoderNetwork

#: Channels of what the trunk gives.
WIDTH = 64


class Trunk(ABC):
    """The layers of `EncoderNetwork` that need whole images.

    Attributes:
        runtime: the library and its version.
    """

    runtime: str

    @abstractmethod
    def fine(self, pixels: Float32Array, out_hwC: Float32Array) -> None:
        """Write (h, w, WIDTH) float32 features of cells.

        Args:
            pixels: (2 h + 2, 2 w + 2, 16) float32 from `blocks_of`.
            out_hwC: takes the features.
        """

    @abstractmethod
    def middle(self, fine_hwC: Float32Array, out: Float32Array) -> None:
        """Write their context (h / 2, w / 2, WIDTH) float32, to be upsampled and added."""


class TorchTrunk(Trunk):
    """Runs the layers in torch.

    Args:
        network: loaded; it is copied.
        precision: torch.float32 or torch.bfloat16.
    """

    def __init__(self, network: EncoderNetwork, precision: torch.dtype) -> None:
        self.runtime = f"torch {torch.__version__}"
        self._precision = precision
        self._network = copy.deepcopy(network).to(  # type: ignore[call-overload]
            dtype=precision, memory_format=torch.channels_last)

    @torch.inference_mode()
    def fine(self, pixels: Float32Array, out_hwC: Float32Array) -> None:
        """See `Trunk`."""
        first = convolutions(self._network.stem)[0]  # its border is there already
        x = F.relu(F.conv2d(self._enter(pixels), first.weight, first.bias))
        _leave(self._network.fine(self._network.stem[2:](x)), out_hwC)

    @torch.inference_mode()
    def middle(self, fine_hwC: Float32Array, out: Float32Array) -> None:
        """See `Trunk`."""
        network = self._network
        middle = network.middle(self._enter(fine_hwC))
        coarse = network.join_coarse(network.coarse(middle))
        middle = network.middle_out(middle + upsample(coarse, middle))
        _leave(network.join_middle(middle), out)

    def _enter(self, array_hwC: Float32Array) -> torch.Tensor:
        return torch.from_numpy(array_hwC).permute(2, 0, 1)[None].to(self._precision)


def _leave(x_1Chw: torch.Tensor, out_hwC: Float32Array) -> None:
    torch.from_numpy(out_hwC).copy_(x_1Chw[0].permute(1, 2, 0))


def convolutions(layers: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions of a sequence, first to last."""
    return [module for module in layers.modules() if isinstance(module, nn.Conv2d)]
