"""When a lost camera has looked at an unknown place for long enough to begin a submap there."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ...data.submaps import free_submap

if TYPE_CHECKING:
    from ...config.sections import SlamConfig
    from ...data.features import Features
    from ...data.frame import Frame
    from ...heads.base import SceneHead
    from ...odometry.frame_alignment import FrameAligner


class UnknownPlace:
    """Measures for how long a lost camera has seen a place that the map does not know."""

    def __init__(self, config: SlamConfig, aligner: FrameAligner) -> None:
        self._after_s = config.tracker.submap_after_s
        self._min_features = config.solver.min_inliers
        self._never = self._after_s == 0.0 or config.localization_only
        self._aligner = aligner
        self._since_ns: int | None = None

    def clear(self) -> None:
        """Begin anew: the camera was found, or saw nothing that it could be found by."""
        self._since_ns = None

    def new_submap(
        self, frame: Frame, features: Features, head: SceneHead | None, taken: Collection[int]
    ) -> int | None:
        """Note a frame without pose, and say which submap begins with it.

        Args:
            frame, features: what the lost camera sees.
            head: that did not know the place.
            taken: numbers of the submaps there are.

        Returns:
            Number of the new submap; None when it is too early, when the frame could not be
            the first of one (a covered camera, a bare wall), or when there are too many.
        """
        if self._never or head is None or not head.takes_submaps:
            return None
        if features.depth_count < self._min_features or not self._aligner.can_show(frame):
            self.clear()
            return None
        if self._since_ns is None or frame.stamp_ns < self._since_ns:
            self._since_ns = frame.stamp_ns
        if (frame.stamp_ns - self._since_ns) * 1e-9 < self._after_s:
            return None
        return free_submap(taken)
