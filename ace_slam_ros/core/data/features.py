"""Image features of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array


@dataclass(frozen=True)
class Features:
    """Image features of one frame.

    Attributes:
        descriptors_ND: (N, D) float32, unit norm.
        pixels_N2: (N, 2) float32 undistorted pixel of each feature.
        points_cam_N3: (N, 3) float32 camera-frame points in meters; NaN rows where the frame has
            no depth (RGB-only queries).
    """

    descriptors_ND: Float32Array
    pixels_N2: Float32Array
    points_cam_N3: Float32Array

    def __len__(self) -> int:
        return len(self.descriptors_ND)

    @property
    def depth_count(self) -> int:
        """Number of features with depth."""
        return int(np.isfinite(self.points_cam_N3[:, 2]).sum())

    def pick(self, which_N: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Features:
        """Return some of the features, by mask or index."""
        return Features(self.descriptors_ND[which_N], self.pixels_N2[which_N],
                        self.points_cam_N3[which_N])

    def share(self, share: float) -> Features:
        """Return an evenly spread share of the features, all of them for 1."""
        if share >= 1.0:
            return self
        count = round(share * len(self))
        return self.pick((np.arange(count) * (len(self) / max(count, 1))).astype(np.int64))
