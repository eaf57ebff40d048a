"""When a frame becomes a keyframe, of the tracker itself and of the mapper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.keyframe import Keyframe
from ..data.poses import SubmapPose
from ..geometry.se3 import invert_pose, pose_error
from ..navigation.scanner import Scanner
from ..odometry.local_keyframe import LocalKeyframe

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.features import Features
    from ..data.frame import Frame
    from ..data.poses import AlignedPose, PoseEstimate
    from ..geometry.arrays import Float64Array
    from ..odometry.frame_alignment import FrameAligner
    from ..odometry.local_map import LocalMap
    from ..odometry.local_window import LocalWindow
    from ..odometry.motion_model import Motion
    from .moving_objects import MovingObjects
    from .pose_averaging import PoseAveraging


#: Where keyframes do not hold the camera, this share of the usual distance makes the next one.
_SHARE_UNHELD = 0.4


@dataclass(frozen=True)
class NewKeyframe:
    """A local keyframe that the mapper is to get; `reference` is the id of a mapped neighbor."""

    identifier: int
    frame: Frame
    reference: int | None


class KeyframeMaker:
    """Adds frames to the local map and describes them for the mapper.

    Attributes:
        next_id: of the next keyframe.
        scanner: scans the surroundings of keyframes for the occupancy grid.
    """

    def __init__(
        self, config: SlamConfig, local: LocalMap, aligner: FrameAligner, window: LocalWindow,
        averaging: PoseAveraging, moving: MovingObjects,
    ) -> None:
        self._config = config
        self._local, self._aligner, self._window = local, aligner, window
        self._averaging, self._moving = averaging, moving
        self.scanner = Scanner(config)
        self.begin()

    def begin(self) -> None:
        """Begin with the keyframes of another map."""
        self.next_id = 0
        self.scanner.clear()

    def due(self, frame: Frame, pose: SubmapPose, held: bool) -> float:
        """How far the view is from every local keyframe: 1 and more makes it one, as new texture.

        Keyframes made while poses are averaged are not in the map, so that they do not count
        afterwards. Where keyframes do not hold the camera, the next one is due sooner.

        Args:
            frame, pose: the frame tracked last.
            held: whether keyframes held it well.
        """
        known = self._averaging.first is None and not self._config.localization_only
        newness = self._newness(pose, known) / (1.0 if held else _SHARE_UNHELD)
        return max(newness, 1.0) if self._aligner.brings_texture(frame, pose) else newness

    def _newness(self, pose: SubmapPose, mapped_only: bool) -> float:
        nearest = self._local.nearest(pose, 1, mapped_only)
        if not nearest:
            return math.inf
        keyframe, limits = nearest[0][1], self._config.keyframe
        translation_m, rotation_rad = pose_error(keyframe.T_map_cam, pose.T_map_cam)
        far_m = limits.translation_m * keyframe.median_depth_m
        return float(max(translation_m / far_m, rotation_rad / np.deg2rad(limits.rotation_deg)))

    def add(
        self, frame: Frame, pose: AlignedPose | PoseEstimate, motion: Motion | None, placed: bool
    ) -> NewKeyframe | None:
        """Make the frame a local keyframe; return it when it is for the mapper too.

        The mapper gets it if its pose is well `placed`. Until it is sent it counts as mapped.
        """
        alone = self._local.reference(pose) is None
        reference = self._local.reference(pose, mapped_only=True)
        if not self._add(frame, pose, pose.covariance_66, motion, reference):
            return None
        identifier = self.next_id - 1
        if not placed and alone:
            self._averaging.start(identifier)
        if not placed or self._averaging.first is not None:
            return None
        self._local.mark_mapped(identifier)
        return NewKeyframe(identifier, frame, reference)

    def add_first(self, frame: Frame, pose: SubmapPose) -> NewKeyframe:
        """Make the frame, which `FrameAligner.can_show`, the first of a map or submap."""
        self._add(frame, pose, np.zeros((6, 6)), None, None)
        return NewKeyframe(self.next_id - 1, frame, None)

    def _add(
        self, frame: Frame, pose: SubmapPose, covariance_66: Float64Array, motion: Motion | None,
        keep: int | None,
    ) -> bool:
        """Make the frame a local keyframe; False when it has too few corners with depth.

        Where there are keyframes already, surfaces may stand in for corners. The window then
        fits it and its neighbors to each other.
        """
        if frame.depth_m is None:
            return False
        tracker = self._config.tracker
        pixels, measured = self._aligner.corners(
            frame, pose.T_map_cam, self._moving.standing(pose.submap))
        surface = self._aligner.surface(frame)
        bare = len(pixels) < tracker.min_tracks
        if bare and (not len(self._local) or surface is None or not surface.covers_enough):
            return False
        twist = np.zeros(6) if motion is None else motion.twist_6(pose.T_map_cam)
        added = LocalKeyframe(
            self.next_id, frame.gray, frame.camera, pixels, measured, 1.0 / measured,
            np.array(pose.T_map_cam), covariance_66, twist,
            float(np.median(surface.depths_m if bare and surface else measured)),
            surface, pose.submap)
        self.next_id += 1
        self._local.add(added, keep)
        self._window.begin(added, frame)
        return True

    def for_mapper(self, new: NewKeyframe, features: Features, map_revision: int) -> Keyframe:
        """Return what the mapper gets, placed as the local map knows it now; watch it."""
        self._local.mark_mapped(new.identifier)
        own = self._local[new.identifier]
        reference = None
        if new.reference is not None and new.reference in self._local:
            T_map_ref = self._local[new.reference].T_map_cam
            reference = (new.reference, invert_pose(T_map_ref) @ own.T_map_cam)
        made = self.scanner.scan(new.frame, SubmapPose(own.T_map_cam, submap=own.submap))
        scan, obstacles = (None, None) if made is None else (made.scan, made.obstacles_cam_K3)
        return self._moving.watch(Keyframe.from_features(
            new.identifier, new.frame.stamp_ns, own.T_map_cam, features, new.frame.camera,
            reference, own.submap, map_revision, scan), obstacles)
