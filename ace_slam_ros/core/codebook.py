"""Visual words of an encoder and the search for a descriptor's nearest ones."""

from __future__ import annotations

import torch
from torch import Tensor

_PROBES = 4


class Codebook:
    """Words, their coarse groups, and the projection of descriptors around them.

    Part of the encoder: the same for every scene.

    Attributes:
        words_KD: (K, D) float32 unit-norm words.
        projection_DP: (D, P) float32 whitened principal directions of descriptor minus word.
        coarse_GD: (G, D) float32 unit-norm centres of groups of words.
    """

    def __init__(self, words_KD: Tensor, projection_DP: Tensor, coarse_GD: Tensor) -> None:
        self.words_KD, self.projection_DP, self.coarse_GD = words_KD, projection_DP, coarse_GD
        group_K = (words_KD @ coarse_GD.T).argmax(dim=1)
        self._order_K = torch.argsort(group_K, stable=True)
        self._sorted_KD = words_KD[self._order_K].contiguous()
        counts = torch.bincount(group_K, minlength=len(coarse_GD))
        self._ends: list[int] = torch.cumsum(counts, 0).tolist()

    def to(self, device: torch.device) -> Codebook:
        """Return the codebook on a device."""
        return Codebook(self.words_KD.to(device), self.projection_DP.to(device),
                        self.coarse_GD.to(device))

    def nearest(self, descriptors_ND: Tensor, neighbours: int) -> Tensor:
        """Return the nearest words (N, neighbours) int64, nearest first.

        On a CPU only the words of the four nearest groups are looked at: a sixteenth of the work
        of `nearest_exhaustive`, and the same first word for nearly nine of ten descriptors. A GPU
        finishes the whole product sooner than the many small ones.
        """
        if descriptors_ND.is_cuda:
            return self.nearest_exhaustive(descriptors_ND, neighbours)
        probes = min(_PROBES, len(self.coarse_GD))
        group_M = (descriptors_ND @ self.coarse_GD.T).topk(probes, dim=1).indices.reshape(-1)
        order_M = torch.argsort(group_M, stable=True)
        queries_MD = descriptors_ND[order_M // probes]
        ends = torch.cumsum(torch.bincount(group_M, minlength=len(self.coarse_GD)), 0).tolist()
        values = torch.full((len(order_M), neighbours), -2.0)
        slots = torch.zeros((len(order_M), neighbours), dtype=torch.int64)
        first, word = 0, 0
        for end, word_end in zip(ends, self._ends, strict=True):
            if end > first and word_end > word:
                similarity = queries_MD[first:end] @ self._sorted_KD[word:word_end].T
                found = min(neighbours, word_end - word)
                value, slot = (similarity.max(dim=1, keepdim=True) if found == 1
                               else similarity.topk(found, dim=1))  # max is quicker than topk
                values[first:end, :found] = value
                slots[first:end, :found] = slot + word
            first, word = end, word_end
        back = torch.empty_like(order_M)
        back[order_M] = torch.arange(len(order_M))
        values = values[back].reshape(len(descriptors_ND), -1)
        slots = slots[back].reshape(len(descriptors_ND), -1)
        return self._order_K[slots.gather(1, values.topk(neighbours, dim=1).indices)]

    def nearest_exhaustive(self, descriptors_ND: Tensor, neighbours: int) -> Tensor:
        """Slow twin of `nearest` that looks at every word."""
        return (descriptors_ND @ self.words_KD.T).topk(neighbours, dim=1).indices
