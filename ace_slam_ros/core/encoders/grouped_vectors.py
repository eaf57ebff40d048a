"""Unit vectors in groups around centers, and the search for those most like a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.compiled import AVAILABLE
from .codebook_kernels import nearest_words

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Int64Array

#: Cosine with a vector of a group that is not searched: less than any.
NOTHING = -2.0


class GroupedVectors:
    """Vectors by the center that each is most like; only the groups next to a query are searched.

    Args:
        vectors_KD: (K, D) float32 unit-norm vectors.
        centers_GD: (G, D) float32 unit-norm centers.
        probes: how many groups are searched.

    Attributes:
        group_K: (K,) int64 group of each vector.
        first: the vector that `nearest` names where the groups searched hold fewer than wanted.
    """

    def __init__(
        self, vectors_KD: Float32Array, centers_GD: Float32Array, probes: int
    ) -> None:
        self._vectors_KD = vectors_KD
        self._probes = min(probes, len(centers_GD))
        self._centers_DG = np.ascontiguousarray(centers_GD.T)
        self.group_K = np.argmax(vectors_KD @ self._centers_DG, axis=1)
        self._order_K = np.argsort(self.group_K, kind="stable")
        self._ends_G = np.cumsum(np.bincount(self.group_K, minlength=len(centers_GD)))
        groups = np.split(vectors_KD[self._order_K], self._ends_G[:-1])
        self._by_group = np.concatenate([vectors_WD.T.reshape(-1) for vectors_WD in groups])
        self.first = int(self._order_K[0]) if len(self._order_K) else 0

    def nearest(self, queries_ND: Float32Array, count: int) -> Int64Array:
        """Return the vectors (N, count) int64 most like each query, the likest first."""
        if not AVAILABLE:
            return self.nearest_twin(queries_ND, count)
        found_Nk = np.empty((len(queries_ND), count), np.int64)
        nearest_words(queries_ND, self._centers_DG, self._by_group, self._order_K, self._ends_G,
                      self._probes, found_Nk)
        return found_Nk

    def nearest_twin(self, queries_ND: Float32Array, count: int) -> Int64Array:
        """Do as `nearest` in one product with all vectors: the slow twin."""
        cosine_NK = self.cosines(queries_ND)
        found_Nk = np.argsort(-cosine_NK, axis=1, kind="stable")[:, :count]
        found_Nk[np.take_along_axis(cosine_NK, found_Nk, axis=1) <= NOTHING] = self.first
        return found_Nk

    def cosines(self, queries_ND: Float32Array) -> Float32Array:
        """Return the cosines (N, K) with all vectors, `NOTHING` where they are not searched."""
        groups_NG = queries_ND @ self._centers_DG
        open_NG = np.zeros(groups_NG.shape, bool)
        probed_Np = np.argsort(-groups_NG, axis=1, kind="stable")[:, :self._probes]
        np.put_along_axis(open_NG, probed_Np, True, axis=1)
        return np.where(
            open_NG[:, self.group_K], queries_ND @ self._vectors_KD.T, np.float32(NOTHING))
