"""Which pose is believed: the one tracked by images, or the one from scene coordinates.

Pure functions judge what both say; `PoseSelection` finds the pose that the verdict asks for, and
`Recovery` adds up the looks of a lost camera.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from ..geometry.se3 import pose_error
from ..localization.rivals import rivals

if TYPE_CHECKING:
    from ..config.sections import TrackerConfig
    from ..data.frame import Frame
    from ..data.poses import AlignedPose, PoseEstimate, SubmapPose
    from ..localization.localizer import Localizer
    from ..odometry.frame_alignment import FrameAligner
    from ..odometry.motion_model import Motion, MotionModel
    from .following import Following

#: Drift of a tracked camera, as a share of its way; a few times what tracking shows.
_DRIFT_SHARE = 0.05


class Verdict(enum.Enum):
    """What is to be done to find the pose of a frame."""

    KEEP = "the pose aligned from the prediction is right"
    SEARCH = "nothing is known: search around where the camera should be, or was last"
    VERIFY = "the camera may be elsewhere: hold the scene-coordinate pose against keyframes there"
    REPLACE = "align from the scene-coordinate pose"
    COMPARE = "align from the scene-coordinate pose as well, and take the better one"


def judge(
    raw: PoseEstimate | None, aligned: AlignedPose | None, predicted: SubmapPose | None,
    limits: TrackerConfig, traveled_m: float, *, is_unsure: bool,
) -> Verdict:
    """Tell how the pose of a frame is found.

    Args:
        raw: from scene coordinates; None when they gave none, or were not asked.
        aligned: by image tracks from the prediction; None when too few agree.
        predicted: where the camera should be; None when that is not known.
        limits: thresholds.
        traveled_m: way since the start, by which a tracked camera may have drifted.
        is_unsure: the pose goes back to one that is too old to go by, or was only guessed.
    """
    if raw is None:
        return Verdict.SEARCH if aligned is None else Verdict.KEEP
    if aligned is None:
        if is_unsure:
            return Verdict.VERIFY
        if predicted is not None and not reachable(raw, predicted, limits, traveled_m):
            return Verdict.SEARCH
        return Verdict.REPLACE
    if overrides(raw, aligned, limits, traveled_m):
        return Verdict.REPLACE
    if is_unsure and _contradicts(raw, aligned, limits):
        return Verdict.VERIFY
    # after a jerk, tracks may agree by chance
    return Verdict.KEEP if aligned.held_well else Verdict.COMPARE


def reachable(
    raw: PoseEstimate, predicted: SubmapPose, limits: TrackerConfig, traveled_m: float
) -> bool:
    """Tell whether a camera just tracked can be where scene coordinates say.

    Farther from the prediction than `tracker.override_m` and its drift, they see another place
    that looks the same: a camera that was carried there is lost for a moment first.
    """
    return _gap_m(predicted, raw) < _explained_m(limits, traveled_m)


def overrides(
    raw: PoseEstimate, aligned: AlignedPose, limits: TrackerConfig, traveled_m: float
) -> bool:
    """Tell whether a sure scene-coordinate pose is to be believed instead of the aligned one.

    They must disagree by more than `tracker.override_m`. A camera that image tracks hold well
    cannot be farther off than it drifted on its way: what the head says beyond that comes from
    another place that looks the same, such as the next of many equal doors.
    """
    if not _contradicts(raw, aligned, limits):
        return False
    return not aligned.held_well or _gap_m(aligned, raw) < _explained_m(limits, traveled_m)


def confirms(raw: PoseEstimate, pose: SubmapPose, limits: TrackerConfig) -> bool:
    """Tell whether a sure scene-coordinate pose is where the camera is tracked."""
    return raw.inlier_ratio > limits.override_ratio and _gap_m(pose, raw) <= limits.override_m


def _contradicts(raw: PoseEstimate, aligned: AlignedPose, limits: TrackerConfig) -> bool:
    return raw.inlier_ratio > limits.override_ratio and _gap_m(aligned, raw) > limits.override_m


def _gap_m(one: SubmapPose, other: SubmapPose) -> float:
    """Distance of two poses; infinite between submaps, whose places are not known."""
    return math.inf if one.submap != other.submap else pose_error(
        one.T_map_cam, other.T_map_cam)[0]


def _explained_m(limits: TrackerConfig, traveled_m: float) -> float:
    """How far scene coordinates may be from a tracked camera that drifted on its way."""
    return limits.override_m + _DRIFT_SHARE * traveled_m


class Recovery:
    """Whether a lost camera is where scene coordinates say, by what its images show.

    Corners of keyframes near there decide, where they can be followed: between views of one place
    three quarters agree, between places that look alike a third, and now and then more than half.
    Looks of successive frames therefore count together, each half as much as the next one.
    """

    def __init__(self, limits: TrackerConfig) -> None:
        self._limits = limits
        self.clear()

    def clear(self) -> None:
        """Forget earlier looks."""
        self._agreed, self._followed = 0.0, 0.0

    def found(self, raw: PoseEstimate, aligned: AlignedPose | None, followed: int) -> bool:
        """Tell whether a lost camera is where a look of the head says.

        Tracks prove a pose that few scene coordinates support. They disprove one that is not
        `tracker.override_ratio` sure, or any when they are so many that the view is near: from
        farther away, tracks of the right place disagree too.

        Args:
            raw: the scene-coordinate pose.
            aligned: from it, by image tracks; None where too few agree.
            followed: tracks in all, agreeing or not.
        """
        self._agreed = 0.5 * self._agreed + (0 if aligned is None else aligned.inliers)
        self._followed = 0.5 * self._followed + followed
        limits = self._limits
        comparable = aligned is not None or self._followed >= 2 * limits.min_tracks
        if not comparable or self._agreed > 0.5 * self._followed:
            return True
        return raw.inlier_ratio >= limits.override_ratio and followed < limits.track_points


class PoseSelection:
    """Finds the pose of a frame from what was tracked and what scene coordinates say.

    Attributes:
        rival: why the last look of a lost camera was refused although it gave a pose, one
            sentence; empty = no other place looked alike.
    """

    rival = ""

    def __init__(
        self, limits: TrackerConfig, aligner: FrameAligner, following: Following,
        model: MotionModel, localizer: Localizer,
    ) -> None:
        self._limits, self._aligner = limits, aligner
        self._following, self._model = following, model
        self._localizer = localizer
        self._recovery = Recovery(limits)

    def clear(self) -> None:
        """Forget the looks of a lost camera."""
        self._recovery.clear()

    def select(
        self, frame: Frame, predicted: SubmapPose | None, aligned: AlignedPose | None,
        raw: PoseEstimate | None, motion: Motion | None,
    ) -> tuple[AlignedPose | None, PoseEstimate | None]:
        """Choose between the pose aligned from the prediction and one from scene coordinates.

        Returns:
            The aligned pose, and the scene-coordinate pose if it is to be believed.
        """
        limits, self.rival = self._limits, ""
        was_lost = self._model.age_s(frame.stamp_ns) > limits.lost_after_s
        verdict = judge(raw, aligned, predicted, limits, self._model.traveled_m,
                        is_unsure=was_lost or self._model.is_guess)
        if raw is None or verdict is Verdict.SEARCH:
            return aligned or self._following.search(frame, predicted, motion), None
        if verdict is Verdict.VERIFY:
            there, followed = None, 0
            if limits.refine:
                there, followed = self._aligner.compare(frame, raw, motion)
            found = self._recovery.found(raw, there, followed)
            if found and (believed := self._told_apart(raw, there, predicted)) is not None:
                self._model.is_guess = False
                return there, believed
            return aligned or self._following.search(frame, predicted, motion), None
        if verdict is Verdict.REPLACE:
            aligned = self._following.align(frame, raw, None)
        elif verdict is Verdict.COMPARE and aligned is not None:
            other = self._following.align(frame, raw, None) or aligned
            aligned = max(aligned, other, key=lambda pose: pose.inliers)
        if confirms(raw, raw if aligned is None else aligned, limits):
            self._model.is_guess = False
        return aligned, raw

    def _told_apart(
        self, raw: PoseEstimate, there: AlignedPose | None, predicted: SubmapPose | None
    ) -> PoseEstimate | None:
        """Choose among places that look alike for a camera that no images of the place hold.

        The nearer to the prediction is right. Without one there is no pose, as the relocalizer
        answers AMBIGUOUS, nor one that rests on little, all in one plane, or that another
        place makes less likely than `tracker.lost_probability`: who is wrong here goes on wrong.
        """
        if there is not None:
            return raw
        other = self._localizer.rival(raw)
        if other is None or not rivals(raw, other):
            if predicted is None and self._localizer.is_flat(raw):
                self.rival = ("the little that is recognized lies in one plane, and walls look "
                              "alike: move on, or give the initial pose")
                return None
            if predicted is None and self._localizer.is_contested(
                    self._limits.lost_probability):
                self.rival = (
                    f"the best pose is only {100 * self._localizer.support.probability:.0f} % "
                    "likely, since another place looks much alike: move on, or give the initial "
                    "pose")
                return None
            return raw
        if predicted is not None:
            return min(raw, other, key=lambda pose: _gap_m(predicted, pose))
        apart_m, _ = pose_error(raw.T_map_cam, other.T_map_cam)
        self.rival = (f"another place, {apart_m:.1f} m away, looks alike: move on, or give the "
                      "initial pose")
        return None
