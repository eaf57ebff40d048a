"""Poses with what is known of them: from scene coordinates, and refined against keyframes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..geometry.arrays import Float64Array


@dataclass(frozen=True)
class PoseEstimate:
    """A solved pose.

    Attributes:
        T_map_cam: (4, 4) camera-to-map pose.
        covariance_66: covariance of the pose in the map frame, order x y z, rotation about x y z.
        inliers_N: (N,) bool, features that agree.
        inlier_ratio: share of all features that agree.
        confidence: share of all features that agree beyond chance; wrong poses come to 0.03.
    """

    T_map_cam: Float64Array
    covariance_66: Float64Array
    inliers_N: npt.NDArray[np.bool_]
    inlier_ratio: float
    confidence: float

    @property
    def inlier_count(self) -> int:
        """Number of agreeing features."""
        return int(self.inliers_N.sum())


@dataclass(frozen=True)
class RefinedPose:
    """Result of the refinement: pose, covariance, and how many tracks agree."""

    T_map_cam: Float64Array
    covariance_66: Float64Array
    inliers: int
    tracks: int

    @property
    def held_well(self) -> bool:
        """Whether most tracks agree."""
        return self.inliers > 0.5 * self.tracks
