"""Visual words of an encoder and the search for a descriptor's nearest ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
        # Many small products: NumPy starts each in a fifth of torch's time.
        self._order_K = order_K.cpu().numpy()
        self._sorted_KD = words_KD[order_K].contiguous().cpu().numpy()
        self._coarse_GD = coarse_GD.cpu().numpy()
        self._ends = torch.cumsum(counts, 0).cpu().numpy()

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
        if descriptors_ND.is_cuda:
            return self.nearest_at_once(descriptors_ND, neighbors)
        return self._nearest_by_group(descriptors_ND, neighbors)

    def nearest_at_once(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Do as `nearest` in one product with all words, on any device: the slow twin on a CPU."""
        groups_NG = descriptors_ND @ self.coarse_GD.T
        probed_NM = groups_NG.topk(min(_PROBES, groups_NG.shape[1]), dim=1).indices
        open_NG = torch.zeros_like(groups_NG, dtype=torch.bool).scatter_(1, probed_NM, True)
        similarity_NK = descriptors_ND @ self.words_KD.T
        similarity_NK.masked_fill_(~open_NG[:, self._group_K], -2.0)
        return similarity_NK.topk(neighbors, dim=1).indices

    def _nearest_by_group(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Do as `nearest`, group by group."""
        d_ND = descriptors_ND.numpy()
        groups = len(self._coarse_GD)
        probes = min(_PROBES, groups)
        group_M = np.argpartition(-(d_ND @ self._coarse_GD.T), probes - 1, axis=1)[:, :probes]
        order_M = np.argsort(group_M.reshape(-1), kind="stable")
        queries_MD = d_ND[order_M // probes]
        ends = np.cumsum(np.bincount(group_M.reshape(-1), minlength=groups))
        values = np.full((len(order_M), neighbors), -2.0, np.float32)
        slots = np.zeros((len(order_M), neighbors), np.int64)
        rows_M = np.arange(len(order_M))
        first, word = 0, 0
        for end, word_end in zip(ends, self._ends, strict=True):
            if end > first and word_end > word:
                similarity = queries_MD[first:end] @ self._sorted_KD[word:word_end].T
                found = min(neighbors, word_end - word)
                if found == 1:  # the usual case, without a sort
                    slot = similarity.argmax(axis=1)
                    values[first:end, 0] = similarity[rows_M[:end - first], slot]
                    slots[first:end, 0] = slot + word
                else:
                    sorted_slots = np.argsort(-similarity, axis=1)[:, :found]
                    values[first:end, :found] = np.take_along_axis(similarity, sorted_slots, 1)
                    slots[first:end, :found] = sorted_slots + word
            first, word = end, word_end
        back = np.empty_like(order_M)
        back[order_M] = rows_M
        values = values[back].reshape(len(d_ND), -1)
        slots = slots[back].reshape(len(d_ND), -1)
        best = (values.argmax(axis=1)[:, None] if neighbors == 1
                else np.argsort(-values, axis=1, kind="stable")[:, :neighbors])
        return torch.from_numpy(self._order_K[np.take_along_axis(slots, best, axis=1)])
