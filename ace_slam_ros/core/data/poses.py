"""Poses with what is known of them: from scene coordinates, and aligned with keyframes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array


@dataclass(frozen=True)
class SubmapPose:
    """A camera pose.

    Attributes:
        T_map_cam: (4, 4) camera-to-map pose, in the frame of the submap.
        submap: number of the submap, 0 = the map itself; see `data.submaps`.
    """

    T_map_cam: Float64Array
    submap: int = field(default=0, kw_only=True)


Pose = TypeVar("Pose", bound=SubmapPose)


@dataclass(frozen=True)
class PoseEstimate(SubmapPose):
    """A pose solved from scene coordinates.

    Attributes:
        covariance_66: covariance of the pose in the map frame, order x y z, rotation about x y z.
        inliers_N: (N,) bool, features that agree.
        inlier_ratio: share of all features that agree.
        confidence: share of all features that agree beyond chance; wrong poses come to 0.03.
        spread: median distance of what agrees from where it was predicted, across the line of
            sight, over what depth noise and a centimeter bring; of pixels alone, in pixels.
    """

    covariance_66: Float64Array
    inliers_N: npt.NDArray[np.bool_]
    inlier_ratio: float
    confidence: float
    spread: float = 1.0

    @property
    def inlier_count(self) -> int:
        """Number of agreeing features."""
        return int(self.inliers_N.sum())


class Support(NamedTuple):
    """What speaks for a pose from scene coordinates, in figures for people; zeros without one.

    Attributes:
        inlier_ratio: share of all features that agree.
        inlier_count: their number.
        probability: that it is within 10 cm and 5 degrees of the truth.
    """

    inlier_ratio: float = 0.0
    inlier_count: int = 0
    probability: float = 0.0


@dataclass(frozen=True)
class AlignedPose(SubmapPose):
    """A pose from alignment with keyframes: its covariance, and how many tracks agree."""

    covariance_66: Float64Array
    inliers: int
    tracks: int

    @property
    def held_well(self) -> bool:
        """Whether most tracks agree."""
        return self.inliers > 0.5 * self.tracks
