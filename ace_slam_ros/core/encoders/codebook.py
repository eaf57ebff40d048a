"""Visual words of an encoder and the search for a descriptor's nearest ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..runtime.compiled import AVAILABLE
from .codebook_kernels import nearest_words

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
        self._group_K = (words_KD @ coarse_GD.T).argmax(dim=1)
        order_K = torch.argsort(self._group_K, stable=True)
        counts = torch.bincount(self._group_K, minlength=len(coarse_GD))
        self._order_K = order_K.cpu().numpy()
        self._coarse_DG = np.ascontiguousarray(coarse_GD.cpu().numpy().T)
        self._ends_G = torch.cumsum(counts, 0).cpu().numpy()
        groups = np.split(words_KD[order_K].cpu().numpy(), self._ends_G[:-1])
        self._by_group = np.concatenate([words_WD.T.reshape(-1) for words_WD in groups])

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
        words_Nk = np.empty((len(descriptors_ND), neighbors), np.int64)
        nearest_words(
            descriptors_ND.contiguous().numpy(), self._coarse_DG, self._by_group, self._order_K,
            self._ends_G, min(_PROBES, len(self._ends_G)), words_Nk)
        return torch.from_numpy(words_Nk)

    def nearest_at_once(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Do as `nearest` in one product with all words, on any device: the slow twin on a CPU."""
        groups_NG = descriptors_ND @ self.coarse_GD.T
        probed_NM = groups_NG.topk(min(_PROBES, groups_NG.shape[1]), dim=1).indices
        open_NG = torch.zeros_like(groups_NG, dtype=torch.bool).scatter_(1, probed_NM, True)
        similarity_NK = descriptors_ND @ self.words_KD.T
        similarity_NK.masked_fill_(~open_NG[:, self._group_K], -2.0)
        return similarity_NK.topk(neighbors, dim=1).indices
