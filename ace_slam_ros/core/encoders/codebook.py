"""Visual words of an encoder and the search for a descriptor's nearest ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ..runtime.compiled import AVAILABLE
from .grouped_vectors import GroupedVectors

_PROBES = 4


class Codebook:
    """Words, their coarse groups, and the projection of descriptors around them.

    Part of the encoder: the same for every scene.

    Attributes:
        words_KD: (K, D) float32 unit-norm words.
        projection_DP: (D, P) float32 whitened principal directions of descriptor minus word.
        coarse_GD: (G, D) float32 unit-norm centers of groups of words.
        projected_KP: (K, P) float32 words in the projected directions.
    """

    def __init__(self, words_KD: Tensor, projection_DP: Tensor, coarse_GD: Tensor) -> None:
        self.words_KD, self.projection_DP, self.coarse_GD = words_KD, projection_DP, coarse_GD
        self.projected_KP = words_KD @ projection_DP
        self._groups = GroupedVectors(words_KD, coarse_GD, _PROBES)

    def to(self, device: torch.device) -> Codebook:
        """Return the codebook on a device."""
        return Codebook(self.words_KD.to(device), self.projection_DP.to(device),
                        self.coarse_GD.to(device))

    def nearest(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Return the nearest words (N, neighbors) int64 of the nearest groups, nearest first.

        Only the words of the four nearest groups count, on every device, so that a map means the
        same everywhere. On a CPU that is a sixteenth of the work of looking at every word (and
        three of four descriptors get the same first word); a GPU finishes the whole product
        sooner than many small ones.
        """
        if descriptors_ND.is_cuda or not AVAILABLE:
            return self.nearest_at_once(descriptors_ND, neighbors)
        return torch.from_numpy(
            self._groups.nearest(descriptors_ND.contiguous().numpy(), neighbors))

    def nearest_at_once(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Do as `nearest` in one product with all words, on any device: the slow twin on a CPU."""
        return self._groups.cosines(descriptors_ND).topk(neighbors, dim=1).indices
