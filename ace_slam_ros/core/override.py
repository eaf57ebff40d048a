"""When a scene-coordinate pose is believed: against a tracked one, and by a lost camera."""

from __future__ import annotations

from .config import TrackerConfig
from .geometry import pose_error
from .refinement.pose import RefinedPose
from .solver import PoseEstimate

#: Drift of a tracked camera, as a share of its way; a few times what tracking shows.
_DRIFT_SHARE = 0.05


def found_again(
    raw: PoseEstimate, refined: RefinedPose | None, tracker: TrackerConfig
) -> bool:
    """Tell whether a lost camera is where scene coordinates say.

    Image tracks from keyframes near there decide, where they can be followed: between views of one
    place three quarters agree, between places that look alike a third. They prove a pose that few
    scene coordinates support, and disprove one that is not `tracker.override_ratio` sure.

    Args:
        raw: the scene-coordinate pose.
        refined: refined from it, None where no local keyframe is near or tracks were too few.
        tracker: limits.
    """
    return (refined is None or raw.inlier_ratio >= tracker.override_ratio
            or refined.held_well)


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
    return not refined.held_well or gap_m < tracker.override_m + _DRIFT_SHARE * travelled_m
