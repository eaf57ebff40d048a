"""Movers by their motion in the image: what corners that move tell of the features near them.

Somebody who turns on the spot before a wall is never seen through. But the corners there do not
go where the camera's motion takes what stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .geometry import Float64Array
from .keyframe import Float32Array

#: A corner that was followed less often tells nothing: a sixth of a second at 30 Hz.
_LEAST_FOLLOWED = 5
#: Of the frames it was followed into, a mover disagrees with the pose in most, what stands in few.
_MOVING_SHARE, _STANDING_SHARE = 0.5, 0.25
#: Parts of a body that are closer move together: a hand's length.
_NEAR_M = 0.15
#: A single corner that goes astray is no mover.
_LEAST_MOVING = 2


@dataclass(frozen=True)
class CornerMotion:
    """Corners of a keyframe and what became of them in later frames; counts grow in place.

    Attributes:
        points_cam_n3: (n, 3) in the keyframe's camera, metres.
        followed_n: into how many frames they were followed.
        astray_n: in how many of these they disagreed with the pose.
    """

    points_cam_n3: Float64Array
    followed_n: npt.NDArray[np.int32]
    astray_n: npt.NDArray[np.int32]

    @classmethod
    def of(cls, points_cam_n3: Float64Array) -> CornerMotion:
        """Return the corners of a new keyframe, followed into no frame yet."""
        count = len(points_cam_n3)
        return cls(points_cam_n3, np.zeros(count, np.int32), np.zeros(count, np.int32))

    def note(self, index_m: npt.NDArray[np.int64], agrees_m: npt.NDArray[np.bool_]) -> None:
        """Count corners (m,) that were followed into a frame, and which disagree there."""
        self.followed_n[index_m] += 1
        self.astray_n[index_m] += ~agrees_m

    def moving_near(self, points_cam_N3: Float32Array) -> npt.NDArray[np.bool_]:
        """Return which points (N, 3) are on a mover: more corners near them move than stand.

        None are when more of all corners move than stand: then the keyframe's pose is wrong.
        """
        known = self.followed_n >= _LEAST_FOLLOWED
        share = self.astray_n / np.maximum(self.followed_n, 1)
        moving = self.points_cam_n3[known & (share > _MOVING_SHARE)]
        standing = self.points_cam_n3[known & (share < _STANDING_SHARE)]
        found_N = np.zeros(len(points_cam_N3), bool)
        if not _LEAST_MOVING <= len(moving) <= len(standing):
            return found_N
        moves_N = _count_near(points_cam_N3, moving)
        some = np.flatnonzero(moves_N >= _LEAST_MOVING)
        found_N[some] = moves_N[some] > _count_near(points_cam_N3[some], standing)
        return found_N


def _count_near(points_N3: Float32Array, corners_m3: Float64Array) -> npt.NDArray[np.int64]:
    """Count the corners near each point."""
    apart = points_N3[:, None] - corners_m3[None]
    return np.asarray((np.square(apart).sum(axis=2) < _NEAR_M**2).sum(axis=1), np.int64)
