"""Keyframes that began with one scene-coordinate pose, moved towards the mean of many.

A camera that is found where no local keyframe is has nothing else to start from. What it follows
from there on keeps the error of that one pose, which the poses of later frames average out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..geometry.se3 import exp_se3, invert_pose, log_se3, pose_error

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.poses import AlignedPose, PoseEstimate
    from ..odometry.local_map import LocalMap

_FRAMES = 60
_LEAST_GAIN = 0.02


class PoseAveraging:
    """Shifts the local keyframes since the first one that hangs on a single pose.

    In a map that is only localized in, it never ends.

    Attributes:
        first: id of that keyframe, None when all are placed.
    """

    def __init__(self, config: SlamConfig, local: LocalMap) -> None:
        self._config, self._local = config, local
        self.clear()

    def clear(self) -> None:
        """Leave all keyframes where they are."""
        self.first: int | None = None
        self._frames = 0

    def start(self, identifier: int) -> None:
        """Begin at a keyframe."""
        self.first, self._frames = identifier, 0

    def average(self, raw: PoseEstimate, aligned: AlignedPose) -> None:
        """Use what scene coordinates say of a frame that was aligned with these keyframes."""
        if self.first is None or raw.submap != aligned.submap:
            return
        gap_m = pose_error(raw.T_map_cam, aligned.T_map_cam)[0]
        if gap_m >= self._config.tracker.override_m:
            return
        self._frames += 1
        gain = max(1.0 / (1 + self._frames), _LEAST_GAIN)
        correction = exp_se3(gain * log_se3(raw.T_map_cam @ invert_pose(aligned.T_map_cam)))
        self._local.shift(correction, self.first)
        if self._frames > _FRAMES and not self._config.localization_only:
            self.first = None
