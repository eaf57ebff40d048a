"""When a scene-coordinate pose is believed: against a tracked one, and by a lost camera."""

from __future__ import annotations

import numpy as np

from .config import TrackerConfig
from .geometry import Float64Array, pose_error
from .refinement.pose import RefinedPose
from .segments import segment_of
from .solver import PoseEstimate

#: Drift of a tracked camera, as a share of its way; a few times what tracking shows.
_DRIFT_SHARE = 0.05
#: A camera lost for longer has moved away from where it was (half a metre, or a right angle).
_NEARBY_NS = 1_000_000_000


def reachable(
    raw: PoseEstimate, predicted: Float64Array, tracker: TrackerConfig, travelled_m: float
) -> bool:
    """Tell whether a camera just tracked can be where scene coordinates say.

    Farther from the prediction than `tracker.override_m` and its drift, they see another place
    that looks the same: a camera that was carried there is lost for a moment first.
    """
    gap_m = pose_error(predicted, raw.T_map_cam)[0]
    return gap_m < _explained_m(tracker, travelled_m)


class Recovery:
    """Where a lost camera is: where it was lost, or where scene coordinates say.

    Corners of keyframes near there decide, where they can be followed: between views of one place
    three quarters agree, between places that look alike a third, and now and then more than half.
    Looks of successive frames therefore count together, each half as much as the next one.
    """

    def __init__(self, tracker: TrackerConfig) -> None:
        self._tracker = tracker
        self.clear()

    def clear(self) -> None:
        """Forget earlier looks, and where the camera was."""
        self._agreed, self._followed = 0.0, 0.0
        self._seen: tuple[int, Float64Array] | None = None

    def seen(self, stamp_ns: int, T_map_cam: Float64Array) -> None:
        """Note when and where (4, 4) the camera is known to be."""
        self.clear()
        self._seen = (stamp_ns, T_map_cam)

    def nearby(self, stamp_ns: int) -> Float64Array | None:
        """Where (4, 4) the camera was seen last, while it may still be near there."""
        if self._seen is None or not 0 < stamp_ns - self._seen[0] <= _NEARBY_NS:
            return None
        return self._seen[1]

    def correct(self, motions: dict[int, Float64Array]) -> None:
        """Follow a correction of the map: (4, 4) motions by segment, as `LocalMap.correct`."""
        if self._seen is not None:
            stamp_ns, pose = self._seen
            self._seen = (stamp_ns, motions.get(segment_of(pose), np.eye(4)) @ pose)

    def found(self, raw: PoseEstimate, refined: RefinedPose | None, followed: int) -> bool:
        """Tell whether a lost camera is where a look of the head says.

        Tracks prove a pose that few scene coordinates support. They disprove one that is not
        `tracker.override_ratio` sure, or any when they are so many that the view is near: from
        farther away, tracks of the right place disagree too.

        Args:
            raw: the scene-coordinate pose.
            refined: refined from it, None where too few tracks agree.
            followed: tracks in all, agreeing or not.
        """
        self._agreed = 0.5 * self._agreed + (0 if refined is None else refined.inliers)
        self._followed = 0.5 * self._followed + followed
        limits = self._tracker
        comparable = refined is not None or self._followed >= 2 * limits.min_tracks
        if not comparable or self._agreed > 0.5 * self._followed:
            return True
        return raw.inlier_ratio >= limits.override_ratio and followed < limits.track_points


def overrides(
    raw: PoseEstimate, refined: RefinedPose, tracker: TrackerConfig, travelled_m: float
) -> bool:
    """Tell whether a sure scene-coordinate pose is to be believed instead of the refined one.

    They must disagree by more than `tracker.override_m`. A camera that image tracks hold well
    cannot be farther off than it drifted on its way: what the head says beyond that comes from
    another place that looks the same, such as the next of many equal doors.
    """
    gap_m = pose_error(refined.T_map_cam, raw.T_map_cam)[0]
    if gap_m <= tracker.override_m or raw.inlier_ratio <= tracker.override_ratio:
        return False
    return not refined.held_well or gap_m < _explained_m(tracker, travelled_m)


def _explained_m(tracker: TrackerConfig, travelled_m: float) -> float:
    """How far scene coordinates may be from a tracked camera that drifted on its way."""
    return tracker.override_m + _DRIFT_SHARE * travelled_m
