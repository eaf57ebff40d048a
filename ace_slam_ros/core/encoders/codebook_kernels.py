"""The compiled search for words: products of descriptors and the words of a few groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..runtime.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..geometry.arrays import Float32Array, Int64Array

#: Less than any key; its position is the first.
_NO_KEY = np.int64(-(2**63))
_LOW_BITS = np.int64(0xFFFFFFFF)


@kernel
def nearest_words(
    descriptors_ND: Float32Array, coarse_DG: Float32Array, by_group: Float32Array,
    order_K: Int64Array, ends_G: Int64Array, probes: int, words_Nk: Int64Array,
) -> None:
    """Write the nearest words of the nearest groups to `words_Nk`, nearest first.

    Args:
        descriptors_ND: (N, D) float32.
        coarse_DG: (D, G) float32 centers of groups.
        by_group: (K D,) float32 words by group, (D, words of the group) each: products with rows
            of it take two thirds of the time of those with columns.
        order_K: (K,) int64 words by group.
        ends_G: (G,) int64 where the words of each group end.
        probes: how many groups count.
        words_Nk: (N, k) int64, the result.
    """
    count, neighbors = words_Nk.shape
    members_M, member_ends_G = _members(descriptors_ND, coarse_DG, probes)
    best_Nk = np.full((count, neighbors), _NO_KEY)
    inputs, most_rows, most_words = descriptors_ND.shape[1], 0, 0
    first, word = 0, 0
    for group in range(len(ends_G)):
        most_rows = max(most_rows, member_ends_G[group] - first)
        most_words = max(most_words, ends_G[group] - word)
        first, word = member_ends_G[group], ends_G[group]
    queries_mD = np.empty((most_rows, inputs), np.float32)
    products = np.empty(most_rows * most_words, np.float32)
    keys_W = np.empty(most_words, np.int64)
    first, word = 0, 0
    for group in range(len(ends_G)):
        rows, size = member_ends_G[group] - first, ends_G[group] - word
        if rows > 0 and size > 0:
            for m in range(rows):
                n = members_M[first + m]
                for k in range(inputs):
                    queries_mD[m, k] = descriptors_ND[n, k]
            similar_mW = products[:rows * size].reshape(rows, size)
            words_DW = by_group[word * inputs:(word + size) * inputs].reshape(inputs, size)
            np.dot(queries_mD[:rows], words_DW, similar_mW)
            bits_mW = similar_mW.view(np.int32)
            for m in range(rows):
                _keep_best(bits_mW, m, word, keys_W, best_Nk, members_M[first + m])
        first, word = member_ends_G[group], ends_G[group]
    for n in range(count):
        for k in range(neighbors):
            words_Nk[n, k] = order_K[best_Nk[n, k] & _LOW_BITS]


@kernel
def _members(
    descriptors_ND: Float32Array, coarse_DG: Float32Array, probes: int
) -> tuple[Int64Array, Int64Array]:
    """Return the descriptors of each group (N probes,), and where those of a group end (G,)."""
    count, groups = len(descriptors_ND), coarse_DG.shape[1]
    bits_NG = np.dot(descriptors_ND, coarse_DG).view(np.int32)
    nearest_Np = np.full((count, probes), _NO_KEY)
    keys_G = np.empty(groups, np.int64)
    sizes_G = np.zeros(groups + 1, np.int64)
    for n in range(count):
        _keep_best(bits_NG, n, 0, keys_G, nearest_Np, n)
        for p in range(probes):
            nearest_Np[n, p] &= _LOW_BITS
            sizes_G[nearest_Np[n, p] + 1] += 1
    place_G = np.cumsum(sizes_G)
    members_M = np.empty(count * probes, np.int64)
    for n in range(count):
        for p in range(probes):
            group = nearest_Np[n, p]
            members_M[place_G[group]] = n
            place_G[group] += 1
    return members_M, place_G[:groups]


@kernel
def _keep_best(
    bits_mW: npt.NDArray[np.int32], m: int, first: int, keys_W: Int64Array,
    best_Nk: Int64Array, n: int,
) -> None:
    """Keep in row n of falling keys the largest of these and of row m.

    A key is in the order of the numbers and ends in 32 bits of position, `first` for the first.
    The largest of integers is found many at once, other than that of numbers that may be NaN.
    """
    width, last = bits_mW.shape[1], best_Nk.shape[1] - 1
    largest = _NO_KEY
    for w in range(width):
        bits = np.int64(bits_mW[m, w])
        # the bits of negative numbers rise as they fall
        key = ((bits ^ ((bits >> 32) & 0x7FFFFFFF)) << 32) | (first + w)
        keys_W[w] = key
        largest = max(largest, key)
    for _ in range(last + 1):
        if largest <= best_Nk[n, last]:
            return
        k = last
        while k > 0 and largest > best_Nk[n, k - 1]:
            best_Nk[n, k] = best_Nk[n, k - 1]
            k -= 1
        best_Nk[n, k] = largest
        keys_W[(largest & _LOW_BITS) - first] = _NO_KEY
        if last > 0:
            largest = _NO_KEY
            for w in range(width):
                largest = max(largest, keys_W[w])
