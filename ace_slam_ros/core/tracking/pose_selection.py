"""When a scene-coordinate pose is believed: against a tracked one, and by a lost camera."""

from __future__ import annotations

from ..config.sections import TrackerConfig
from ..data.poses import PoseEstimate, RefinedPose
from ..geometry.arrays import Float64Array
from ..geometry.se3 import pose_error

#: Drift of a tracked camera, as a share of its way; a few times what tracking shows.
_DRIFT_SHARE = 0.05


def reachable(
    raw: PoseEstimate, predicted: Float64Array, tracker: TrackerConfig, traveled_m: float
) -> bool:
    """Tell whether a camera just tracked can be where scene coordinates say.

    Farther from the prediction than `tracker.override_m` and its drift, they see another place
    that looks the same: a camera that was carried there is lost for a moment first.
    """
    gap_m = pose_error(predicted, raw.T_map_cam)[0]
    return gap_m < _explained_m(tracker, traveled_m)


class Recovery:
    """Whether a lost camera is where scene coordinates say, by what its images show.

    Corners of keyframes near there decide, where they can be followed: between views of one place
    three quarters agree, between places that look alike a third, and now and then more than half.
    Looks of successive frames therefore count together, each half as much as the next one.
    """

    def __init__(self, tracker: TrackerConfig) -> None:
        self._tracker = tracker
        self.clear()

    def clear(self) -> None:
        """Forget earlier looks."""
        self._agreed, self._followed = 0.0, 0.0

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
    raw: PoseEstimate, refined: RefinedPose, tracker: TrackerConfig, traveled_m: float
) -> bool:
    """Tell whether a sure scene-coordinate pose is to be believed instead of the refined one.

    They must disagree by more than `tracker.override_m`. A camera that image tracks hold well
    cannot be farther off than it drifted on its way: what the head says beyond that comes from
    another place that looks the same, such as the next of many equal doors.
    """
    gap_m = pose_error(refined.T_map_cam, raw.T_map_cam)[0]
    if gap_m <= tracker.override_m or raw.inlier_ratio <= tracker.override_ratio:
        return False
    return not refined.held_well or gap_m < _explained_m(tracker, traveled_m)


def _explained_m(tracker: TrackerConfig, traveled_m: float) -> float:
    """How far scene coordinates may be from a tracked camera that drifted on its way."""
    return tracker.override_m + _DRIFT_SHARE * traveled_m
