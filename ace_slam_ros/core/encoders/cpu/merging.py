"""Weights of the shipped encoder as arrays, and those that follow its convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array

    #: As the file has them, normalization folded, float32 by the names of layers.
    Weights = dict[str, Float32Array]


class Merging:
    """Weights of what follows for each cell alone, transposed.

    Attributes:
        widen, narrow: of the learned features, (inputs, outputs) and bias; a ReLU is between.
        whiten: of the histograms from `at_cells`, and the negative center as bias.
        merge_learned: of the learned features of unit norm, and bias.
        merge_edges: of the whitened histograms of unit norm.
    """

    def __init__(self, weights: Weights) -> None:
        self.widen, self.narrow, self.merge_learned = (
            (_flat(weights[f"{name}.weight"]), weights[f"{name}.bias"])
            for name in ("project.0.0", "project.1", "merge_learned"))
        self.merge_edges = _flat(weights["merge_edges.weight"])
        whiten = [_flat(weights[f"{name}.project.weight"]) for name in ("near", "wide")]
        self.whiten = np.concatenate(whiten), -weights["centre"]


def _flat(weight: Float32Array) -> Float32Array:
    """Return weights as (inputs, outputs), those of a region beside each other."""
    flat = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).T
    return np.ascontiguousarray(flat, np.float32)
