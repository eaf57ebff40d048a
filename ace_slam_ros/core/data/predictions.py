"""Scene coordinates as heads predict them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array


@dataclass(frozen=True)
class Predictions:
    """Scene coordinates of N features, several hypotheses each.

    Attributes:
        coords_map_NS3: (N, S, 3) float32 meters in the map frame.
        sigma_m_NS: (N, S) float32 standard deviation per axis, meters; inf where there is none.
        submap_NS: (N, S) uint8 submap in whose frame a coordinate is; None = all in the map
            itself, submap 0.
    """

    coords_map_NS3: Float32Array
    sigma_m_NS: Float32Array
    submap_NS: npt.NDArray[np.uint8] | None = None


def no_predictions(count: int) -> Predictions:
    """Return `count` features without any hypothesis."""
    return Predictions(np.zeros((count, 1, 3), np.float32),
                       np.full((count, 1), np.inf, np.float32))
