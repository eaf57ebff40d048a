"""When a lost camera has looked at an unknown place for long enough to go on there."""

from __future__ import annotations

from collections.abc import Collection

from ..config.sections import SlamConfig
from ..data.features import Features
from ..data.frame import Frame
from ..data.submaps import free_segment
from ..heads.base import SceneHead
from ..odometry.local_map import LocalMap


class UnknownPlace:
    """Measures for how long a lost camera has seen a place that the map does not know."""

    def __init__(self, config: SlamConfig) -> None:
        self._after_s = config.tracker.segment_after_s
        self._min_features = config.solver.min_inliers
        self._never = self._after_s == 0.0 or config.ros.mode == "localization"
        self._since_ns: int | None = None

    def clear(self) -> None:
        """Begin anew: the camera was found, or saw nothing that it could be found by."""
        self._since_ns = None

    def new_segment(
        self, frame: Frame, features: Features, head: SceneHead | None, local: LocalMap,
        taken: Collection[int],
    ) -> int | None:
        """Note a frame without pose, and say which segment begins with it.

        Args:
            frame, features: what the lost camera sees.
            head: that did not know the place.
            local: which the frame would join.
            taken: numbers of the segments that the mapper knows; those of the local map, which it
                may not have got yet, count as well.

        Returns:
            Number of the new segment; None when it is too early, when the frame could not be
            the first of one (a covered camera, a bare wall), or when there are too many.
        """
        if self._never or head is None or not head.takes_segments:
            return None
        if features.depth_count < self._min_features or not local.can_show(frame):
            self.clear()
            return None
        if self._since_ns is None or frame.stamp_ns < self._since_ns:
            self._since_ns = frame.stamp_ns
        if (frame.stamp_ns - self._since_ns) * 1e-9 < self._after_s:
            return None
        return free_segment(local.segments.union(taken))
