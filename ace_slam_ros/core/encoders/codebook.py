"""Visual words of an encoder and the search for a descriptor's nearest ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .grouped_vectors import GroupedVectors

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..geometry.arrays import Float32Array, Int64Array

#: Groups of words that are searched. Only these count, on every device, so that a map means the
#: same everywhere; on a CPU that is a sixteenth of the work of looking at every word, and three of
#: four descriptors get the same first word.
PROBES = 4


class Codebook:
    """Words, their coarse groups, and the projection of descriptors around them.

    Part of the encoder: the same for every scene. Arrays on the CPU; `TorchCodebook` is the same
    for tensors on any device.

    Attributes:
        words_KD: (K, D) float32 unit-norm words.
        projection_DP: (D, P) float32 whitened principal directions of descriptor minus word.
        coarse_GD: (G, D) float32 unit-norm centers of groups of words.
        projected_KP: (K, P) float32 words in the projected directions.
        group_K: (K,) int64 group of each word.
    """

    def __init__(
        self, words_KD: npt.ArrayLike, projection_DP: npt.ArrayLike, coarse_GD: npt.ArrayLike
    ) -> None:
        """Take arrays, or tensors on the CPU."""
        self.words_KD = np.ascontiguousarray(words_KD, np.float32)
        self.projection_DP = np.ascontiguousarray(projection_DP, np.float32)
        self.coarse_GD = np.ascontiguousarray(coarse_GD, np.float32)
        self.projected_KP = self.words_KD @ self.projection_DP
        self._groups = GroupedVectors(self.words_KD, self.coarse_GD, PROBES)
        self.group_K = self._groups.group_K

    def nearest(self, descriptors_ND: Float32Array, neighbors: int) -> Int64Array:
        """Return the nearest words (N, neighbors) int64 of the nearest groups, nearest first."""
        return self._groups.nearest(descriptors_ND, neighbors)
