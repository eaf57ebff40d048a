"""Weights of the shipped encoder, taken out of it for other ways to run its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ..tiny import EncoderNetwork


class Merging:
    """Weights of what follows for each cell alone, transposed, in single precision.

    Attributes:
        widen, narrow: of the learned features, (inputs, outputs) and bias; a ReLU is between.
        whiten: of the histograms from `at_cells`, and the negative center as bias.
        merge_learned: of the learned features of unit norm, and bias.
        merge_edges: of the whitened histograms of unit norm.
    """

    def __init__(self, network: EncoderNetwork) -> None:
        self.widen, self.narrow = (_pointwise(one) for one in convolutions(network.project))
        self.merge_learned = _pointwise(network.merge_learned)
        self.merge_edges = _flat(network.merge_edges.weight).T.contiguous()
        whiten = [_flat(layer.project.weight) for layer in (network.near, network.wide)]
        self.whiten = (torch.cat(whiten, dim=1).T.contiguous(), -network.centre.detach().float())


def convolutions(layers: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions of a sequence, first to last."""
    return [module for module in layers.modules() if isinstance(module, nn.Conv2d)]


def _pointwise(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return _flat(layer.weight).T.contiguous(), bias.detach().float().clone()


def _flat(weight: Tensor) -> Tensor:
    """Return weights as (outputs, inputs), those of a region beside each other."""
    return weight.detach().float().permute(0, 2, 3, 1).reshape(len(weight), -1)
