"""Networks from a descriptor to a scene coordinate, as functions of a dictionary of weights.

`TriPlaneNetwork` votes on three planes (ACE-SLAM, arXiv 2512.14032, TriMLP); `HomogeneousNetwork`
regresses a homogeneous point (ACE, arXiv 2305.14059, the paper's baseline HomMLP). Weights are
given to `forward`, so that trained, averaged and exported ones go through the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import MapError
from .plane_grid import Grid, RowMap

if TYPE_CHECKING:
    from ...geometry.arrays import Float64Array
    from ..payload import Arrays

#: Learned tensors by name.
Weights = dict[str, Tensor]

#: Nearest an inverse scale of a homogeneous point comes to zero.
_LEAST_SCALE = 0.01


class SceneNetwork(Protocol):
    """How a network computes; the weights come with each call."""

    def forward(self, weights: Weights, descriptors_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return coordinates (B, 3) in meters and what hints at their error (B,), meters."""
        ...

    def to(self, device: str) -> SceneNetwork:
        """Return the network with its constants on a device."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the constants that a blob needs beside the weights."""
        ...


def initial_trunk(
    descriptor: int, hidden: int, layers: int, outputs: int, generator: torch.Generator
) -> Weights:
    """Return He-initialized layers `w0, b0 .. wL, bL`, matrices (inputs, outputs); wL is small."""
    sizes = [descriptor] + [hidden] * layers
    weights: Weights = {}
    for i, (inputs, width) in enumerate(zip(sizes, sizes[1:] + [outputs], strict=True)):
        gain = (2.0 / inputs) ** 0.5 if i < layers else 0.1 / inputs**0.5
        weights[f"w{i}"] = gain * torch.randn(inputs, width, generator=generator)
        weights[f"b{i}"] = torch.zeros(width)
    return weights


def layers_of(weights: Weights) -> int:
    """Return the number of hidden layers."""
    return sum(name.startswith("w") for name in weights) - 1


def run_hidden(weights: Weights, descriptors_BD: Tensor) -> Tensor:
    """Return the last hidden layer (B, H): ReLU layers, skips between those of equal width.

    Descriptors of unit norm are scaled to unit variance per channel.
    """
    h = descriptors_BD * math.sqrt(descriptors_BD.shape[1])
    for i in range(layers_of(weights)):
        next_h = torch.relu(torch.addmm(weights[f"b{i}"], h, weights[f"w{i}"]))
        h = h + next_h if i else next_h
    return h


def run_trunk(weights: Weights, descriptors_BD: Tensor) -> Tensor:
    """Return the last layer's outputs (B, O)."""
    last = layers_of(weights)
    return torch.addmm(weights[f"b{last}"], run_hidden(weights, descriptors_BD),
                       weights[f"w{last}"])


@dataclass(frozen=True)
class TriPlaneNetwork:
    """TriMLP: softmax over the cells of three planes, each votes for two axes by expectation.

    An axis is the mean of its two estimates. The hint of error is the standard deviation of the
    mixture of the two votes: spread within the planes and disagreement between them.
    """

    grid: Grid
    centers: tuple[Tensor, Tensor, Tensor]

    @staticmethod
    def on(grid: Grid, device: str) -> TriPlaneNetwork:
        """Return the network of a grid with its constants on a device."""
        first, second, third = (c.to(device) for c in grid.plane_centers())
        return TriPlaneNetwork(grid, (first, second, third))

    def to(self, device: str) -> TriPlaneNetwork:
        """Return the network with its constants on a device."""
        return TriPlaneNetwork.on(self.grid, device)

    def tensors(self) -> dict[str, Tensor]:
        """Return the grid."""
        return self.grid.tensors()

    def forward(self, weights: Weights, descriptors_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return coordinates (B, 3) and the standard deviation of the votes (B,)."""
        logits_BV = run_trunk(weights, descriptors_BD)
        moments, end = [], 0
        for centers_C4 in self.centers:
            start, end = end, end + len(centers_C4)
            moments.append(torch.softmax(logits_BV[:, start:end], dim=1) @ centers_C4)
        xy, xz, yz = moments
        first = torch.stack([xy[:, 0], xy[:, 1], xz[:, 1]], dim=1)
        second = torch.stack([xz[:, 0], yz[:, 0], yz[:, 1]], dim=1)
        coords_B3 = (first + second) / 2
        squares = (xy[:, 2:].sum(1) + xz[:, 2:].sum(1) + yz[:, 2:].sum(1)) / 2
        variance_B = (squares - coords_B3.square().sum(1)) / 3
        return coords_B3 + self.grid.center(coords_B3), variance_B.clamp(min=0).sqrt()


@dataclass(frozen=True)
class HomogeneousNetwork:
    """HomMLP: an offset from a center as (x, y, z, w), divided by softplus(w) as ACE does.

    It has no hint of its error: all predictions share one.
    """

    center_3: Tensor
    scale_m: Tensor

    def to(self, device: str) -> HomogeneousNetwork:
        """Return the network with its constants on a device."""
        return HomogeneousNetwork(self.center_3.to(device), self.scale_m.to(device))

    @staticmethod
    def around(low_3: Float64Array, high_3: Float64Array) -> HomogeneousNetwork:
        """Return the network whose first guess is the middle of a box, meters."""
        middle, half = (low_3 + high_3) / 2, float(max(np.max(high_3 - low_3) / 2, 0.1))
        return HomogeneousNetwork(torch.tensor(middle, dtype=torch.float32), torch.tensor(half))

    def tensors(self) -> dict[str, Tensor]:
        """Return center and scale."""
        return {"centre": self.center_3, "scale": self.scale_m}

    def forward(self, weights: Weights, descriptors_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return coordinates (B, 3) and zeros (B,)."""
        out_B4 = run_trunk(weights, descriptors_BD)
        w_B1 = torch.nn.functional.softplus(out_B4[:, 3:]) / 0.6931 + _LEAST_SCALE
        coords_B3 = self.center_3 + self.scale_m * out_B4[:, :3] / w_B1
        return coords_B3, torch.zeros_like(coords_B3[:, 0])


def as_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Return what a blob holds as tensors on the CPU."""
    return {name: torch.tensor(array) for name, array in arrays.items()}


def network_from_tensors(
    votes: bool, tensors: dict[str, Tensor]
) -> tuple[SceneNetwork, Weights]:
    """Return a network and its weights in single precision from what a blob holds.

    Args:
        votes: a TriMLP; else a HomMLP.
        tensors: by name.

    Raises:
        MapError: a tensor is missing, or they do not fit together.
    """
    network: SceneNetwork
    if votes:
        grid = Grid.from_tensors(tensors)
        network, outputs = TriPlaneNetwork.on(grid, "cpu"), grid.votes
    else:
        try:
            network, outputs = HomogeneousNetwork(tensors["centre"], tensors["scale"]), 4
        except KeyError as error:
            raise MapError(f"head weights lack {error}: save the map again") from error
    weights = {n: t.float() for n, t in tensors.items() if n[0] in "wb" and n[1:].isdigit()}
    shapes = [weights[f"w{i}"].shape for i in range(len(weights) // 2) if f"w{i}" in weights]
    fits = (len(shapes) > 1 and len(weights) == 2 * len(shapes) and shapes[-1][1] == outputs
            and all(a[1] == b[0] for a, b in zip(shapes, shapes[1:], strict=False))
            and all(f"b{i}" in weights and weights[f"b{i}"].shape == shape[1:]
                    for i, shape in enumerate(shapes)))
    if not fits:
        raise MapError("head weights do not fit together: save the map again")
    return network, weights


def remap_votes(weights: Weights, rows: RowMap, descriptors_MD: Tensor) -> Weights:
    """Return weights for another grid, given how its cells are made of the old ones.

    The vote of a merged cell is the sum of its two, but the logarithm of a sum is not linear in
    the last hidden layer: its weights are fitted to it on descriptors of the map.

    Args:
        weights: for the old grid.
        rows: how cells are kept, merged and added.
        descriptors_MD: (M, D) descriptors that the map has seen.
    """
    last = layers_of(weights)
    W, bias = weights[f"w{last}"], weights[f"b{last}"]
    mix_NC, log_count_N = rows.mix_NC.to(W), rows.log_count_N.to(W)
    new_W, new_bias = W @ mix_NC.T, mix_NC @ bias + log_count_N
    merged = log_count_N > 0
    if merged.any():
        h_MH = run_hidden(weights, descriptors_MD)
        logits_MC = torch.addmm(bias, h_MH, W)
        highest = logits_MC.amax(dim=1, keepdim=True)
        joined = (mix_NC[merged] > 0).to(W)
        votes = torch.exp(logits_MC - highest) @ joined.T
        target = torch.log(votes.clamp(min=1e-12)) + highest
        start = torch.addmm(new_bias[merged], h_MH, new_W[:, merged])
        inputs = torch.cat([h_MH, torch.ones_like(highest)], dim=1)
        gram = inputs.T @ inputs / len(inputs)
        gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
        step = torch.linalg.solve(gram, inputs.T @ (target - start) / len(inputs))
        new_W[:, merged] += step[:-1]
        new_bias[merged] += step[-1]
    new_bias = torch.where(log_count_N.isneginf(), bias.mean() + rows.EMPTY, new_bias)
    return {**weights, f"w{last}": new_W, f"b{last}": new_bias}


def remap_moments(moments: Weights, rows: RowMap) -> Weights:
    """Return optimizer moments for another grid: those of new cells start at zero."""
    last = layers_of(moments)
    changed = dict(moments)
    mix_NC = rows.mix_NC.to(moments[f"w{last}"])
    changed[f"w{last}"] = moments[f"w{last}"] @ mix_NC.T
    changed[f"b{last}"] = mix_NC @ moments[f"b{last}"]
    return changed
