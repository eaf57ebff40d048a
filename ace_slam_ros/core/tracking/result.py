"""What became of one frame in the tracker: state, pose, times."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

from ..data.features import Features
from ..data.keyframe import Keyframe
from ..data.poses import PoseEstimate
from ..data.submaps import segment_of
from ..geometry.arrays import Float64Array


class TrackerState(enum.IntEnum):
    """Same values as the constants of SlamStatus.msg."""

    INIT = 0
    TRACKING = 1
    LOST = 2


@dataclass(frozen=True)
class TrackResult:
    """What became of one frame.

    Attributes:
        stamp_ns: stamp of the frame.
        state: state after the frame.
        T_map_cam: (4, 4) pose, None when there is none; what it means while `segment` is not 0,
            see `core.segments`.
        covariance_66: of the pose, map frame, order x y z then rotation; None without pose.
        T_map_cam_raw: (4, 4) pose from scene coordinates alone; None when they gave none or the
            frame was only refined. Live it may be that of an earlier frame, carried on as tracked.
        inlier_ratio: share of features whose scene coordinates agree with the raw pose; of the
            last relocalized frame when this one was only refined.
        inlier_count: their number.
        weights_version: of the head used, 0 = no head yet.
        keyframe: for the mapper, when the frame became one; live it may be an earlier frame.
        revision: for the mapper, an earlier keyframe without the features that have proved to be
            of something that moved.
        processing_ms: time spent.
        stages_ms: time by stage.
        reason: one sentence when there is no pose in the map, else empty.
    """

    stamp_ns: int
    state: TrackerState
    T_map_cam: Float64Array | None
    covariance_66: Float64Array | None
    T_map_cam_raw: Float64Array | None
    inlier_ratio: float
    inlier_count: int
    weights_version: int
    keyframe: Keyframe | None
    revision: Keyframe | None
    processing_ms: float
    stages_ms: dict[str, float]
    reason: str

    @property
    def segment(self) -> int:
        """Unjoined segment that the pose is in; 0 = the map itself, or no pose."""
        return 0 if self.T_map_cam is None else segment_of(self.T_map_cam)

    @property
    def has_map_pose(self) -> bool:
        """Whether there is a pose, and its place in the map is known."""
        return self.T_map_cam is not None and self.segment == 0

    @property
    def for_mapper(self) -> list[Keyframe]:
        """What the mapper gets of this frame, in this order."""
        return [k for k in (self.keyframe, self.revision) if k is not None]


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

    def lap(self, name: str) -> float:
        """Add the time since the last lap to a stage and return it, in milliseconds."""
        now = time.perf_counter()
        elapsed_ms = (now - (self._last or self.start)) * 1e3
        self.stages_ms[name] = self.stages_ms.get(name, 0.0) + elapsed_ms
        self._last = now
        return elapsed_ms


def explain_missing(
    features: Features | None, raw: PoseEstimate | None, least_with_depth: int, has_head: bool
) -> str:
    """Say in one sentence why a frame has no pose."""
    if features is None:
        return "the image cannot be followed"
    known = features.depth_count
    if known < least_with_depth:
        return f"only {known} features have depth: camera covered, too near, or depth missing"
    if not has_head:
        return "no head weights yet: is the mapper running?"
    if raw is None:
        return "no pose explains the scene coordinates: unknown place or blurred image"
    return f"inlier ratio {raw.inlier_ratio:.2f} is too low to trust while lost"
