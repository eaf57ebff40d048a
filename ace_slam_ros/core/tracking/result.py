"""What goes into the tracker beside a frame, and what became of the frame: state, pose, times."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..data.depth.sparse import explain_missing_depth
from ..data.submaps import MAIN_SUBMAP

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, SlamConfig
    from ..data.features import Features
    from ..data.frame import Frame
    from ..data.keyframe import Keyframe
    from ..data.poses import PoseEstimate, Support
    from ..geometry.arrays import Float64Array
    from .scheduler import Stage


#: Mean gray values beyond which an image shows little.
_DARK, _BRIGHT = 20.0, 240.0


class TrackerState(enum.IntEnum):
    """Same values as the constants of SlamStatus.msg."""

    INIT = 0
    TRACKING = 1
    LOST = 2


@dataclass(frozen=True)
class TrackingHints:
    """What others know of the camera at a frame's stamp.

    Attributes:
        T_map_cam_prior: (4, 4) guess of the pose, from an operator or a filter.
        T_odom_cam: (4, 4) pose in a drifting frame; its change since the last pose predicts the
            motion instead of a constant velocity.
        T_map_cam_first: (4, 4) pose that the frame gets if it is the first of a map or submap;
            default: the camera's body frame (x forward, y left, z up) is the origin.
        T_base_cam: (4, 4) camera on the robot whose z = 0 is the floor, where that is known.
    """

    T_map_cam_prior: Float64Array | None = None
    T_odom_cam: Float64Array | None = None
    T_map_cam_first: Float64Array | None = None
    T_base_cam: Float64Array | None = None


@dataclass(frozen=True)
class TrackResult:
    """What became of one frame.

    Attributes:
        stamp_ns: stamp of the frame.
        state: state after the frame.
        map_id: name of the map.
        submap: submap that the pose is in, 0 = the map itself.
        map_revision: how many corrections of the map the pose follows.
        T_map_cam: (4, 4) pose in the frame of the submap, None when there is none.
        covariance_66: of the pose, map frame, order x y z then rotation; None without pose.
        T_map_cam_raw: (4, 4) pose in the map from scene coordinates alone; None when they gave
            none, or one in an unjoined submap. It may be that of an earlier frame, carried on as
            tracked.
        support: what speaks for the raw pose; of the last localized frame when this one was only
            aligned.
        weights_version: of the head used, 0 = no head yet.
        keyframes: for the mapper, in this order: new ones, and earlier ones without the features
            that have proved to be of something that moved.
        processing_ms: time spent.
        stages_ms: time by stage.
        reason: one sentence when there is no pose in the map, else empty.
    """

    stamp_ns: int
    state: TrackerState
    map_id: str
    submap: int
    map_revision: int
    T_map_cam: Float64Array | None
    covariance_66: Float64Array | None
    T_map_cam_raw: Float64Array | None
    support: Support
    weights_version: int
    processing_ms: float
    stages_ms: dict[str, float]
    reason: str
    keyframes: tuple[Keyframe, ...] = ()

    @property
    def inlier_ratio(self) -> float:
        """Share of features whose scene coordinates agree with the raw pose."""
        return self.support.inlier_ratio

    @property
    def inlier_count(self) -> int:
        """Number of these features."""
        return self.support.inlier_count

    @property
    def has_map_pose(self) -> bool:
        """Whether there is a pose, and its place in the map is known."""
        return self.T_map_cam is not None and self.submap == MAIN_SUBMAP

    def with_work(self, work: WorkResult) -> TrackResult:
        """Return the result with what the work after tracking found out."""
        return replace(
            self, keyframes=work.keyframes, support=work.support, T_map_cam_raw=(
                self.T_map_cam_raw if work.raw is None else in_map(work.raw)),
            processing_ms=self.processing_ms + work.processing_ms,
            stages_ms={name: self.stages_ms.get(name, 0.0) + work.stages_ms.get(name, 0.0)
                       for name in (*self.stages_ms, *work.stages_ms)})


@dataclass(frozen=True)
class WorkResult:
    """What the work after tracking a frame found out.

    Attributes:
        keyframes: for the mapper, see `TrackResult`.
        raw: pose of the tracked camera from scene coordinates, if the head looked in this work.
        support: see `TrackResult`.
        processing_ms: time spent.
        stages_ms: time by stage.
    """

    keyframes: tuple[Keyframe, ...]
    raw: PoseEstimate | None
    support: Support
    processing_ms: float
    stages_ms: dict[str, float]


def in_map(raw: PoseEstimate | None) -> Float64Array | None:
    """Return T_map_cam (4, 4) of a pose whose place in the map is known."""
    return raw.T_map_cam if raw is not None and raw.submap == MAIN_SUBMAP else None


@dataclass
class StageClock:
    """Stopwatch for the stages of one frame."""

    start: float = field(default_factory=time.perf_counter)
    stages_ms: dict[str, float] = field(default_factory=dict)
    _last: float = 0.0

    @property
    def elapsed_ms(self) -> float:
        """Time since the start."""
        return (time.perf_counter() - self.start) * 1e3

    def lap(self, stage: Stage) -> float:
        """Add the time since the last lap to a stage and return it, in milliseconds."""
        now = time.perf_counter()
        elapsed_ms = (now - (self._last or self.start)) * 1e3
        self.stages_ms[stage.value] = self.stages_ms.get(stage.value, 0.0) + elapsed_ms
        self._last = now
        return elapsed_ms


def explain_waiting(
    features: Features, frame: Frame, sensor: SensorConfig, min_features: int
) -> str:
    """Say in one sentence why a frame cannot be the first of a map."""
    why = explain_light(frame) or explain_missing_depth(frame.depth_m, sensor)
    if not why and features.depth_count < min_features:
        why = (f"{features.depth_count} features have depth within {sensor.min_depth_m:g}.."
               f"{sensor.max_depth_m:g} m (sensor.min_depth_m, sensor.max_depth_m)")
    why = why or "too few corners to follow, as of a bare wall: turn to where there is more to see"
    return f"waiting for a frame with texture and depth: {why}"


def explain_light(frame: Frame) -> str:
    """Say that an image is too dark or too bright to show anything, with the fix; else empty."""
    mean = float(frame.gray[::8, ::8].mean())
    if _DARK <= mean <= _BRIGHT:
        return ""
    what, fix = "white", "give less exposure"
    if mean < _DARK:
        what, fix = "black", "uncover the lens, or give more light or exposure"
    return f"the image is nearly {what} (mean gray value {mean:.0f} of 255): {fix}"


def explain_missing(
    features: Features | None, raw: PoseEstimate | None, frame: Frame, config: SlamConfig,
    has_head: bool,
) -> str:
    """Say in one sentence why a frame has no pose."""
    if features is None:
        return "the image cannot be followed"
    known = features.depth_count
    if known < config.solver.min_inliers:
        why = explain_light(frame) or explain_missing_depth(frame.depth_m, config.sensor)
        return (f"only {known} features have depth: "
                f"{why or 'camera covered, too near, or depth missing'}")
    if not has_head:
        return "no head weights yet: is the mapper running?"
    if raw is None:
        return "no pose explains the scene coordinates: " + (
            explain_light(frame) or "unknown place or blurred image")
    return f"inlier ratio {raw.inlier_ratio:.2f} is too low to trust while lost"
