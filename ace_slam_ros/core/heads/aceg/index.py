"""Finds the tokens that look most like a descriptor, in the groups of tokens nearest to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...encoders.grouped_vectors import NOTHING, GroupedVectors

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Int64Array

#: Groups of tokens that are searched, of the codebook's.
PROBES = 16
_ROUNDING = 1e-4


class TokenIndex:
    """Tokens by the codebook's coarse group that each is nearest to.

    Args:
        keys_TK: (T, K) float32 unit-norm keys of the tokens, on the CPU.
        coarse_GK: (G, K) float32 unit-norm centers of groups.
    """

    def __init__(self, keys_TK: Float32Array, coarse_GK: Float32Array) -> None:
        self._keys_TK = keys_TK
        self._groups = GroupedVectors(keys_TK, coarse_GK, PROBES)

    def __len__(self) -> int:
        return len(self._keys_TK)

    def nearest(self, queries_NK: Float32Array, count: int) -> tuple[Int64Array, Float32Array]:
        """Return the tokens (N, count) most like each query, and their cosines, falling.

        Where there are fewer in the groups, the cosine is `NOTHING` and the token any.
        """
        if not len(self):
            return (np.zeros((len(queries_NK), count), np.int64),
                    np.full((len(queries_NK), count), NOTHING, np.float32))
        token_Nk = self._groups.nearest(np.ascontiguousarray(queries_NK), min(count, len(self)))
        cosine_Nk = np.einsum(
            "nd,nkd->nk", queries_NK, self._keys_TK[token_Nk]).astype(np.float32)
        for k in range(1, token_Nk.shape[1]):  # slots without a token repeat any one
            idle_N = ((token_Nk[:, :k] == token_Nk[:, k, None]).any(axis=1)
                      | (cosine_Nk[:, k] > cosine_Nk[:, k - 1] + _ROUNDING))
            cosine_Nk[idle_N, k] = NOTHING
        room = ((0, 0), (0, count - token_Nk.shape[1]))
        return np.pad(token_Nk, room), np.pad(cosine_Nk, room, constant_values=NOTHING)
