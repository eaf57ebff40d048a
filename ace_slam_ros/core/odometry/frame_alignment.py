"""What a frame shows of local keyframes: their corners found in it, and the pose these tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..config.sections import SensorConfig
from ..data.depth_sampling import point_depth
from ..data.frame import Frame
from ..data.poses import RefinedPose
from ..geometry.arrays import Float32Array, Float64Array
from ..geometry.se3 import invert_pose, transform_points
from .local_keyframe import LocalKeyframe
from .motion_model import Motion
from .optical_flow import Template, follow
from .pose_optimization import optimize_pose
from .residuals import NEAREST_M, Sightings
from .rolling_shutter import RollingShutter, sweep

#: Warped images that are kept; frames look at the two nearest keyframes.
_TEMPLATES = 4


@dataclass(frozen=True)
class Seen:
    """Corners of keyframes found in a frame.

    Attributes:
        sightings: the points and where they were found.
        swept_n2: (n, 2) how the readout moved them in their keyframe, pixels per second of it.
        origins: in their order, the keyframes and which of their corners.
    """

    sightings: Sightings
    swept_n2: Float64Array
    origins: list[tuple[LocalKeyframe, npt.NDArray[np.int64]]]

    def __len__(self) -> int:
        return len(self.swept_n2)

    def note(self, agrees_n: npt.NDArray[np.bool_]) -> None:
        """Tell the keyframes which of the corners agree with the pose of the frame."""
        first = 0
        for keyframe, index in self.origins:
            keyframe.corner_motion.note(index, agrees_n[first:first + len(index)])
            first += len(index)


class LocalSight:
    """Finds corners of keyframes in frames and solves their poses.

    Attributes:
        shutter: the rolling shutter, as measured from what the corners do.
    """

    def __init__(self, sensor: SensorConfig, min_tracks: int) -> None:
        self._sensor, self._min_tracks = sensor, min_tracks
        self._templates: dict[int, Template] = {}
        self.shutter = RollingShutter(sensor.readout_s)

    def clear(self) -> None:
        """Forget all keyframes."""
        self._templates.clear()

    def depth(self, frame: Frame, pixels_n2: Float32Array) -> Float32Array:
        """Measured depth (n,) at pixels, NaN where unknown."""
        if frame.depth_m is None:
            return np.full(len(pixels_n2), np.nan, np.float32)
        return point_depth(frame.depth_m, pixels_n2, self._sensor)

    def points(self, keyframe: LocalKeyframe) -> Float64Array:
        """Map points (n, 3) of a keyframe's corners."""
        rays = keyframe.rays_n3(self.shutter.readout_s)
        return transform_points(keyframe.T_map_cam, rays / keyframe.inverse_n[:, None])

    def find(
        self, keyframe: LocalKeyframe, points_n3: Float64Array, frame: Frame,
        T_seed: Float64Array, wide: bool = False,
    ) -> tuple[npt.NDArray[np.int64], Float32Array]:
        """Find a keyframe's corners in a frame.

        Args:
            keyframe: whose corners.
            points_n3: their `points`.
            frame: to search.
            T_seed: (4, 4) guess of its pose.
            wide: search four times as far.

        Returns:
            (m,) which corners were found, and (m, 2) where.
        """
        in_cam = transform_points(invert_pose(T_seed), points_n3)
        ahead = (in_cam[:, 2] > NEAREST_M) & keyframe.stands_n
        guess = np.full((len(in_cam), 2), -1.0, np.float32)
        guess[ahead] = frame.camera.project(in_cam[ahead])
        return follow(self._template(keyframe), frame.gray, guess, wide)

    def find_all(
        self, keyframes: list[LocalKeyframe], frame: Frame, T_seed: Float64Array, wide: bool
    ) -> Seen:
        """Find the corners of several keyframes in a frame."""
        points, pixels = [np.empty((0, 3))], [np.empty((0, 2), np.float32)]
        swept, unsure, origins = [np.empty((0, 2))], [np.empty((0, 3))], []
        for keyframe in keyframes:
            known = self.points(keyframe)
            index, found = self.find(keyframe, known, frame, T_seed, wide)
            points.append(known[index])
            pixels.append(found)
            swept.append(keyframe.sweep_n2()[index])
            unsure.append(keyframe.unsure_n3(self._sensor)[index])
            origins.append((keyframe, index))
        found = np.concatenate(pixels)
        sightings = Sightings(
            np.concatenate(points), found.astype(np.float64),
            self.depth(frame, found).astype(np.float64), np.concatenate(unsure))
        return Seen(sightings, np.concatenate(swept), origins)

    def solve(
        self, frame: Frame, T_seed: Float64Array, motion: Motion | None, seen: Seen
    ) -> RefinedPose | None:
        """Solve for the pose; where the velocity is known, with the rows brought to one time.

        What is left of the residuals tells of the shutter.
        """
        sightings, readout_s = seen.sightings, self.shutter.readout_s

        def moving_n2(T_map_cam: Float64Array) -> Float64Array:
            assert motion is not None
            in_cam = transform_points(invert_pose(T_map_cam), sightings.points_map_n3)
            return sweep(in_cam, sightings.pixels_n2, motion.twist_6(T_map_cam), frame.camera)

        def still_n2(T_map_cam: Float64Array) -> Float64Array:
            return sightings.pixels_n2 + readout_s * moving_n2(T_map_cam)

        moves = motion is not None and readout_s > 0.0
        solved = optimize_pose(T_seed, sightings, frame.camera, self._sensor, self._min_tracks,
                               still_n2 if moves else None)
        if solved is None:
            return None
        refined, agrees, at = solved
        if refined.held_well:
            seen.note(agrees)
        if motion is not None:
            moving = moving_n2(refined.T_map_cam) - seen.swept_n2
            self.shutter.observe(moving[agrees] / self._sensor.pixel_sigma,
                                 at.r_3n[:2, agrees], at.J_63n[:, :2, agrees])
        return refined

    def _template(self, keyframe: LocalKeyframe) -> Template:
        """Return the image to follow a keyframe's corners by."""
        template = self._templates.pop(keyframe.id, None) or Template(
            keyframe.gray, keyframe.pixels_n2, keyframe.contrast_n)
        self._templates[keyframe.id] = template
        while len(self._templates) > _TEMPLATES:
            del self._templates[next(iter(self._templates))]
        return template
