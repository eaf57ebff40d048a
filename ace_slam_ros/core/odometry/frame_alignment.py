"""Alignment of a frame with local keyframes: by their corners in it, or by surfaces."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.depth.sampling import point_depth
from ..geometry.arrays import Float32Array, Float64Array, Int64Array
from ..geometry.se3 import invert_pose, transform_points, transport_covariance
from .flow.corners import detect_corners, spread
from .flow.optical_flow import Followed, Template, follow
from .local_keyframe import expect
from .local_map import LARGEST_VIEW_DISTANCE, LocalMap
from .motion_model import doubted
from .pose_optimization import optimize_pose
from .residuals import NEAREST_M, Sightings
from .rolling_shutter import RollingShutter
from .surface_alignment import Surface, align_surface

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, TrackerConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..data.poses import AlignedPose, SubmapPose
    from .local_keyframe import LocalKeyframe
    from .motion_model import Motion
    from .robot_parts import RobotParts

#: Keyframes that a frame is aligned with.
_REFERENCES = 2
#: Keyframes whose patches are kept; frames look at the two nearest ones.
_TEMPLATES = 4
#: Surfaces that are kept: of a frame and of its half.
_SURFACES = 2
#: Of the tracks of the scene so many agree where what keeps its pixels is of the robot.
_MOST = 0.5
#: Fewer agreeing tracks hold a camera by little.
_FEW_TRACKS = 150
#: Tells which map points (n, 3) stand still as far as is known.
Standing = Callable[[Float64Array], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class _Seen:
    """Corners of keyframes found in a frame.

    Attributes:
        sightings: the points and where they were found.
        swept_n2: (n, 2) how the readout moved them in their keyframe, pixels per second of it.
        origins: in their order, the keyframes and which of their corners.
    """

    sightings: Sightings
    swept_n2: Float64Array
    origins: list[tuple[LocalKeyframe, Int64Array]]

    def __len__(self) -> int:
        return len(self.swept_n2)

    def pick(self, which_n: npt.NDArray[np.bool_]) -> _Seen:
        """Return some of them, by mask."""
        origins, first = [], 0
        for keyframe, index in self.origins:
            origins.append((keyframe, index[which_n[first:first + len(index)]]))
            first += len(index)
        return _Seen(self.sightings.pick(which_n), self.swept_n2[which_n], origins)

    def note(self, agrees_n: npt.NDArray[np.bool_]) -> None:
        """Tell the keyframes which of the corners agree with the pose of the frame."""
        first = 0
        for keyframe, index in self.origins:
            keyframe.corner_motion.note(index, agrees_n[first:first + len(index)])
            first += len(index)


class FrameAligner:
    """Finds corners of local keyframes in frames and solves their poses.

    Attributes:
        shutter: the rolling shutter, as measured from what the corners do.
    """

    def __init__(
        self, tracker: TrackerConfig, sensor: SensorConfig, local: LocalMap, parts: RobotParts
    ) -> None:
        self._tracker, self._sensor, self._local = tracker, sensor, local
        self._parts = parts
        self._templates: dict[int, Template] = {}
        self._surfaces: deque[tuple[Frame, Surface]] = deque(maxlen=_SURFACES)
        self.shutter = RollingShutter(sensor.readout_s)

    def clear(self) -> None:
        """Forget all keyframes."""
        self._templates.clear()
        self._surfaces.clear()

    def align(
        self, frame: Frame, seed: SubmapPose, motion: Motion | None = None,
        wide: bool = False, thorough: bool = True,
    ) -> AlignedPose | None:
        """Follow the corners of the nearest keyframes into the frame and solve its pose.

        Args:
            frame: the new image and depth.
            seed: guess of its pose.
            motion: from the last pose, None when that is too old to tell the velocity.
            wide: search four times as far, for a seed that may be off by a tenth of the image.
            thorough: use two keyframes; one takes little more than half the time.

        Returns:
            The pose, whose covariance has that of the nearest keyframe in it, or None when fewer
            than `tracker.min_tracks` tracks agree.
        """
        return self.compare(frame, seed, motion, wide, thorough)[0]

    def compare(
        self, frame: Frame, seed: SubmapPose, motion: Motion | None, wide: bool = False,
        thorough: bool = True,
    ) -> tuple[AlignedPose | None, int]:
        """Do as `align`; return as well how many corners were followed, agreeing or not."""
        near = self._nearest(frame, seed, _REFERENCES if thorough else 1)
        return self.align_with(near, frame, seed, motion, wide)

    def align_with(
        self, keyframes: list[LocalKeyframe], frame: Frame, seed: SubmapPose,
        motion: Motion | None, wide: bool = False, sure: bool = True,
    ) -> tuple[AlignedPose | None, int]:
        """Do as `compare`, with given keyframes, the nearest first.

        Those that are not `sure` hold a camera by little, however many tracks agree.
        """
        seen = self._find_all(keyframes, frame, seed.T_map_cam, wide)
        if len(seen) < self._tracker.min_tracks:
            return None, len(seen)
        solved, seen = self._solve_scene(frame, seed.T_map_cam, motion, seen)
        if solved is None:
            return None, len(seen)
        few = solved.inliers < _FEW_TRACKS
        if few:
            solved = self._steadied(solved, frame, keyframes[0], seen)
        if few or not sure:
            solved = doubted(solved if motion is None else motion.steady(solved))
        return _in_map(solved, keyframes[0]), len(seen)

    def _steadied(
        self, aligned: AlignedPose, frame: Frame, host: LocalKeyframe, seen: _Seen
    ) -> AlignedPose:
        """Let surfaces tell the turn that few tracks leave open: they cannot tell it from a shift.

        Where surfaces have no say, the pose stays as it is.
        """
        found = self._with_surfaces(aligned.T_map_cam, frame, host, seen)
        if found is None:
            return aligned
        return replace(aligned, T_map_cam=found.T_map_cam, covariance_66=found.covariance_66)

    def _with_surfaces(
        self, T_map_cam: Float64Array, frame: Frame, host: LocalKeyframe, seen: _Seen
    ) -> AlignedPose | None:
        """Align surfaces with those of a keyframe from a start; None where they have no say."""
        surface = self.surface(frame)
        if surface is None or host.surface is None or host.camera != frame.camera:
            return None
        return align_surface(T_map_cam, surface, host.surface, host.T_map_cam, seen.sightings,
                             frame.camera, self._sensor)

    def surface(self, frame: Frame) -> Surface | None:
        """What the depth of a frame shows; None without depth, or where it is not wanted."""
        if not self._tracker.surfaces or frame.depth_m is None:
            return None
        for known, surface in self._surfaces:
            if known is frame:
                return surface
        scene = self._parts.without_suspects(frame.depth_m)
        surface = Surface.of(scene, frame.camera, self._sensor)
        self._surfaces.append((frame, surface))
        return surface

    def align_surfaces(self, frame: Frame, seed: SubmapPose) -> AlignedPose | None:
        """Align the frame's surfaces with those of the nearest keyframe, for want of texture.

        Args:
            frame: the new image and depth.
            seed: guess of its pose.

        Returns:
            As `align`; None when surfaces and the tracks there are do not determine the pose.
        """
        near = self._nearest(frame, seed)
        if not near:
            return None
        seen = self._find_all(near, frame, seed.T_map_cam, wide=False)
        aligned = self._with_surfaces(seed.T_map_cam, frame, near[0], seen)
        return None if aligned is None else _in_map(aligned, near[0])

    def corners(
        self, frame: Frame, T_map_cam: Float64Array | None = None,
        standing: Standing | None = None,
    ) -> tuple[Float32Array, Float64Array]:
        """Corners (n, 2) with depth, the best ones spread over the image, and the depth (n,).

        Args:
            frame: image and depth.
            T_map_cam: its pose, if only corners of what is `standing` are wanted.
            standing: tells what does not move.
        """
        pixels = detect_corners(frame.gray, 2 * self._tracker.track_points)
        depth = self.depth(frame, pixels)
        good = np.flatnonzero(np.isfinite(depth))
        if T_map_cam is not None and standing is not None:
            in_cam = frame.camera.unproject(
                pixels[good].astype(np.float64), depth[good].astype(np.float64))
            good = good[standing(transform_points(T_map_cam, in_cam))]
        good = good[spread(
            pixels[good], self._tracker.track_points, frame.camera.width, frame.camera.height)]
        return pixels[good], depth[good].astype(np.float64)

    def can_show(self, frame: Frame) -> bool:
        """Whether a frame has the corners of a keyframe: a covered camera or bare wall has not."""
        return len(self.corners(frame)[0]) >= self._tracker.min_tracks

    def brings_texture(self, frame: Frame, pose: SubmapPose) -> bool:
        """Whether a frame has the corners that the keyframe nearest to its pose lacks."""
        nearest = self._local.nearest(pose)
        if not nearest or len(nearest[0][1].pixels_n2) >= self._tracker.min_tracks:
            return False
        return len(self.corners(frame)[0]) >= 2 * self._tracker.min_tracks

    def depth(self, frame: Frame, pixels_n2: Float32Array) -> Float32Array:
        """Measured depth (n,) at pixels, NaN where unknown."""
        if frame.depth_m is None:
            return np.full(len(pixels_n2), np.nan, np.float32)
        return point_depth(frame.depth_m, pixels_n2, self._sensor)

    def depth_in_map(
        self, camera: Camera, pose: SubmapPose, pixels_n2: Float32Array
    ) -> Float64Array:
        """Depth (n,) at pixels of a camera: that of the nearest points of keyframes near its pose.

        One meter where there is no point ahead.
        """
        points = [self.points(k) for _, k in self._local.nearest(pose, _REFERENCES)]
        in_cam = transform_points(
            invert_pose(pose.T_map_cam), np.concatenate([np.empty((0, 3)), *points]))
        in_cam = in_cam[in_cam[:, 2] > NEAREST_M]
        if len(in_cam) == 0:
            return np.ones(len(pixels_n2))
        apart = pixels_n2[:, None] - camera.project(in_cam)[None]
        return np.asarray(in_cam[np.square(apart).sum(axis=2).argmin(axis=1), 2])

    def points(self, keyframe: LocalKeyframe) -> Float64Array:
        """Map points (n, 3) of a keyframe's corners."""
        return keyframe.placed(self._sensor, self.shutter.readout_s).points_map_n3

    def find(
        self, keyframe: LocalKeyframe, points_n3: Float64Array, frame: Frame,
        T_seed: Float64Array, wide: bool = False,
    ) -> Followed:
        """Find a keyframe's corners in a frame.

        Args:
            keyframe: whose corners.
            points_n3: their `points`.
            frame: to search.
            T_seed: (4, 4) guess of its pose, in the keyframe's submap.
            wide: search four times as far.
        """
        guess, back = expect(
            points_n3, 1.0 / keyframe.inverse_n, invert_pose(T_seed), keyframe.T_map_cam,
            frame.camera, keyframe.camera)
        guess[~keyframe.stands_n] = -1.0
        return follow(self._template(keyframe), frame.pyramid, guess, back, wide)

    def _nearest(
        self, frame: Frame, pose: SubmapPose, count: int = _REFERENCES
    ) -> list[LocalKeyframe]:
        """Return the nearest keyframes that show what a frame at a pose shows, at most `count`."""
        return [k for distance, k in self._local.nearest(pose, count)
                if distance < LARGEST_VIEW_DISTANCE
                and k.gray.shape == frame.gray.shape]  # the driver may change profile

    def _find_all(
        self, keyframes: list[LocalKeyframe], frame: Frame, T_seed: Float64Array, wide: bool
    ) -> _Seen:
        """Find the corners of several keyframes in a frame."""
        points, pixels = [np.empty((0, 3))], [np.empty((0, 2), np.float32)]
        misfit, swept = [np.empty((0, 3), np.float32)], [np.empty((0, 2))]
        unsure, origins = [np.empty((0, 3))], []
        for keyframe in keyframes:
            placed = keyframe.placed(self._sensor, self.shutter.readout_s)
            index, at, misfits = self.find(keyframe, placed.points_map_n3, frame, T_seed, wide)
            points.append(placed.points_map_n3[index])
            pixels.append(at)
            misfit.append(misfits)
            swept.append(placed.swept_n2[index])
            unsure.append(placed.unsure_map_n3[index])
            origins.append((keyframe, index))
        found = np.concatenate(pixels)
        sightings = Sightings(
            np.concatenate(points), found.astype(np.float64),
            self.depth(frame, found).astype(np.float64), np.concatenate(unsure),
            np.concatenate(misfit))
        return _Seen(sightings, np.concatenate(swept), origins)

    def _solve_scene(
        self, frame: Frame, T_seed: Float64Array, motion: Motion | None, seen: _Seen
    ) -> tuple[AlignedPose | None, _Seen]:
        """Solve without corners that may be of the robot, if the others alone make a pose.

        Returns:
            The pose and what it is made of.
        """
        suspected = self._parts.suspected(seen.sightings.pixels_n2, frame.camera.width)
        if suspected.any():
            scene = seen.pick(~suspected)
            if len(scene) >= self._tracker.min_tracks:
                solved = self._solve(frame, T_seed, motion, scene)
                if solved is not None and solved.inliers >= _MOST * len(scene):
                    return solved, scene
        return self._solve(frame, T_seed, motion, seen), seen

    def _solve(
        self, frame: Frame, T_seed: Float64Array, motion: Motion | None, seen: _Seen
    ) -> AlignedPose | None:
        """Solve for the pose; where the velocity is known, with the rows brought to one time.

        What is left of the residuals tells of the shutter.
        """
        solved = optimize_pose(
            T_seed, seen.sightings, frame.camera, self._sensor, self._tracker.min_tracks, motion,
            self.shutter.readout_s)
        if solved is None:
            return None
        agrees = solved.agrees_n
        if solved.aligned.held_well:
            seen.note(agrees)
        if solved.swept_n2 is not None:
            moving = (solved.swept_n2 - seen.swept_n2)[agrees] / self._sensor.pixel_sigma
            self.shutter.observe(moving, solved.r_2n[:, agrees], solved.J_62n[:, :, agrees])
        return solved.aligned

    def _template(self, keyframe: LocalKeyframe) -> Template:
        """Return the image to follow a keyframe's corners by."""
        template = self._templates.pop(keyframe.id, None) or Template(
            keyframe.gray, keyframe.pixels_n2)
        self._templates[keyframe.id] = template
        while len(self._templates) > _TEMPLATES:
            del self._templates[next(iter(self._templates))]
        return template


def _in_map(aligned: AlignedPose, host: LocalKeyframe) -> AlignedPose:
    """Give a pose the submap and, added, the covariance of the keyframe it was aligned with."""
    of_map_66 = transport_covariance(
        host.covariance_66, aligned.T_map_cam[:3, 3] - host.T_map_cam[:3, 3])
    return replace(aligned, covariance_66=aligned.covariance_66 + of_map_66, submap=host.submap)
