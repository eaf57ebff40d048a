"""When a scene-coordinate pose is believed: against a tracked one, and by a lost camera."""

from __future__ import annotations

from .config import TrackerConfig
from .geometry import Float64Array, pose_error
from .refinement.pose import RefinedPose
from .solver import PoseEstimate

#: Drift of a tracked camera, as a share of its way; a few times what tracking shows.
_DRIFT_SHARE = 0.05


def reachable(
    raw: PoseEstimate, predicted: Float64Array, tracker: TrackerConfig, travelled_m: float
) -> bool:
    """Tell whether a camera just tracked can be where scene coordinates say.

    Farther from the prediction than `tracker.override_m` and its drift, they see another place
    that looks the same: a camera that was carried there is lost for a moment first.
    """
    gap_m = pose_error(predicted, raw.T_map_cam)[0]
    return gap_m < _explained_m(tracker, travelled_m)


def found_again(
    raw: PoseEstimate, refined: RefinedPose | None, disagree: bool, tracker: TrackerConfig
) -> bool:
    """Tell whether a lost camera is where scene coordinates say.

    Image tracks from keyframes near there decide, where they can be followed: between views of one
    place three quarters agree, between places that look alike a third. They prove a pose that few
    scene coordinates support, and disprove one that is not `tracker.override_ratio` sure.

    Args:
        raw: the scene-coordinate pose.
        refined: refined from it, None where too few tracks agree.
        disagree: many were followed from local keyframes near there, and too few agree.
        tracker: limits.
    """
    if raw.inlier_ratio >= tracker.override_ratio:
        return True
    return not disagree if refined is None else refined.held_well


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
