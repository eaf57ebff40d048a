"""The frame before as a keyframe of its own: what holds a camera while keyframes do not.

In a fast turn a frame is blurred like the one before and unlike every keyframe, and a place that
is entered in it has no keyframes yet. The frame before also tells turns where nothing has depth.
At half their size they have half the blur and half the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..data.poses import AlignedPose
from ..data.submaps import corrected
from ..geometry.se3 import pose_error
from .flow.corners import detect_corners
from .local_keyframe import LocalKeyframe

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, TrackerConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..data.poses import PoseEstimate, SubmapPose
    from ..data.submaps import SubmapMotions
    from ..geometry.arrays import Float32Array, Float64Array
    from .frame_alignment import FrameAligner
    from .motion_model import Motion

#: Standard deviation of the guessed depth of a corner where none is measured, as a share of it.
_GUESS_SHARE = 0.4
#: A camera that repeats its picture for longer may as well stand still.
_LONGEST_STALL_S = 0.25
#: A camera that went less far from picture to picture stood still.
_LEAST_WAY_M, _LEAST_TURN_RAD = 0.0005, np.deg2rad(0.05)
#: A step that differs more from the predicted one, in standard deviations, tells no velocity.
_STEADY_SIGMAS = 3.0


@dataclass(frozen=True)
class _Remembered:
    """A frame, its pose, and its motion from the one before."""

    frame: Frame
    pose: AlignedPose | PoseEstimate
    motion: Motion | None


class PreviousFrame:
    """Aligns a frame with the one before.

    Corners are detected when they are needed, in the frame before: while keyframes hold the
    camera this costs nothing.
    """

    def __init__(
        self, tracker: TrackerConfig, sensor: SensorConfig, aligner: FrameAligner
    ) -> None:
        self._tracker, self._sensor, self._aligner = tracker, sensor, aligner
        self._identifier = 0
        self.clear()

    def clear(self) -> None:
        """Forget it."""
        self._last: _Remembered | None = None
        self._came: Frame | None = None
        self._keyframes: dict[Camera, LocalKeyframe] = {}

    def remember(
        self, frame: Frame, pose: AlignedPose | PoseEstimate, motion: Motion | None
    ) -> None:
        """Take a frame with its pose."""
        self._last, self._keyframes = _Remembered(frame, pose, motion), {}

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map."""
        if self._last is not None:
            pose = corrected(self._last.pose, motions)
            self._last, self._keyframes = replace(self._last, pose=pose, motion=None), {}

    def bridge(self, frame: Frame, motion: Motion) -> None:
        """Take a frame that could not be followed, as if the camera had gone on as before.

        Two frames of one blur are alike, and the next one may be followed from it.
        """
        if self._last is not None:
            self.remember(frame, _gone_on(self._last.pose, motion), motion)

    def stalled(self, frame: Frame, motion: Motion | None) -> AlignedPose | None:
        """Return the pose of a frame that repeats the picture before it, of a camera that moves.

        A driver that has no new picture in time, as in dim light, sends the last one with a new
        stamp. The camera is then assumed to have gone on as before. Where depth repeats as well,
        the camera stands: in a simulator pictures of one place are the same.

        Args:
            frame: as it came, every frame.
            motion: up to it, None where that is not known.

        Returns:
            The pose; None for a new picture, where the camera stood or did not move as predicted,
            and where the picture has stalled for too long to tell.
        """
        before, self._came, last = self._came, frame, self._last
        if (before is None or last is None or last.motion is None or motion is None
                or motion.elapsed_s > _LONGEST_STALL_S
                or not frame.repeats_only_picture_of(before)):
            return None
        gone_m, gone_rad = pose_error(motion.T_map_cam, motion.T_predicted)
        off_m, off_rad = pose_error(last.motion.T_predicted, last.pose.T_map_cam)
        sigma_6 = _STEADY_SIGMAS * last.motion.sigma_6
        stood = gone_m < _LEAST_WAY_M and gone_rad < _LEAST_TURN_RAD
        if stood or off_m > sigma_6[0] or off_rad > sigma_6[3]:
            return None
        return _gone_on(last.pose, motion)

    def align(
        self, frame: Frame, seed: SubmapPose, motion: Motion | None, wide: bool = False
    ) -> AlignedPose | None:
        """Follow the corners of the frame before into a frame and solve its pose.

        Args:
            frame: the new image and depth.
            seed: guess of its pose.
            motion: from the last pose.
            wide: search four times as far.

        Returns:
            The pose, whose covariance has that of the frame before in it; None when too few
            tracks agree, or the frame before is of another camera or submap.
        """
        last = self._last
        if last is None or last.pose.submap != seed.submap or last.frame.camera != frame.camera:
            return None
        found = self._align(last, frame, seed, motion, wide)
        if found is None or not found.held_well:
            half = _Remembered(last.frame.half, last.pose, last.motion)
            found = self._align(half, frame.half, seed, motion, wide) or found
        return found

    def _align(
        self, last: _Remembered, frame: Frame, seed: SubmapPose, motion: Motion | None, wide: bool
    ) -> AlignedPose | None:
        keyframe = self._keyframes.get(frame.camera)
        if keyframe is None:
            keyframe = self._keyframes[frame.camera] = self._describe(last)
        return self._aligner.align_with([keyframe], frame, seed, motion, wide, sure=False)[0]

    def _describe(self, last: _Remembered) -> LocalKeyframe:
        """Return the frame before as a keyframe; corners without depth get one that is unsure."""
        frame, pose = last.frame, last.pose
        pixels = detect_corners(frame.gray, self._tracker.track_points)
        pixels = pixels[frame.shows(pixels)]
        measured = self._aligner.depth(frame, pixels).astype(np.float64)
        known = np.isfinite(measured)
        depth = measured if known.all() else np.where(
            known, measured, self._guessed(frame, pose, pixels, measured[known]))
        twist = np.zeros(6) if last.motion is None else last.motion.twist_6(pose.T_map_cam)
        self._identifier -= 1  # local keyframes have none below zero
        made = LocalKeyframe(
            self._identifier, frame.gray, frame.camera, pixels, depth, 1.0 / depth,
            np.array(pose.T_map_cam), pose.covariance_66, twist,
            float(np.median(depth)) if len(depth) else 1.0,
            self._aligner.surface(frame), pose.submap)
        made.narrowed_n = np.where(
            known, 1.0, _GUESS_SHARE * depth / self._sensor.depth_sigma_m(depth))
        return made

    def _guessed(
        self, frame: Frame, pose: SubmapPose, pixels_n2: Float32Array, measured_m: Float64Array
    ) -> Float64Array:
        """Guess depth (n,) at pixels: as in the rest of the image, else as the map is there."""
        if len(measured_m):
            return np.full(len(pixels_n2), np.median(measured_m))
        return self._aligner.depth_in_map(frame.camera, pose, pixels_n2)


def _gone_on(pose: AlignedPose | PoseEstimate, motion: Motion) -> AlignedPose:
    """Return the pose of a camera that has gone on as before."""
    covariance_66 = pose.covariance_66 + np.diag(motion.sigma_6**2)
    return AlignedPose(motion.T_predicted, covariance_66, 0, 0, submap=pose.submap)
