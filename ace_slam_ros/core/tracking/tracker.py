"""The tracker: one frame in, one pose out, and the states INIT, TRACKING, LOST.

`track` gives the pose: the frame is aligned with local keyframes by image tracks with depth; when
these do not hold it well, by scene coordinates without a prior (ACE-SLAM, section 3.3). `work`
then does what no pose needs, as time allows: looks of the head, keyframes and their adjustment.
"""

from __future__ import annotations

import logging
import math
import uuid
from typing import TYPE_CHECKING

import numpy as np

from ..data.depth.late_depth import at_color_time
from ..data.poses import AlignedPose, PoseEstimate, SubmapPose
from ..data.scene_mask import SceneMask
from ..data.submaps import MAIN_SUBMAP, explain_submap
from ..geometry.se3 import T_BODY_OPTICAL
from ..heads.factory import load_head
from ..localization.localizer import Localizer
from ..odometry.frame_alignment import FrameAligner
from ..odometry.local_map import LocalMap
from ..odometry.local_window import LocalWindow
from ..odometry.motion_model import MotionModel
from ..odometry.previous_frame import PreviousFrame
from ..odometry.robot_parts import RobotParts
from .following import Following
from .keyframing import KeyframeMaker
from .local_mapping import LocalMapping, Tracked
from .map_delay import MapDelay
from .map_succession import MapSuccession
from .moving_objects import MovingObjects
from .pose_averaging import PoseAveraging
from .pose_selection import PoseSelection
from .recovery.new_submap import UnknownPlace
from .recovery.return_to_map import ReturnToMap
from .recovery.turned_looks import TurnedLooks
from .result import (
    StageClock,
    TrackerState,
    TrackingHints,
    TrackResult,
    WorkResult,
    explain_missing,
    explain_waiting,
    in_map,
)
from .scheduler import Scheduler, Stage
from .watch import Watch

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.features import Features
    from ..data.frame import Frame
    from ..encoders.base import Encoder
    from ..heads.base import SceneHead

log = logging.getLogger(__name__)

_KEYFRAME_ID_MARGIN = 1000
_NO_HINTS = TrackingHints()
#: Of the first frame, which defines the map.
_FIRST_COVARIANCE_66 = np.eye(6) * 1e-6


class Tracker:
    """Estimates the camera pose of successive frames in the map of a head.

    Attributes:
        map_id: name of the map.
        map_revision: how many corrections of the map by the mapper the poses follow.
        robot_parts: what is found of the robot in the picture.
        scanner: scans the surroundings of keyframes for the occupancy grid.
    """

    def __init__(self, config: SlamConfig, encoder: Encoder, *, map_id: str | None = None) -> None:
        """Start in INIT.

        Args:
            config: all parameters.
            encoder: the frozen encoder.
            map_id: name of the map this tracker starts, default random.
        """
        self._config, self._encoder = config, encoder
        self._maps, self._delay = MapSuccession(), MapDelay()
        self._watch = Watch(config.tracker.lost_after_s)
        self._model = MotionModel(config.tracker.motion_prior, config.sensor.stamp_sigma_s)
        self._scheduler = Scheduler(config.tracker.frame_budget_ms)
        self._localizer = Localizer(config, encoder)
        self._local = LocalMap()
        self._mask, self.robot_parts = SceneMask(config.sensor.mask), RobotParts()
        self._aligner = FrameAligner(config.tracker, config.sensor, self._local, self.robot_parts)
        self._previous = PreviousFrame(config.tracker, config.sensor, self._aligner)
        self._following = Following(
            config.tracker, self._aligner, self._previous, self._model, self._scheduler)
        self._window = LocalWindow(config.tracker, config.sensor, self._local, self._aligner)
        self._moving = MovingObjects(config.sensor)
        self._averaging = PoseAveraging(config, self._local)
        self._keyframes = KeyframeMaker(
            config, self._local, self._aligner, self._window, self._averaging, self._moving)
        self.scanner = self._keyframes.scanner
        self._mapping = LocalMapping(
            config.tracker, self._scheduler, self._keyframes, self._window, self._localizer,
            self._averaging, self._model)
        self._selection = PoseSelection(
            config.tracker, self._aligner, self._following, self._model, self._localizer)
        self._unknown = UnknownPlace(config, self._aligner)
        self._turned, self._return = TurnedLooks(self._localizer), ReturnToMap(self._localizer)
        self._begin(map_id or uuid.uuid4().hex[:12])

    def _begin(self, map_id: str) -> None:
        self.map_id = map_id
        self._watch.state = TrackerState.INIT
        self.map_revision, self._version = 0, 0
        self._localizer.clear()
        self._delay.clear()
        self._keyframes.begin()
        self._forget_surroundings()

    def _forget_surroundings(self) -> None:
        for part in (self._local, self._aligner, self._window, self._averaging, self._previous):
            part.clear()
        self.clear_motion()

    def clear_motion(self) -> None:
        """Forget velocity and time, after a clock jump; map and state stay."""
        for part in (self._model, self._selection, self._unknown, self._scheduler,
                     self._mapping, self._moving, self._turned, self._return, self.robot_parts,
                     self._watch):
            part.clear()
        self._is_steady = False
        self._tracked: Tracked | None = None
        self._stamp_ns, self._elapsed_ms = 0, 0.0

    @property
    def state(self) -> TrackerState:
        """INIT, TRACKING or LOST, after the last frame."""
        return self._watch.state

    @property
    def head(self) -> SceneHead | None:
        """The head in use, None before the first."""
        return self._localizer.head

    @property
    def begun(self) -> str:
        """The map begun last here, at the first frame or by `reset`; empty = none."""
        return self._maps.begun

    @property
    def gave_up(self) -> dict[str, float]:
        """What was left out to keep its time, see `Scheduler.gave_up` and `MapDelay.values`.

        `robot_share`, where it is there, is the share of the picture that shows the robot.
        """
        share = self.robot_parts.share
        return self._scheduler.gave_up | self._delay.values() | (
            {"robot_share": share} if share else {})

    def reset(self) -> None:
        """Start a new map with the next frame; in localization mode look for the map anew."""
        if self._config.localization_only:
            self._forget_surroundings()
            self._watch.state = TrackerState.INIT if self.head is None else TrackerState.LOST
            return
        self._maps.left(self.map_id)
        self._begin(uuid.uuid4().hex[:12])
        self._maps.begun = self.map_id

    def set_head(self, payload: bytes, version: int) -> None:
        """Take over new head weights; weights of another map mean: localize in that one.

        Raises:
            MapError: the weights are damaged or belong to another encoder.
        """
        loaded = load_head(payload, self._encoder, self._config)
        info = loaded.info
        if info.map_id != self.map_id and self._maps.is_straggler(info):
            return
        if info.map_id == self.map_id:
            self._maps.followed()
        else:
            log.info("localizing in map %s", info.map_id)
            self._maps.left(self.map_id)
            self._begin(info.map_id)
            self._watch.state = TrackerState.LOST
            # some that another tracker has sent may not be learned yet
            self._keyframes.next_id = info.next_keyframe + _KEYFRAME_ID_MARGIN
        self._localizer.head, self._localizer.submaps = loaded.head, info.submaps
        self._version = version
        self._delay.learned(info.next_keyframe)
        if info.map_revision != self.map_revision:
            self._follow_correction(loaded.keyframe_poses)
            self.map_revision = info.map_revision

    def _follow_correction(self, poses: dict[int, SubmapPose]) -> None:
        """Move local keyframes and the last pose with the keyframes that the mapper corrected.

        The velocity is in the camera's frame and stays, so that the motion goes on smoothly.
        """
        before = self._model.submap
        motions = self._local.correct(poses)
        for part in (self._moving, self._mapping, self._model, self._previous, self.robot_parts,
                     self.scanner):
            part.correct(motions)
        if self._model.submap != before:
            log.info("submap %d is joined: tracking goes on in map %s", before, self.map_id)

    def track(self, frame: Frame, hints: TrackingHints = _NO_HINTS) -> TrackResult:
        """Find the pose of a frame.

        Args:
            frame: the newest frame.
            hints: what others know of the camera.

        Returns:
            What became of the frame; `work` may still say more.

        Raises:
            DataError: `sensor.mask` is of another shape.
        """
        clock = StageClock()
        self._stamp_ns, self._tracked = frame.stamp_ns, None
        self._model.observe_odometry(hints.T_odom_cam)
        motion = self._model.until(frame.stamp_ns)
        gone_on = self._following.stalled(frame, motion)
        if gone_on is not None and hints.T_map_cam_prior is None:
            self._watch.seen(frame.stamp_ns, self.map_id)
            return self._result(clock, gone_on)
        twist_6 = motion.predicted_twist_6 if motion and frame.depth_late_s else None
        whole = self._mask.of(at_color_time(frame.with_any_depth(), twist_6))
        frame = self.robot_parts.see(whole)
        self.scanner.mount = hints.T_base_cam
        if self.state is TrackerState.INIT:
            return self._initialize(frame, hints, clock)
        predicted = self._predict(frame, hints)
        aligned = None if predicted is None else self._following.follow(frame, predicted, motion)
        clock.lap(Stage.ALIGN)
        features, raw = None, None
        if aligned is None or not aligned.held_well or not self._is_steady:
            features = self._localizer.describe(frame)
            clock.lap(Stage.ENCODE)
            raw = self._localizer.localize(features, self._model.submap, self._everywhere)
            clock.lap(Stage.LOCALIZE)
            if raw is None and self.state is TrackerState.LOST and self.head is not None:
                raw = self._turned.look(frame, self._model.submap, self._everywhere)
                self._localizer.tell(raw)
                clock.lap(Stage.TURNED)
        first = aligned
        aligned, believed = self._selection.select(frame, predicted, aligned, raw, motion)
        clock.lap(Stage.ALIGN)
        self._is_steady = aligned is not None and aligned.held_well
        if aligned is None and believed is None and predicted is not None:
            aligned = self._aligner.align_surfaces(frame, predicted)
            clock.lap(Stage.SURFACES)
        pose = believed if aligned is None else aligned
        if pose is None:
            self._following.bridge(frame, motion)
            return self._missing(frame, hints, features, raw, clock)
        if (in_the_map := self._return.in_map(pose)) is not None:
            log.info("submap %d shows map %s: tracking goes on there", pose.submap, self.map_id)
            pose, motion = in_the_map, None
        self._accept(frame, whole, pose, jumped=first is not None and pose is not first)
        self._following.step_off(frame, pose, motion)
        self._tracked = Tracked(frame, pose, motion, features, raw, self._following.by_keyframes,
                                self._model.is_guess)
        return self._result(clock, pose, raw)

    def work(self, deadline_s: float = math.inf) -> WorkResult:
        """Do what the pose of the frame tracked last did not need.

        Args:
            deadline_s: time of `time.monotonic()` by which to end; what does not fit waits for
                later frames. Infinite: everything is done, which repeats exactly.
        """
        clock = StageClock()
        self._scheduler.begin_work(deadline_s)
        raw = None
        if self._tracked is not None:
            raw = self._mapping.work(self._tracked, clock)
            if self._mapping.doubts:
                self._is_steady = False  # the head looks at the next frame at once
            self._return.work(self._tracked, self._scheduler, clock)
        keyframes = self._mapping.finished_keyframes(self.map_revision)
        pruned = self._moving.pruned(
            self._stamp_ns, self._local.corner_motion, self.robot_parts)
        if pruned is not None:
            keyframes.append(pruned)
        self._delay.sent(keyframe.id for keyframe in keyframes)
        elapsed_ms = clock.elapsed_ms
        self._scheduler.end_frame(
            self._elapsed_ms + elapsed_ms,
            looked=self._tracked is None or self._mapping.looked)
        self._tracked = None
        return WorkResult(tuple(keyframes), raw, self._localizer.support, elapsed_ms,
                          clock.stages_ms)

    def _predict(self, frame: Frame, hints: TrackingHints) -> SubmapPose | None:
        """Where the camera should be; None when that is not known, or not wanted."""
        if not self._config.tracker.refine:
            return None
        if hints.T_map_cam_prior is not None:
            return SubmapPose(hints.T_map_cam_prior)
        return self._model.predict(frame.stamp_ns)

    @property
    def _everywhere(self) -> bool:
        """Whether the camera may be in any submap, as a lost one; else it is sought in its own."""
        return self._model.last is None and not self._config.localization_only

    def _initialize(self, frame: Frame, hints: TrackingHints, clock: StageClock) -> TrackResult:
        """Make the first frame with enough depth the origin of a new map."""
        if self._config.localization_only:
            return self._result(
                clock, reason="waiting for the map: is the mapper up, and ros.map_dir set?")
        features = self._localizer.describe(frame)
        clock.lap(Stage.ENCODE)
        least = self._config.solver.min_inliers
        if features.depth_count < least or not self._aligner.can_show(frame):
            return self._result(clock, reason=explain_waiting(
                features, frame, self._config.sensor, least))
        self._maps.begun = self.map_id
        return self._start(MAIN_SUBMAP, frame, hints, features, clock)

    def _start(
        self, submap: int, frame: Frame, hints: TrackingHints, features: Features,
        clock: StageClock,
    ) -> TrackResult:
        """Make a frame the first of the map, or of a submap."""
        T_map_cam = hints.T_map_cam_first
        pose = AlignedPose(np.array(T_BODY_OPTICAL if T_map_cam is None else T_map_cam),
                           _FIRST_COVARIANCE_66, 0, 0, submap=submap)
        self._mapping.start(self._keyframes.add_first(frame, pose), features)
        self.robot_parts.settle(frame, pose)
        self._note(frame.stamp_ns, pose)
        return self._result(clock, pose)

    def _accept(
        self, frame: Frame, whole: Frame, pose: AlignedPose | PoseEstimate, jumped: bool
    ) -> None:
        """Note a pose, and what the frame, and the whole picture, tell of things that move."""
        self._note(frame.stamp_ns, pose, jumped)
        if self._moving.add(frame, pose):
            standing = self._moving.standing(pose.submap)
            for _, keyframe in self._local.nearest(pose):
                keyframe.stands_n &= standing(self._aligner.points(keyframe))
        if self.robot_parts.settle(whole, pose):
            for keyframe in self._local:
                keyframe.stands_n &= self.robot_parts.shows_scene(keyframe.pixels_n2)

    def _note(self, stamp_ns: int, pose: SubmapPose, jumped: bool = False) -> None:
        """Update motion model and state after an accepted pose."""
        self._model.moved(stamp_ns, pose, jumped)
        self._selection.clear()
        self._unknown.clear()
        self._watch.seen(stamp_ns, self.map_id)

    def missed(self, stamp_ns: int) -> None:
        """Count a frame without pose, or an unusable one; LOST after `tracker.lost_after_s`."""
        if self._watch.missed(stamp_ns):
            self._model.lose()

    def _missing(
        self, frame: Frame, hints: TrackingHints, features: Features | None,
        raw: PoseEstimate | None, clock: StageClock,
    ) -> TrackResult:
        """Count a frame without pose; begin a submap when the place is unknown for long."""
        self.missed(frame.stamp_ns)
        if self.state is TrackerState.LOST and features is not None:
            # those of the local map may not have reached the mapper yet
            taken = self._local.submaps.union(self._localizer.submaps)
            submap = self._unknown.new_submap(frame, features, self.head, taken)
            if submap is not None:
                log.warning("unknown place: going on in submap %d of map %s", submap, self.map_id)
                self._averaging.clear()
                self._model.traveled_m = 0.0
                return self._start(submap, frame, hints, features, clock)
        return self._result(clock, raw=raw, reason=self._selection.rival or explain_missing(
            features, raw, frame, self._config, self.head is not None))

    def _result(
        self, clock: StageClock, pose: AlignedPose | PoseEstimate | None = None,
        raw: PoseEstimate | None = None, reason: str = "",
    ) -> TrackResult:
        submap = self._model.submap if pose is None else pose.submap
        self._elapsed_ms = clock.elapsed_ms
        return TrackResult(
            stamp_ns=self._stamp_ns, state=self.state, map_id=self.map_id, submap=submap,
            map_revision=self.map_revision,
            T_map_cam=None if pose is None else pose.T_map_cam,
            covariance_66=None if pose is None else self._model.reported(pose.covariance_66),
            T_map_cam_raw=in_map(raw), support=self._localizer.support,
            weights_version=self._version, processing_ms=self._elapsed_ms,
            stages_ms=clock.stages_ms,
            reason=reason or (explain_submap(submap) if pose is not None else ""))
