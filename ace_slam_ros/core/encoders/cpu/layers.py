"""The layers of the shipped encoder on a CPU, in whichever library runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array

#: Channels of what `fine` and `middle` give.
WIDTH = 64


class Layers(ABC):
    """`EncoderNetwork` in three parts: two for an image, one for chosen cells.

    Attributes:
        runtime: the library and its version.
    """

    runtime: str

    @abstractmethod
    def fine(self, pixels: Float32Array, out: Float32Array) -> None:
        """Compute features of all cells.

        Args:
            pixels: (2 h + 2, 2 w + 2, 16) float32 from `blocks_of`.
            out: (h + 2, w + 2, WIDTH) float32 is filled with the features, those of a mirrored
                border of one cell around them.
        """

    @abstractmethod
    def middle(self, fine: Float32Array, out: Float32Array) -> None:
        """Compute their context.

        Args:
            fine: from `fine`.
            out: (h / 2, w / 2, WIDTH) float32 is filled with what is to be upsampled and added.
        """

    def rows(self, count: int) -> int:
        """Return how many rows `merge` is to be given for some cells; the last may be spare."""
        return count

    @abstractmethod
    def merge(self, learned_MC: Float32Array, edges_ME: Float32Array) -> Float32Array:
        """Return (M, D) float32 descriptors of unit norm.

        Args:
            learned_MC: features with their context.
            edges_ME: histograms from `at_cells`.
        """
