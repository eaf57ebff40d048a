"""Live view for machines without RViz: image, predicted coordinates, trajectory, map, state.

Drawn by rerun, an optional package; `target.py` opens it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..core.data.submaps import MAIN_SUBMAP, only_submap
from ..core.encoders.extraction import extract_features
from ..core.geometry.se3 import transform_points
from .layers import Layers
from .target import connect, import_rerun

if TYPE_CHECKING:
    from ..core.config.sections import SlamConfig
    from ..core.data.camera import Camera
    from ..core.data.frame import Frame
    from ..core.data.keyframe import Keyframe
    from ..core.encoders.base import Encoder
    from ..core.geometry.arrays import Float64Array
    from ..core.heads.base import SceneHead
    from ..core.tracking.result import TrackResult

_STATE_COLORS = {"TRACKING": (80, 200, 120), "LOST": (230, 70, 60)}
_OTHER_COLOR = (250, 180, 60)
_TRAJECTORY_COLOR = (80, 200, 120)
#: Predictions surer, or nearer to what the pose says, than this are drawn.
_DRAWN_MISFIT_M = 0.15
#: Seconds between two drawings of the predicted coordinates: they cost a network pass.
_COORDINATES_PERIOD_S = 0.5
_TRAJECTORY_POINTS = 4000
_JPEG_QUALITY = 60


class View(Protocol):
    """What shows a run while it goes on."""

    def show(self, frame: Frame, result: TrackResult, head: SceneHead | None) -> None:
        """Show one tracked frame; `head` is the one in use."""

    def close(self) -> None:
        """End the view; nothing is shown afterwards."""


class NoView:
    """Shows nothing."""

    def show(self, frame: Frame, result: TrackResult, head: SceneHead | None) -> None:
        """Ignore the frame."""

    def close(self) -> None:
        """Have nothing to end."""


def open_view(target: str, config: SlamConfig, encoder: Encoder) -> RerunView:
    """Open the view `--view` asks for.

    Args:
        target: empty = a window; FILE.rrd = record to a file; rerun+http://... = a running viewer,
            or what `web.page_for` gives.

    Raises:
        ViewError: rerun is not installed, there is no display, or the target is none of these.
    """
    return RerunView(connect(target), config, encoder)


class RerunView:
    """Draws what a tracker or the nodes of a running system say.

    Frames: everything below `map` is in map coordinates (meters), `camera` and `coordinates` are
    in pixels. One thread calls it.

    Attributes:
        layers: draws what else a robot knows: grid, obstacles, keyframes, what is wrong.
    """

    def __init__(self, recording: Any, config: SlamConfig, encoder: Encoder) -> None:
        """Take a recording made by `connect`."""
        self._rerun, self._recording = import_rerun(), recording
        self.layers = Layers(self._rerun, recording)
        self._config, self._encoder = config, encoder
        self._path: list[Float64Array] = []
        self._state = ""
        self._coordinates_due_s = 0.0
        self._low_3: Float64Array | None = None
        self._high_3: Float64Array | None = None
        self._camera: Camera | None = None

    def show(self, frame: Frame, result: TrackResult, head: SceneHead | None) -> None:
        """Show one tracked frame with everything the tracker knows about it."""
        self.at(frame.stamp_ns)
        self.frame(frame)
        self.state(result.state.name, result.inlier_ratio, result.processing_ms, result.reason)
        self.layers.problems([result.reason] if result.reason else [])
        if result.submap == MAIN_SUBMAP:  # of others nobody knows where they are to be drawn
            if result.T_map_cam is not None:
                self.pose(result.T_map_cam)
            for keyframe in result.keyframes:
                self.keyframe(keyframe)
            self.coordinates(frame, head, result.T_map_cam)

    def at(self, stamp_ns: int) -> None:
        """Set the time of what is drawn next."""
        self._recording.set_time("stamp", timestamp=np.datetime64(stamp_ns, "ns"))

    def frame(self, frame: Frame) -> None:
        """Draw the camera's image."""
        self._recording.log("camera/image", self._picture(frame.image))
        if frame.camera != self._camera:
            self._camera = frame.camera
            self._recording.log("map", self._rerun.ViewCoordinates.FLU, static=True)
            self._recording.log("map/camera", self._rerun.Pinhole(
                image_from_camera=frame.camera.K_33, width=frame.camera.width,
                height=frame.camera.height, image_plane_distance=0.3), static=True)

    def _picture(self, image: npt.NDArray[np.uint8]) -> Any:
        return self._rerun.Image(image).compress(jpeg_quality=_JPEG_QUALITY)

    def state(self, name: str, confidence: float, work_ms: float, reason: str) -> None:
        """Plot confidence and work; write a line whenever the state changes."""
        self._recording.log("confidence/inlier_ratio", self._rerun.Scalars(confidence))
        self._recording.log("work/ms", self._rerun.Scalars(work_ms))
        if name != self._state:
            self._state = name
            self._recording.log("state", self._rerun.TextLog(
                f"{name} {reason}".strip(), color=_STATE_COLORS.get(name, _OTHER_COLOR)))

    def pose(self, T_map_cam: Float64Array) -> None:
        """Draw the camera (4, 4) in the map and lengthen the trajectory."""
        self.camera_pose(T_map_cam)
        self._path.append(T_map_cam[:3, 3].copy())
        if len(self._path) > _TRAJECTORY_POINTS:
            self._path = self._path[::2]
        self.trajectory(np.array(self._path))

    def camera_pose(self, T_map_cam: Float64Array) -> None:
        """Draw the camera (4, 4) in the map."""
        self._recording.log("map/camera", self._rerun.Transform3D(
            translation=T_map_cam[:3, 3], mat3x3=T_map_cam[:3, :3]))

    def trajectory(self, positions_N3: npt.NDArray[Any]) -> None:
        """Draw a line through positions (N, 3)."""
        if len(positions_N3) > 1:
            self._recording.log("map/trajectory", self._rerun.LineStrips3D(
                [positions_N3], colors=[_TRAJECTORY_COLOR], radii=0.008))

    def keyframe(self, keyframe: Keyframe) -> None:
        """Draw the points of one keyframe where it stood when it was made."""
        points = transform_points(
            keyframe.T_map_cam, keyframe.points_cam_N3.astype(np.float64))
        self._recording.log(f"map/points/{keyframe.id}", self._rerun.Points3D(
            points, colors=self._colors(points), radii=0.01))

    def map_points(self, points_N3: npt.NDArray[Any]) -> None:
        """Draw the map's points (N, 3) anew."""
        self._recording.log("map/points", self._rerun.Points3D(
            points_N3, colors=self._colors(points_N3), radii=0.01))

    def coordinates(
        self, frame: Frame, head: SceneHead | None, T_map_cam: Float64Array | None = None
    ) -> None:
        """Draw what the head predicts for a frame, at most twice a second.

        In the image the color of a feature is its predicted place, in the map the same color
        is at that place. With a pose (4, 4) the hypotheses that agree with it are drawn, as the
        solver sees them; without, the surest of each feature, if it is sure at all.
        """
        if head is None or time.monotonic() < self._coordinates_due_s:
            return
        self._coordinates_due_s = time.monotonic() + _COORDINATES_PERIOD_S
        features = extract_features(
            self._encoder, frame, self._config.features, self._config.sensor)
        if not len(features):
            return
        predicted = only_submap(head.predict(features.descriptors_ND), MAIN_SUBMAP)
        misfit_m_NS = predicted.sigma_m_NS
        if T_map_cam is not None:
            seen_N3 = transform_points(T_map_cam, features.points_cam_N3.astype(np.float64))
            misfit_m_NS = np.nan_to_num(np.linalg.norm(
                predicted.coords_map_NS3 - seen_N3[:, None], axis=2), nan=np.inf)
        best = np.argmin(misfit_m_NS, axis=1)
        rows = np.arange(len(best))
        sure = misfit_m_NS[rows, best] < _DRAWN_MISFIT_M
        points = predicted.coords_map_NS3[rows, best][sure]
        if not len(points):
            return
        colors = self._colors(points)
        gray = frame.image if frame.image.ndim == 2 else frame.image.mean(axis=2).astype(np.uint8)
        self._recording.log("coordinates/image", self._picture(gray // 2))
        self._recording.log("coordinates/features", self._rerun.Points2D(
            features.pixels_N2[sure], colors=colors, radii=4.0))
        self._recording.log("map/predicted", self._rerun.Points3D(
            points, colors=colors, radii=0.02))

    def _colors(self, points_N3: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Color of places: x, y, z become red, green, blue over the extent seen so far."""
        if not len(points_N3):
            return np.empty((0, 3), np.uint8)
        low, high = np.percentile(points_N3, (2, 98), axis=0)
        if self._low_3 is None or self._high_3 is None:
            self._low_3, self._high_3 = low, high
        self._low_3 = np.minimum(self._low_3, low)
        self._high_3 = np.maximum(self._high_3, high)
        share = (points_N3 - self._low_3) / np.maximum(self._high_3 - self._low_3, 1e-3)
        return np.asarray(40 + 215 * np.clip(share, 0.0, 1.0), np.uint8)

    def close(self) -> None:
        """Hand everything drawn to the window, the file or the viewer."""
        self._recording.flush()
        self._recording.disconnect()
