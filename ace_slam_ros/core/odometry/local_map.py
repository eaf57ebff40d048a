"""Local keyframes and the seeded refinement: image tracks with depth against recent places.

The images live only in the tracker's memory, bounded, and are never saved or sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..config.sections import KeyframeConfig, SensorConfig, TrackerConfig
from ..data.frame import Frame
from ..data.poses import RefinedPose
from ..data.submaps import segment_of
from ..geometry.arrays import Float32Array, Float64Array
from ..geometry.se3 import invert_pose, pose_error, transform_points
from ..geometry.views import most_redundant_view
from .corners import CornerMotion, contrast, detect_corners
from .frame_alignment import LocalSight, Seen
from .local_keyframe import LocalKeyframe, Track
from .local_window import Unadjusted, Unlinked, WindowAdjustment
from .motion_model import Motion
from .pose_optimization import carried
from .surface_alignment import Surface, align_surface

_REFERENCES = 2
_LEAST_TRACKS_OF_A_LINK, _LINKS_PER_STEP = 12, 2
_MAX_KEYFRAMES = 120
#: Views farther apart than this (translation over depth plus 1.5 x radians) share too little.
LARGEST_VIEW_DISTANCE = 1.2
#: Tells which map points (n, 3) stand still as far as is known.
Standing = Callable[[Float64Array], npt.NDArray[np.bool_]]


class LocalMap:
    """Bounded set of local keyframes that a frame is refined against."""

    def __init__(self, tracker: TrackerConfig, sensor: SensorConfig) -> None:
        self._tracker, self._sensor = tracker, sensor
        self._keyframes: dict[int, LocalKeyframe] = {}
        self._pending: Unadjusted | None = None
        self._sight = LocalSight(sensor, tracker.min_tracks)

    def __len__(self) -> int:
        return len(self._keyframes)

    def clear(self) -> None:
        """Forget all keyframes."""
        self._keyframes.clear()
        self._sight.clear()
        self._pending = None

    @property
    def segments(self) -> set[int]:
        """Segments of the map that there are keyframes in."""
        return {segment_of(k.T_map_cam) for k in self._keyframes.values()}

    def pose(self, identifier: int) -> Float64Array:
        """Pose (4, 4) of a keyframe as known now."""
        return self._keyframes[identifier].T_map_cam

    def shift(self, T_44: Float64Array, first: int) -> None:
        """Move the keyframes with id >= `first` rigidly: T_map_cam becomes T_44 @ T_map_cam."""
        self._restart_window()
        for keyframe in self._keyframes.values():
            if keyframe.id >= first:
                keyframe.T_map_cam = T_44 @ keyframe.T_map_cam

    def correct(self, poses: dict[int, Float64Array]) -> dict[int, Float64Array]:
        """Move the keyframes to where the mapper corrected them.

        What the window adjustment found since the mapper got a keyframe stays. A keyframe that
        the mapper does not name (it is too new, or was dropped) moves along with the one made
        before it in the same segment.

        Args:
            poses: keyframe id -> corrected T_map_cam (4, 4).

        Returns:
            By segment, as it was before: (4, 4) motion of its newest keyframe in the map frame,
            T_map_cam becomes T @ T_map_cam.
        """
        self._restart_window()
        motions: dict[int, Float64Array] = {}
        for identifier in sorted(self._keyframes):
            keyframe = self._keyframes[identifier]
            segment = segment_of(keyframe.T_map_cam)
            if identifier in poses and keyframe.T_mapped is not None:
                motions[segment] = poses[identifier] @ invert_pose(keyframe.T_mapped)
            motion = motions.get(segment, np.eye(4))
            keyframe.T_map_cam = motion @ keyframe.T_map_cam
            if keyframe.T_mapped is not None:  # the mapper will do so when it gets it
                keyframe.T_mapped = motion @ keyframe.T_mapped
        return motions

    def mark_mapped(self, identifier: int) -> None:
        """Note that the mapper gets a keyframe with its present pose."""
        keyframe = self._keyframes[identifier]
        keyframe.T_mapped = keyframe.T_map_cam.copy()

    def add(
        self, identifier: int, frame: Frame, T_map_cam: Float64Array,
        covariance_66: Float64Array, motion: Motion | None = None,
        standing: Standing | None = None, keep: int | None = None,
    ) -> bool:
        """Make the frame a local keyframe; False when it has too few corners with depth.

        Where there are keyframes already, surfaces may stand in for corners. `adjust` then fits
        it and its neighbors to each other, and does what is left for the one before. `standing`
        tells which corners are of things that do not move; `keep` is a keyframe that must not go
        for the new one.
        """
        if frame.depth_m is None:
            return False
        pixels, measured = self._corners(frame, T_map_cam, standing)
        surface = None
        if self._tracker.surfaces:
            surface = Surface.of(frame.depth_m, frame.camera, self._sensor)
        bare = len(pixels) < self._tracker.min_tracks
        if bare and (not self._keyframes or surface is None or not surface.covers_enough):
            return False
        twist = np.zeros(6) if motion is None else motion.twist_6(T_map_cam)
        added = LocalKeyframe(
            identifier, frame.gray, frame.camera, pixels, measured, 1.0 / measured,
            np.array(T_map_cam), covariance_66, twist,
            float(np.median(surface.depths_m if bare and surface else measured)),
            contrast(frame.gray, pixels), surface)
        self._keyframes[identifier] = added
        if len(self._keyframes) > _MAX_KEYFRAMES:
            self._cull(keep)
        if self._tracker.window > 0:
            near = [k for distance, k in self.nearest(T_map_cam, self._tracker.window + 1)
                    if distance < LARGEST_VIEW_DISTANCE and k.camera == frame.camera]
            new = [Unlinked(k, added, frame) for k in near if k is not added]
            self._pending = Unadjusted({k.id for k in near}, self._left() + new)
        return True

    def can_show(self, frame: Frame) -> bool:
        """Whether a frame has the corners of a keyframe: a covered camera or bare wall has not."""
        return len(self._corners(frame)[0]) >= self._tracker.min_tracks

    def _corners(
        self, frame: Frame, T_map_cam: Float64Array | None = None,
        standing: Standing | None = None,
    ) -> tuple[Float32Array, Float64Array]:
        """Corners (n, 2) with depth, the best ones spread over the image, and the depth (n,)."""
        pixels = detect_corners(frame.gray, 2 * self._tracker.track_points)
        depth = self._sight.depth(frame, pixels)
        good = np.flatnonzero(np.isfinite(depth))
        if T_map_cam is not None and standing is not None:
            in_cam = frame.camera.unproject(
                pixels[good].astype(np.float64), depth[good].astype(np.float64))
            good = good[standing(transform_points(T_map_cam, in_cam))]
        good = good[: self._tracker.track_points]
        return pixels[good], depth[good].astype(np.float64)

    def corner_motion(self, identifier: int) -> CornerMotion | None:
        """What became of a keyframe's corners; None when it is no local keyframe."""
        keyframe = self._keyframes.get(identifier)
        return None if keyframe is None else keyframe.corner_motion

    def leave_movers(self, T_map_cam: Float64Array, standing: Standing) -> None:
        """Follow no more what has gone from where the keyframe nearest to a pose saw it."""
        for _, keyframe in self.nearest(T_map_cam, 1):
            keyframe.stands_n &= standing(self._sight.points(keyframe))

    def adjust(self) -> None:
        """Adjust the window around the newest keyframe, if that is still to be done."""
        while self._pending is not None:
            self.adjust_step()

    @property
    def next_step(self) -> str:
        """Stage that `adjust_step` would work at: link or adjust; empty when nothing is left."""
        if self._pending is None:
            return ""
        return "link" if self._pending.unlinked else "adjust"

    def adjust_step(self) -> None:
        """Do a part of `adjust`: compare the newest keyframe with some others, or iterate."""
        if (pending := self._pending) is None:
            return
        if pending.unlinked:
            for pair in pending.unlinked[:_LINKS_PER_STEP]:
                self._link(pair)
            del pending.unlinked[:_LINKS_PER_STEP]
            return
        if pending.window is None:
            pending.window = WindowAdjustment(
                self._keyframes, pending.near, self._sensor, self._sight.shutter.readout_s)
        if not pending.window.step():
            self._pending = None

    def _left(self) -> list[Unlinked]:
        """Return the pairs that an adjustment under way leaves to the next one."""
        if self._pending is not None and len(self._pending.unlinked) > self._tracker.window:
            self.adjust()
        return [] if self._pending is None else [
            pair for pair in self._pending.unlinked
            if pair.host.id in self._keyframes and pair.other.id in self._keyframes]

    def _link(self, pair: Unlinked) -> None:
        """Find the corners of a keyframe in another one."""
        index, pixels = self._sight.find(
            pair.host, self._sight.points(pair.host), pair.frame, pair.other.T_map_cam)
        if len(index) >= _LEAST_TRACKS_OF_A_LINK:
            pair.host.tracks[pair.other.id] = Track(
                index, pixels, self._sight.depth(pair.frame, pixels))

    def _restart_window(self) -> None:
        """Let an adjustment that is under way begin anew: it started from other poses."""
        if self._pending is not None:
            self._pending.window = None

    def _cull(self, keep: int | None) -> None:
        """Drop the keyframe nearest to another one, never `keep` or one of the ten newest."""
        others = [i for i in self._keyframes if i != keep]
        poses = np.stack([self._keyframes[i].T_map_cam for i in others])
        victim = others[most_redundant_view(poses, newest=10)]
        del self._keyframes[victim]
        for keyframe in self._keyframes.values():
            keyframe.tracks.pop(victim, None)

    def distance(self, keyframe: LocalKeyframe, T_map_cam: Float64Array) -> float:
        """View distance: translation over depth plus rotation in radians, 0 = same view."""
        apart = keyframe.T_map_cam[:3, 3] - T_map_cam[:3, 3]
        trace = float(np.vdot(keyframe.T_map_cam[:3, :3], T_map_cam[:3, :3]))
        rotation_rad = math.acos(min(max((trace - 1.0) / 2.0, -1.0), 1.0))
        return math.sqrt(float(apart @ apart)) / keyframe.median_depth_m + 1.5 * rotation_rad

    def nearest(
        self, T_map_cam: Float64Array, count: int, mapped_only: bool = False
    ) -> list[tuple[float, LocalKeyframe]]:
        """Return the `count` keyframes with the most similar view, nearest first."""
        ranked = sorted(
            ((self.distance(k, T_map_cam), k) for k in self._keyframes.values()
             if k.T_mapped is not None or not mapped_only),
            key=lambda pair: (pair[0], pair[1].id))
        return ranked[:count]

    def reference(self, T_map_cam: Float64Array, mapped_only: bool = False) -> int | None:
        """Return the keyframe that a pose is refined against, None when all are too far."""
        nearest = self.nearest(T_map_cam, 1, mapped_only)
        return nearest[0][1].id if nearest and nearest[0][0] < LARGEST_VIEW_DISTANCE else None

    def is_new_view(
        self, T_map_cam: Float64Array, limits: KeyframeConfig, mapped_only: bool
    ) -> bool:
        """Whether a view is so far from the nearest keyframe's that it should become one."""
        nearest = self.nearest(T_map_cam, 1, mapped_only)
        if not nearest:
            return True
        translation_m, rotation_rad = pose_error(nearest[0][1].T_map_cam, T_map_cam)
        far_m = limits.translation_m * nearest[0][1].median_depth_m
        return bool(translation_m >= far_m or rotation_rad >= np.deg2rad(limits.rotation_deg))

    def refine(
        self, frame: Frame, T_seed: Float64Array, motion: Motion | None = None,
        wide: bool = False, thorough: bool = True,
    ) -> RefinedPose | None:
        """Follow the corners of the nearest keyframes into the frame and solve its pose.

        Args:
            frame: the new image and depth.
            T_seed: (4, 4) camera-to-map guess.
            motion: from the last pose, None when that is too old to tell the velocity.
            wide: search four times as far, for a seed that may be off by a tenth of the image.
            thorough: use two keyframes; one takes little more than half the time.

        Returns:
            The pose, whose covariance has that of the nearest keyframe in it, or None when fewer
            than `tracker.min_tracks` tracks agree.
        """
        return self.compare(frame, T_seed, motion, wide, thorough)[0]

    def compare(
        self, frame: Frame, T_seed: Float64Array, motion: Motion | None, wide: bool = False,
        thorough: bool = True,
    ) -> tuple[RefinedPose | None, int]:
        """Do as `refine`; return as well how many corners were followed, agreeing or not."""
        seen, host = self._look(frame, T_seed, wide, _REFERENCES if thorough else 1)
        if host is None or len(seen) < self._tracker.min_tracks:
            return None, len(seen)
        solved = self._sight.solve(frame, T_seed, motion, seen)
        return None if solved is None else _in_map(solved, host), len(seen)

    def align(self, frame: Frame, T_seed: Float64Array) -> RefinedPose | None:
        """Align the frame's surfaces with those of the nearest keyframe, for want of texture.

        Args:
            frame: the new image and depth.
            T_seed: (4, 4) camera-to-map guess.

        Returns:
            As `refine`; None when surfaces and the tracks there are do not determine the pose.
        """
        if not self._tracker.surfaces or frame.depth_m is None:
            return None
        seen, host = self._look(frame, T_seed)
        if host is None or host.surface is None or host.camera != frame.camera:
            return None
        aligned = align_surface(
            T_seed, Surface.of(frame.depth_m, frame.camera, self._sensor), host.surface,
            host.T_map_cam, seen.sightings, frame.camera, self._sensor)
        return None if aligned is None else _in_map(aligned, host)

    def brings_texture(self, frame: Frame, T_map_cam: Float64Array) -> bool:
        """Whether a frame has the corners that the keyframe nearest to its pose lacks."""
        nearest = self.nearest(T_map_cam, 1)
        if not nearest or len(nearest[0][1].pixels_n2) >= self._tracker.min_tracks:
            return False
        return len(self._corners(frame)[0]) >= 2 * self._tracker.min_tracks

    def _look(
        self, frame: Frame, T_seed: Float64Array, wide: bool = False, count: int = _REFERENCES
    ) -> tuple[Seen, LocalKeyframe | None]:
        """Find the corners of the nearest keyframes in the frame.

        Returns:
            What was found, and the nearest keyframe, None when all are too far.
        """
        near = [k for distance, k in self.nearest(T_seed, count)
                if distance < LARGEST_VIEW_DISTANCE
                and k.gray.shape == frame.gray.shape]  # the driver may change profile
        return self._sight.find_all(near, frame, T_seed, wide), near[0] if near else None


def _in_map(refined: RefinedPose, host: LocalKeyframe) -> RefinedPose:
    """Add the covariance of the keyframe a pose was refined against."""
    of_map_66 = carried(host.covariance_66, refined.T_map_cam[:3, 3] - host.T_map_cam[:3, 3])
    return replace(refined, covariance_66=refined.covariance_66 + of_map_66)
