"""Unit vectors in groups around centers, and the search for those most like a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .codebook_kernels import nearest_words

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Int64Array

#: Cosine with a vector of a group that is not searched: less than any.
NOTHING = -2.0


class GroupedVectors:
    """Vectors by the center that each is most like; only the groups next to a query are searched.

    Args:
        vectors_KD: (K, D) float32 unit-norm vectors.
        centers_GD: (G, D) float32 unit-norm centers, on the same device.
        probes: how many groups are searched.

    Attributes:
        first: the vector that `nearest` names where the groups searched hold fewer than wanted.
    """

    def __init__(self, vectors_KD: Tensor, centers_GD: Tensor, probes: int) -> None:
        self._vectors_KD, self._centers_GD = vectors_KD, centers_GD
        self._probes = min(probes, len(centers_GD))
        known_KD = vectors_KD.cpu().numpy()
        self._centers_DG = np.ascontiguousarray(centers_GD.cpu().numpy().T)
        group_K = np.argmax(known_KD @ self._centers_DG, axis=1)
        self._group_K = torch.from_numpy(group_K).to(vectors_KD.device)
        self._order_K = np.argsort(group_K, kind="stable")
        self._ends_G = np.cumsum(np.bincount(group_K, minlength=len(centers_GD)))
        groups = np.split(known_KD[self._order_K], self._ends_G[:-1])
        self._by_group = np.concatenate([vectors_WD.T.reshape(-1) for vectors_WD in groups])
        self.first = int(self._order_K[0]) if len(self._order_K) else 0

    def nearest(self, queries_ND: Float32Array, count: int) -> Int64Array:
        """Return the vectors (N, count) int64 most like each query, the likest first; on a CPU."""
        found_Nk = np.empty((len(queries_ND), count), np.int64)
        nearest_words(queries_ND, self._centers_DG, self._by_group, self._order_K, self._ends_G,
                      self._probes, found_Nk)
        return found_Nk

    def cosines(self, queries_ND: Tensor) -> Tensor:
        """Return the cosines (N, K) with all vectors, `NOTHING` where they are not searched.

        The largest of a row are what `nearest` finds: its slow twin, on any device.
        """
        groups_NG = queries_ND @ self._centers_GD.T
        probed_Np = groups_NG.topk(self._probes, dim=1).indices
        open_NG = torch.zeros_like(groups_NG, dtype=torch.bool).scatter_(1, probed_Np, True)
        cosine_NK = queries_ND @ self._vectors_KD.T
        return cosine_NK.masked_fill_(~open_NG[:, self._group_K], NOTHING)
