"""What recent views saw through: points that stand where there was air belong to movers.

No class of things is known: a person, a chair being moved and a door are alike. Points that were
never seen against anything farther stay; the robust solvers take care of them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .camera import Camera
from .config import SensorConfig
from .frame import Frame
from .geometry import Float64Array, invert_pose, transform_points
from .keyframe import Features, Float32Array

_STEP_PX = 8
#: Views this far apart in time, for this long: a walking person leaves its own width in a second.
_INTERVAL_NS, _VIEWS = 200_000_000, 15
#: Background must be farther than the point by this share of its depth and this many standard
#: deviations of the depth noise.
_FARTHER_SHARE, _FARTHER_SIGMAS = 0.05, 5.0


@dataclass(frozen=True)
class _View:
    """Nearest depth (h, w) around every eighth pixel, 0 where any of it is unknown."""

    stamp_ns: int
    T_cam_map: Float64Array
    nearest_hw: Float32Array
    camera: Camera


class SeenThrough:
    """Depth of recent frames, coarse, against which new points are held."""

    def __init__(self, sensor: SensorConfig) -> None:
        self._sensor = sensor
        self._views: deque[_View] = deque(maxlen=_VIEWS)

    def clear(self) -> None:
        """Forget all views."""
        self._views.clear()

    def add(self, frame: Frame, T_map_cam: Float64Array) -> None:
        """Remember a frame, unless the last one is too recent."""
        if frame.depth_m is None or (
                self._views and 0 <= frame.stamp_ns - self._views[-1].stamp_ns < _INTERVAL_NS):
            return
        sampled = np.ascontiguousarray(frame.depth_m[_STEP_PX // 2::_STEP_PX,
                                                     _STEP_PX // 2::_STEP_PX])
        nearest = np.asarray(cv2.erode(sampled, np.ones((3, 3), np.uint8)), np.float32)
        self._views.append(_View(
            frame.stamp_ns, invert_pose(T_map_cam), nearest, frame.camera))

    def through(self, points_map_N3: Float64Array) -> npt.NDArray[np.bool_]:
        """Whether some view saw something farther where a map point (N, 3) is; NaN gives False."""
        found = np.zeros(len(points_map_N3), bool)
        for view in self._views:
            in_cam = transform_points(view.T_cam_map, points_map_N3)
            z = in_cam[:, 2]
            ahead = np.flatnonzero(z > self._sensor.min_depth_m)
            uv = view.camera.project(in_cam[ahead])
            cell = np.floor(uv / _STEP_PX).astype(np.int64)
            height, width = view.nearest_hw.shape
            inside = ((cell >= 0) & (cell < (width, height))).all(axis=1)
            index, cell = ahead[inside], cell[inside]
            farther = z[index] * (1 + _FARTHER_SHARE) + _FARTHER_SIGMAS * (
                self._sensor.depth_sigma_m(z[index]))
            found[index] |= view.nearest_hw[cell[:, 1], cell[:, 0]] > farther
        return found

    def without_movers(self, features: Features, T_map_cam: Float64Array) -> Features:
        """Return the features of a frame that no view saw through."""
        points_map_N3 = transform_points(T_map_cam, features.points_cam_N3.astype(np.float64))
        return features.pick(~self.through(points_map_N3))
