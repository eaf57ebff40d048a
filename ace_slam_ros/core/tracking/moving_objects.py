"""Moving objects: points of keyframes that stand where other views saw nothing, or that move.

No class of things is known: a person, a chair being moved and a door are alike. A new keyframe is
held against the views before it, and then watched for as long: somebody who walks away is known
as moving only afterwards, and then the keyframe is pruned. So it is when its corners move where
nothing farther was ever seen. Other points stay; the robust solvers take care of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ..data.poses import SubmapPose
from ..data.submaps import SubmapMotions, corrected
from ..geometry.se3 import invert_pose, transform_points
from .seen_through import OUT_OF_VIEW, THERE, THROUGH, seen_through

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..data.keyframe import Keyframe
    from ..geometry.arrays import Float32Array, Float64Array
    from ..odometry.flow.corners import CornerMotion
    from ..odometry.frame_alignment import Standing
    from ..odometry.robot_parts import RobotParts

Int32Array = npt.NDArray[np.int32]

#: The window of 3 x 3 samples spans 12 px: a pose error of a degree, less than an arm at 2 m.
_STEP_PX = 4
#: Views this far apart in time, for this long: a walking person (1 m/s) leaves the width of an arm
#: in an interval and its own width in a second; it may stand or turn for two.
_INTERVAL_NS, _VIEWS = 100_000_000, 30
_WATCHED_NS = _INTERVAL_NS * _VIEWS
#: Of the views that see a place, so many must see through it: where something stands, the rim of
#: its depth is torn and lets single views through.
_LEAST_THROUGH = 0.2
#: A view that sees through more of a keyframe has a wrong pose.
_MOST_SHARE = 0.5
#: So often must the picture have moved to show all parts of the robot.
_MOVES = 6
#: What is pruned is at least so much, and a keyframe gets one a second at most: it costs the
#: mapper as much as a keyframe.
_LEAST_NEWS, _PRUNING_INTERVAL_NS = 4, 1_000_000_000


@dataclass(frozen=True)
class _View:
    """Nearest depth (h, w) around every fourth pixel, 0 where any of it is unknown."""

    stamp_ns: int
    pose: SubmapPose
    nearest_hw: Float32Array
    camera: Camera


@dataclass
class _Points:
    """Map points (N, 3), and how many views speak for each and against it.

    `through_N` and `there_N` count the views that saw something farther where a point is, and
    those that saw something there.
    """

    in_map_N3: Float64Array
    through_N: Int32Array
    there_N: Int32Array

    @staticmethod
    def of(in_map_N3: Float64Array) -> _Points:
        """Begin with points that no view has spoken of."""
        count = len(in_map_N3)
        return _Points(in_map_N3, np.zeros(count, np.int32), np.zeros(count, np.int32))

    @property
    def stands_N(self) -> npt.NDArray[np.bool_]:
        """Which points nothing speaks against."""
        return np.asarray((self.through_N == 0)
                          | (self.through_N < _LEAST_THROUGH * (self.through_N + self.there_N)))

    def pick(self, which_N: npt.NDArray[np.bool_]) -> None:
        """Keep some of the points."""
        self.in_map_N3 = self.in_map_N3[which_N]
        self.through_N, self.there_N = self.through_N[which_N], self.there_N[which_N]


@dataclass
class _Watched:
    """A keyframe as the mapper has it, its features and the obstacles of its scan, which submap.

    `bearings` are the numbers of the ranges that the obstacles are of.
    """

    keyframe: Keyframe
    features: _Points
    obstacles: _Points
    bearings: npt.NDArray[np.int64]
    submap: int
    told_ns: int

    def pick(self, which_N: npt.NDArray[np.bool_]) -> None:
        """Keep some of the features."""
        self.keyframe = self.keyframe.pick(which_N)
        self.features.pick(which_N)

    def forget_obstacles(self) -> int:
        """Take out of the scan what does not stand; return how much that was."""
        stands = self.obstacles.stands_N
        scan = self.keyframe.scan
        if scan is not None and not stands.all():
            self.keyframe = replace(
                self.keyframe, scan=scan.without(self.bearings[~stands]))
            self.obstacles.pick(stands)
            self.bearings = self.bearings[stands]
        return int((~stands).sum())


class MovingObjects:
    """Depth of recent frames, coarse, against which the points of keyframes are held."""

    def __init__(self, sensor: SensorConfig) -> None:
        self._sensor = sensor
        self._views: deque[_View] = deque(maxlen=_VIEWS)
        self._watched: list[_Watched] = []

    def clear(self) -> None:
        """Forget all views and keyframes."""
        self._views.clear()
        self._watched.clear()

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map."""
        self._views = deque(
            (replace(v, pose=corrected(v.pose, motions)) for v in self._views), maxlen=_VIEWS)
        for watched in self._watched:
            motion = motions.get(watched.submap)
            if motion is not None:
                for points in (watched.features, watched.obstacles):
                    points.in_map_N3 = transform_points(motion.T_44, points.in_map_N3)
                watched.submap = motion.submap

    def add(self, frame: Frame, pose: SubmapPose) -> bool:
        """Remember a frame, unless the last one is too recent, and test keyframes against it.

        Returns:
            Whether the frame says something new.
        """
        if frame.depth_m is None or (
                self._views and 0 <= frame.stamp_ns - self._views[-1].stamp_ns < _INTERVAL_NS):
            return False
        sampled = np.ascontiguousarray(frame.depth_m[_STEP_PX // 2::_STEP_PX,
                                                     _STEP_PX // 2::_STEP_PX])
        nearest = np.asarray(cv2.erode(sampled, np.ones((3, 3), np.uint8)), np.float32)
        view = _View(frame.stamp_ns, SubmapPose(pose.T_map_cam, submap=pose.submap), nearest,
                     frame.camera)
        self._views.append(view)
        for watched in self._watched:
            if (watched.submap == pose.submap
                    and abs(frame.stamp_ns - watched.keyframe.stamp_ns) <= _WATCHED_NS):
                self._count_both(view, watched.features, watched.obstacles)
        return True

    def standing(self, submap: int) -> Standing:
        """Return what tells the points (N, 3) of a submap that no view so far speaks against."""
        return lambda points_map_N3: self._counted(points_map_N3, submap).stands_N

    def watch(self, keyframe: Keyframe, obstacles_cam_K3: Float64Array | None = None) -> Keyframe:
        """Return a new keyframe without what earlier views speak against; watch it.

        Later views speak in `pruned`.

        Args:
            keyframe: with all its features, and its scan.
            obstacles_cam_K3: (K, 3) where the ranges of the scan end, in the optical frame; NaN
                where there is no obstacle.
        """
        ends = np.empty((0, 3)) if obstacles_cam_K3 is None else obstacles_cam_K3
        bearings = np.flatnonzero(np.isfinite(ends[:, 0]))
        features, obstacles = (
            _Points.of(transform_points(keyframe.T_map_cam, of_cam))
            for of_cam in (keyframe.points_cam_N3.astype(np.float64), ends[bearings]))
        for view in (v for v in self._views if v.pose.submap == keyframe.submap):
            self._count_both(view, features, obstacles)
        watched = _Watched(
            keyframe, features, obstacles, bearings, keyframe.submap, keyframe.stamp_ns)
        watched.pick(features.stands_N)
        watched.forget_obstacles()
        self._watched.append(watched)
        return watched.keyframe

    def pruned(
        self, now_ns: int, corner_motion: Callable[[int], CornerMotion | None] | None = None,
        parts: RobotParts | None = None,
    ) -> Keyframe | None:
        """Return a watched keyframe with less of features or scan than it had, if one is due.

        Args:
            now_ns: stamp of the newest frame.
            corner_motion: tells by the id of a keyframe what became of its corners, if known.
            parts: of the robot in the picture, on which no feature stands. They show only when
                the camera moves: until then keyframes stay watched.
        """
        unmoved = parts is not None and parts.moves < _MOVES
        for watched in list(self._watched):
            over = not 0 <= now_ns - watched.keyframe.stamp_ns <= _WATCHED_NS
            if over and not unmoved:
                self._watched.remove(watched)
            if not over and now_ns - watched.told_ns < _PRUNING_INTERVAL_NS:
                continue
            watched.told_ns = now_ns
            stands_N = watched.features.stands_N
            motion = None if corner_motion is None else corner_motion(watched.keyframe.id)
            if motion is not None:
                stands_N &= ~motion.moving_near(watched.keyframe.points_cam_N3)
            if parts is not None:
                stands_N &= parts.shows_scene(watched.keyframe.pixels_N2)
            if (~watched.obstacles.stands_N).sum() + (~stands_N).sum() >= _LEAST_NEWS:
                watched.pick(stands_N)
                watched.forget_obstacles()
                return watched.keyframe
        return None

    def _counted(self, points_map_N3: Float64Array, submap: int) -> _Points:
        """Return points with what the views so far say of them."""
        points = _Points.of(points_map_N3)
        for view in (v for v in self._views if v.pose.submap == submap):
            self._count(view, points)
        return points

    def _count_both(self, view: _View, features: _Points, obstacles: _Points) -> None:
        """Count what a view says of a keyframe; its obstacles may all be one person."""
        if self._count(view, features):
            self._count(view, obstacles, 1.0)

    def _count(self, view: _View, points: _Points, most_share: float = _MOST_SHARE) -> bool:
        """Count what a view says of points; False if it contradicts too many to be right."""
        says_N = seen_through(
            points.in_map_N3, invert_pose(view.pose.T_map_cam), view.nearest_hw, view.camera,
            _STEP_PX, self._sensor)
        through_N = says_N == THROUGH
        if through_N.sum() > most_share * (says_N != OUT_OF_VIEW).sum():
            return False
        points.through_N += through_N
        points.there_N += says_N == THERE
        return True
