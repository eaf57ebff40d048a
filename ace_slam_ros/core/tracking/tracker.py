"""The tracker: one frame in, one pose out, and the states INIT, TRACKING, LOST.

Each frame is relocalized from scene coordinates without a prior (ACE-SLAM), then refined against
local keyframes by image tracks with depth; when the refinement fails the scene-coordinate pose is
the floor.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import numpy as np

from ..config.sections import SlamConfig
from ..data.features import Features
from ..data.frame import Frame
from ..data.keyframe import Keyframe
from ..data.poses import PoseEstimate, RefinedPose
from ..data.submaps import explain, first_pose
from ..encoders.base import Encoder
from ..geometry.arrays import Float64Array
from ..heads.base import SceneHead
from ..heads.factory import load_head
from ..heads.payload import read_info, unpack_poses
from ..localization.localizer import Localizer
from ..odometry.local_map import LocalMap
from ..odometry.motion_model import Motion, MotionModel
from .frame_budget import FrameBudget
from .keyframing import KeyframeMaker
from .moving_objects import SeenThrough
from .new_submap import UnknownPlace
from .pose_averaging import Anchor
from .pose_selection import Recovery, overrides, reachable
from .result import StageClock, TrackerState, TrackResult, explain_missing
from .scheduler import LateWork

#: Takes pose (4, 4) T_map_cam and covariance (6, 6) of a frame.
Answer = Callable[[Float64Array, Float64Array], None]

__all__ = ["TrackResult", "Tracker", "TrackerState"]

log = logging.getLogger(__name__)

_KEYFRAME_ID_MARGIN = 1000


class Tracker:
    """Estimates the camera pose of successive frames in the map of a head."""

    def __init__(
        self, config: SlamConfig, encoder: Encoder, *, T_map_cam_first: Float64Array | None = None,
        map_id: str | None = None, live: bool = False,
    ) -> None:
        """Start in INIT.

        Args:
            config: all parameters.
            encoder: the frozen encoder.
            T_map_cam_first: pose given to the first frame of a new map, default identity.
            map_id: name of the map this tracker starts, default random.
            live: keep to `tracker.frame_budget_ms` by relocalizing only some frames, which makes
                results depend on the speed of the machine.
        """
        self._config, self._encoder = config, encoder
        self._T_first = np.eye(4) if T_map_cam_first is None else np.array(T_map_cam_first)
        self._local = LocalMap(config.tracker, config.sensor)
        self._retired: set[str] = set()
        self._localization = config.ros.mode == "localization"
        self._seen_through = SeenThrough(config.sensor)
        self._model = MotionModel(config.tracker.motion_prior)
        self._anchor = Anchor(config, self._local, self._localization)
        self._localizer = Localizer(config, encoder)
        self._keyframes = KeyframeMaker(config, self._local, self._anchor, self._seen_through)
        self._recovery = Recovery(config.tracker)
        self._unknown = UnknownPlace(config)
        self._budget = FrameBudget(
            config.tracker.frame_budget_ms if live else 0.0, config.tracker.frame_deadline_ms)
        self._late = LateWork(config.tracker, self._budget, self._local, self._keyframes,
                              self._localizer, self._anchor, self._model)
        self._begin(map_id or uuid.uuid4().hex[:12])

    def _begin(self, map_id: str) -> None:
        self.map_id = map_id
        self.state = TrackerState.INIT
        self._localizer.clear()
        self._version, self._corrections = 0, 0
        self._keyframes.next_id = 0
        self._local.clear()
        self._anchor.clear()
        self.clear_motion()

    def clear_motion(self) -> None:
        """Forget velocity and time, after a clock jump; map and state stay."""
        self._model.clear()
        self._motion: Motion | None = None
        self._last_seen_ns: int | None = None
        self._prior: Float64Array | None = None
        self._recovery.clear()
        self._unknown.clear()
        self._steady = False
        self._budget.clear()
        self._late.clear()
        self._seen_through.clear()

    @property
    def corrections(self) -> int:
        """How many corrections of the map by the mapper the poses follow."""
        return self._corrections

    def reset(self) -> None:
        """Start a new map with the next frame; in localization mode look for the map anew."""
        if self._localization:
            self._local.clear()
            self.clear_motion()
            self._anchor.clear()
            self.state = TrackerState.INIT if self._localizer.head is None else TrackerState.LOST
            return
        self._retired.add(self.map_id)
        self._begin(uuid.uuid4().hex[:12])

    def set_first_pose(self, T_map_cam: Float64Array) -> None:
        """Give the first frame of the next map another pose (the camera's place became known)."""
        self._T_first = np.array(T_map_cam)

    def set_prior(self, T_map_cam: Float64Array) -> None:
        """Use a pose guess (from an operator or a filter) for the next frame."""
        self._prior = np.array(T_map_cam)

    def set_odometry(self, T_odom_cam: Float64Array | None) -> None:
        """Give the camera's pose (4, 4) in a drifting frame at the next frame's stamp, or None.

        Its change since the last pose predicts the motion instead of a constant velocity.
        """
        self._model.odometry = None if T_odom_cam is None else np.array(T_odom_cam)

    def set_head(self, payload: bytes, version: int) -> None:
        """Take over new head weights; weights of another map mean: localize in that one.

        Raises:
            MapError: the weights are damaged or belong to another encoder.
        """
        info = read_info(payload)
        if info.map_id in self._retired:
            return  # a straggler of the map just left
        if info.map_id == self.map_id:
            self._retired.clear()  # the mapper has followed; from now on a return is deliberate
        head, info = load_head(payload, self._encoder, self._config)
        if info.map_id != self.map_id:
            log.info("localizing in map %s", info.map_id)
            self._retired.add(self.map_id)
            self._begin(info.map_id)
            self.state = TrackerState.LOST
            # some that another tracker has sent may not be learned yet
            self._keyframes.next_id = info.next_keyframe + _KEYFRAME_ID_MARGIN
        self._localizer.head, self._localizer.segments = head, info.segments
        self._version = version
        if info.corrections != self._corrections:
            self._follow_corrections(unpack_poses(payload))
            self._corrections = info.corrections

    @property
    def gave_up(self) -> dict[str, float]:
        """What a live tracker left out to keep its time, see `FrameBudget.gave_up`."""
        return self._budget.gave_up

    def _follow_corrections(self, poses: dict[int, Float64Array]) -> None:
        """Move local keyframes and the last pose with the keyframes that the mapper corrected.

        The velocity is in the camera's frame and stays, so that the motion goes on smoothly.
        """
        before = self._model.segment
        motions = self._local.correct(poses)
        motion = motions.get(before, np.eye(4))
        self._seen_through.move(motion)
        self._late.move(motion)
        self._model.correct(motions)
        if self._model.segment != before:
            log.info("segment %d is joined: tracking goes on in map %s", before, self.map_id)

    @property
    def head(self) -> SceneHead | None:
        """The head in use, None before the first."""
        return self._localizer.head

    def process(
        self, frame: Frame, answer: Answer | None = None, late_ms: float = 0.0
    ) -> TrackResult:
        """Track one frame; never raises for what a camera can deliver.

        Args:
            frame: the newest frame.
            answer: takes pose and covariance as soon as image tracks hold the camera well, before
                the frame is relocalized or made a keyframe. Should that prove the pose wrong, the
                next frame's is right. Not called for other frames.
            late_ms: time since the frame arrived, for which a live tracker does less.

        Returns:
            What became of the frame in the end; its pose is the one that was answered.
        """
        clock = StageClock()
        self._budget.begin(late_ms)
        self._motion = self._model.until(frame.stamp_ns)
        if self.state is TrackerState.INIT:
            return self._initialize(frame, clock)
        prior, self._prior = self._prior, None
        predicted = self._model.predict(frame.stamp_ns) if prior is None else prior
        if not self._config.tracker.refine:
            predicted = None
        followed = None if predicted is None else self._refine(frame, predicted)
        clock.lap("refine")
        at_once = None
        held = followed is not None and followed.held_well
        if followed is not None and held:
            if answer is not None:
                at_once = followed.T_map_cam, followed.covariance_66
                answer(*at_once)
            if self._steady and self._budget.shares_work:
                return self._go_on(frame, followed, clock)
        features, raw, keyframe = None, None, None
        if self._budget.head_due(self._steady and held):
            features, raw = self._relocalize(frame, clock)
        refined, believed = self._settle(frame, predicted, followed, raw)
        clock.lap("refine")
        self._steady = refined is not None and refined.held_well
        if refined is None and believed is None and predicted is not None:
            refined = self._local.align(frame, predicted)
            clock.lap("align")
        best = believed if refined is None else refined
        pose, covariance = (None, None) if best is None else (best.T_map_cam, best.covariance_66)
        if pose is not None and covariance is not None:
            self._anchor.pull(raw, refined)
            self._follow(frame, pose, followed is not None and refined is not followed)
            if self._keyframes.wanted(frame, pose):
                # without refinement, as in ACE-SLAM, scene-coordinate poses make the map
                placed = refined is not None or not self._config.tracker.refine
                new = self._keyframes.add(frame, pose, covariance, self._motion, placed)
                if not self._budget.shares_work:
                    self._local.adjust()
                if new is not None:
                    keyframe = self._keyframes.for_mapper(
                        new, features or self._localizer.describe(frame))
                clock.lap("keyframe")
        else:
            self.missed(frame.stamp_ns)
            if self.state is TrackerState.LOST and features is not None:
                segment = self._unknown.new_segment(
                    frame, features, self._localizer.head, self._local,
                    self._localizer.segments)
                if segment is not None:
                    return self._start_segment(segment, frame, features, clock)
        reason = "" if pose is not None else explain_missing(
            features, raw, self._config.solver.min_inliers, self._localizer.head is not None)
        if at_once is not None:
            pose, covariance = at_once
        return self._result(frame, clock, pose, covariance, raw, keyframe, reason)

    def _relocalize(self, frame: Frame, clock: StageClock) -> tuple[Features, PoseEstimate | None]:
        """Describe the frame and solve its pose from scene coordinates alone."""
        features = self._localizer.describe(frame)
        clock.lap("encode")
        raw = self._localize(features)
        clock.lap("localize")
        return features, raw

    def _go_on(self, frame: Frame, followed: RefinedPose, clock: StageClock) -> TrackResult:
        """Take the pose of a camera that image tracks hold well; do the rest as time allows."""
        pose = followed.T_map_cam
        self._follow(frame, pose)
        raw, keyframe = self._late.work(frame, followed, self._motion, clock)
        self._steady = not self._late.doubts  # the head looks at the next frame at once
        return self._result(frame, clock, pose, followed.covariance_66, raw, keyframe, "")

    def _localize(self, features: Features) -> PoseEstimate | None:
        """Solve the pose; a tracked camera is sought in its own segment, a lost one in all."""
        everywhere = self._model.last is None and not self._localization
        return self._localizer.localize(features, self._model.segment, everywhere)

    def _initialize(self, frame: Frame, clock: StageClock) -> TrackResult:
        """Make the first frame with enough depth the origin of a new map."""
        if self._localization:
            reason = "waiting for the map: is the mapper up, and ros.map_dir set?"
            return self._result(frame, clock, None, None, None, None, reason)
        features = self._localizer.describe(frame)
        clock.lap("encode")
        known = features.depth_count
        if known < self._config.solver.min_inliers or not self._local.can_show(frame):
            reason = (f"waiting for a frame with texture and depth: {known} features have depth "
                      f"within {self._config.sensor.min_depth_m}.."
                      f"{self._config.sensor.max_depth_m} m")
            return self._result(frame, clock, None, None, None, None, reason)
        return self._start(frame, features, self._T_first, clock)

    def _start(
        self, frame: Frame, features: Features, T_map_cam: Float64Array, clock: StageClock
    ) -> TrackResult:
        """Make a frame the first of the map, or of a segment of it."""
        keyframe = self._keyframes.for_mapper(
            self._keyframes.add_first(frame, T_map_cam, np.zeros((6, 6))), features)
        self.state = TrackerState.TRACKING
        self._moved(frame.stamp_ns, T_map_cam)
        return self._result(frame, clock, T_map_cam, np.eye(6) * 1e-6, None, keyframe, "")

    def _start_segment(
        self, number: int, frame: Frame, features: Features, clock: StageClock
    ) -> TrackResult:
        """Go on in an unknown place."""
        log.warning("unknown place: going on in segment %d of map %s", number, self.map_id)
        self._anchor.clear()
        self._model.traveled_m = 0.0
        return self._start(frame, features, first_pose(number, self._T_first), clock)

    def _settle(
        self, frame: Frame, predicted: Float64Array | None, refined: RefinedPose | None,
        raw: PoseEstimate | None,
    ) -> tuple[RefinedPose | None, PoseEstimate | None]:
        """Choose between the pose refined from the prediction and one from scene coordinates.

        Returns:
            The refined pose, and the scene-coordinate pose if it is to be believed.
        """
        tracker = self._config.tracker
        if raw is not None and refined is None:
            if self._model.age_s(frame.stamp_ns) > tracker.lost_after_s:
                there, followed = None, 0
                if tracker.refine:
                    there, followed = self._local.compare(frame, raw.T_map_cam, self._motion)
                if self._recovery.found(raw, there, followed):
                    return there, raw
                raw = None
            elif predicted is not None and not reachable(
                    raw, predicted, tracker, self._model.traveled_m):
                raw = None
        if raw is None:
            if refined is None:  # moved otherwise than predicted, or was not seen for a moment
                refined = (self._still_near(frame) if predicted is None
                           else self._refine(frame, predicted, wide=True))
            return refined, None
        if refined is None or overrides(raw, refined, tracker, self._model.traveled_m):
            refined = self._refine(frame, raw.T_map_cam)
        elif not refined.held_well:  # after a jerk, tracks may agree by chance
            other = self._refine(frame, raw.T_map_cam) or refined
            refined = max(refined, other, key=lambda pose: pose.inliers)
        return refined, raw

    def _still_near(self, frame: Frame) -> RefinedPose | None:
        """Follow a camera from where it was lost a moment ago: covered, shaken, or held up."""
        near = self._model.nearby(frame.stamp_ns)
        there = None if near is None else self._refine(frame, near, wide=True)
        if there is not None and not there.held_well:
            there = self._refine(frame, there.T_map_cam)
        return there if there is not None and there.held_well else None

    def _refine(
        self, frame: Frame, T_seed: Float64Array, wide: bool = False
    ) -> RefinedPose | None:
        if not self._config.tracker.refine:
            return None
        return self._local.refine(
            frame, T_seed, self._motion, wide=wide, thorough=self._budget.thorough)

    def _follow(self, frame: Frame, pose: Float64Array, corrected: bool = False) -> None:
        """Note an accepted pose, and what the frame tells of things that move."""
        self._moved(frame.stamp_ns, pose, corrected)
        if self._seen_through.add(frame, pose):
            self._local.leave_movers(pose, self._seen_through.standing)

    def _moved(self, stamp_ns: int, pose: Float64Array, corrected: bool = False) -> None:
        """Update motion model and state after an accepted pose."""
        self._model.moved(stamp_ns, pose, corrected)
        self._recovery.clear()
        self._unknown.clear()
        self._last_seen_ns = stamp_ns
        if self.state is TrackerState.LOST:
            log.info("found again in map %s", self.map_id)
        self.state = TrackerState.TRACKING

    def missed(self, stamp_ns: int) -> None:
        """Count a frame without pose, or an unusable one; LOST after `tracker.lost_after_s`."""
        if self._last_seen_ns is None:
            self._last_seen_ns = stamp_ns
        waited_s = (stamp_ns - self._last_seen_ns) * 1e-9
        if self.state is TrackerState.TRACKING and waited_s >= self._config.tracker.lost_after_s:
            log.warning("LOST: no pose for %.2f s; looking for the map in every frame", waited_s)
            self.state = TrackerState.LOST
            self._model.lose()

    def _result(
        self, frame: Frame, clock: StageClock, pose: Float64Array | None,
        covariance: Float64Array | None, raw: PoseEstimate | None, keyframe: Keyframe | None,
        reason: str,
    ) -> TrackResult:
        elapsed_ms = clock.elapsed_ms
        self._budget.spent(elapsed_ms)
        return TrackResult(
            frame.stamp_ns, self.state, pose, covariance,
            None if raw is None else raw.T_map_cam, *self._localizer.confidence, self._version,
            keyframe, self._seen_through.revision(frame.stamp_ns, self._local.corner_motion),
            elapsed_ms, clock.stages_ms, reason or explain(pose))
