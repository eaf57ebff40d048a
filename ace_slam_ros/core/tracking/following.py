"""Following a camera from image to image: by keyframes, by the frame before, or by a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config.sections import TrackerConfig
    from ..data.frame import Frame
    from ..data.poses import AlignedPose, PoseEstimate, SubmapPose
    from ..odometry.frame_alignment import FrameAligner
    from ..odometry.motion_model import Motion, MotionModel
    from ..odometry.previous_frame import PreviousFrame
    from .scheduler import Scheduler


class Following:
    """Aligns frames with what was seen before.

    Attributes:
        by_keyframes: whether keyframes held the camera well in the last frame that was followed.
    """

    def __init__(
        self, config: TrackerConfig, aligner: FrameAligner, previous: PreviousFrame,
        model: MotionModel, scheduler: Scheduler,
    ) -> None:
        self._refine = config.refine
        self._aligner, self._previous = aligner, previous
        self._model, self._scheduler = model, scheduler
        self.by_keyframes = False

    def align(
        self, frame: Frame, seed: SubmapPose, motion: Motion | None, wide: bool = False
    ) -> AlignedPose | None:
        """Align a frame with the keyframes near a pose; see `FrameAligner.align`."""
        if not self._refine:
            return None
        return self._aligner.align(
            frame, seed, motion, wide=wide, thorough=self._scheduler.thorough)

    def follow(
        self, frame: Frame, predicted: SubmapPose, motion: Motion | None
    ) -> AlignedPose | None:
        """Align with keyframes; where these do not hold the camera, by way of the frame before."""
        aligned = self.align(frame, predicted, motion)
        self.by_keyframes = aligned is not None and aligned.held_well
        if self.by_keyframes or not self._refine:
            return aligned
        stepped = self._previous.align(frame, predicted, motion)
        if stepped is None or not stepped.held_well:
            return aligned
        again = self.align(frame, stepped, motion)
        self.by_keyframes = again is not None and again.held_well
        return again if self.by_keyframes else stepped

    def search(
        self, frame: Frame, predicted: SubmapPose | None, motion: Motion | None
    ) -> AlignedPose | None:
        """Look around for a camera that moved otherwise than predicted.

        It went on as before, stopped, or is where the frame before can be followed to; what most
        tracks agree with counts. One that was not seen for a moment (covered, shaken, held up) is
        followed from where it was last, if tracks hold it well there.
        """
        if not self._refine:
            return None
        if predicted is None:
            return self._return(frame, motion)
        seeds = [predicted]
        if self._model.last is not None:
            seeds.append(self._model.last.pose)
        found = [self.align(frame, seed, motion, wide=True) for seed in seeds]
        found.append(self._previous.align(frame, seeds[-1], motion, wide=True))
        return max((f for f in found if f is not None), key=_tracks, default=None)

    def _return(self, frame: Frame, motion: Motion | None) -> AlignedPose | None:
        """Follow a camera that was not seen for a moment from where it was last."""
        near = self._model.nearby(frame.stamp_ns)
        there = None if near is None else self.align(frame, near, motion, wide=True)
        if there is not None and not there.held_well:
            there = self.align(frame, there, motion)
        return there if there is not None and there.held_well else None

    def stalled(self, frame: Frame, motion: Motion | None) -> AlignedPose | None:
        """Return where a camera is that repeats its picture; see `PreviousFrame.stalled`."""
        may_go_on = self._refine and not self._model.is_guess
        return self._previous.stalled(frame, motion if may_go_on else None)

    def step_off(
        self, frame: Frame, pose: AlignedPose | PoseEstimate, motion: Motion | None
    ) -> None:
        """Take a frame with its pose: the next one may be followed from it."""
        self._previous.remember(frame, pose, motion)

    def bridge(self, frame: Frame, motion: Motion | None) -> None:
        """Take a frame without pose, soon after one with a pose; see `PreviousFrame.bridge`."""
        if motion is not None:
            self._previous.bridge(frame, motion)
            self._model.is_guess = True


def _tracks(aligned: AlignedPose) -> int:
    return aligned.inliers
