"""The tracker node: image pairs in; pose, odometry, path, status, TF and keyframes out.

`pose`, `odometry`, `path` and TF are of `ros.base_frame` in `ros.map_frame`; `status.raw_pose` and
`keyframe.pose` are of the camera's optical frame in the map. The map's origin is the first base
pose. Where the camera's place on the robot is unknown, its body frame (x forward, y left, z up)
is taken as the base, so that z points up in the map.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from std_srvs.srv import SetBool, Trigger

from ...core.errors import AceSlamError
from ...core.navigation.obstacle_cloud import warm_up_obstacles
from ...core.runtime.newest_slot import NewestSlot
from ...core.tracking.result import TrackerState, TrackingHints, TrackResult
from ...core.tracking.scheduler import BETWEEN_FRAMES_S
from ...core.tracking.tracker import Tracker
from ...core.warm_up import warm_up
from ...io.warm_up import warm_up_inputs
from ...msg import Keyframe as KeyframeMsg
from ...msg import SlamStatus
from ..inputs.camera_topics import ImageInputs
from ..inputs.depth_place import DepthPlace, frame_of
from ..inputs.extrinsic import Extrinsic
from ..inputs.initial_pose import InitialPose
from ..inputs.silence import SilenceWatch
from ..messages.conversions import keyframe_to_msg
from ..outputs.diagnostics import Report
from ..outputs.obstacle_topics import ObstacleOutput
from ..outputs.pose_topics import PoseOutput
from ..outputs.status_topic import StatusOutput
from ..qos import keyframe_qos, service_qos
from ..tf.factory import make_transforms
from ..weights.announcement import Announcer
from ..weights.link import WeightsLink, weights_schema
from .base import SlamNode

if TYPE_CHECKING:
    from ..inputs.synchronizer import ImagePair


class TrackerNode(SlamNode):
    """Feeds `Tracker` with the newest image pair and publishes its results."""

    def __init__(self) -> None:
        super().__init__("tracker")

    def warm_up(self) -> None:
        """Track a few made-up pictures."""
        warm_up(self.config, self.encoder, maps=False)
        warm_up_obstacles()
        warm_up_inputs()

    def setup(self) -> None:
        """Make publishers, services and the link to the weights."""
        self._slot: NewestSlot[ImagePair] = NewestSlot()
        self._actions: deque[Callable[[Tracker], None]] = deque()
        self._tracker: Tracker | None = None
        self._paused = False
        self._status = StatusOutput(self, self.config.ros.map_frame)
        self._last: TrackResult | None = None
        self._trouble = ""
        self._link = WeightsLink(
            self.segment, weights_schema(self.encoder),
            lambda text: self.log_once(text, f"weights ignored: {text}"))
        self._announcer = Announcer(self.segment)
        self._transforms = make_transforms(self)
        self._extrinsic = Extrinsic(self, self.config.ros, self._transforms)
        self._output = PoseOutput(self, self.config.ros, self._transforms)
        self._obstacles = ObstacleOutput(self, self.config)
        self._keyframes = self.create_publisher(KeyframeMsg, "keyframe", keyframe_qos())
        self._entities: list[Any] = [
            self.create_service(kind, name, self.guarded_service(handler),
                                qos_profile=service_qos())
            for kind, name, handler in (
                (Trigger, "reset", self._reset), (SetBool, "pause", self._pause))]

    def start(self) -> Callable[[], None]:
        """Subscribe."""
        self._inputs = ImageInputs(self, self.config.ros, self._slot.put, self._time_jump)
        self._place = DepthPlace(self, self._transforms)
        self._silence = SilenceWatch(self, self._inputs, self._silent)
        self._prior = InitialPose(self, self.config.ros.map_frame)
        self._obstacles.start()
        return self._step

    def pause_work(self) -> None:
        """Unsubscribe."""
        for part in (self._silence, self._inputs, self._place, self._prior):
            part.close()
        self._slot.clear()
        self._output.interrupt()
        self._obstacles.stop()

    def teardown(self) -> None:
        """Drop what `setup` made."""
        for service in self._entities:
            self.destroy_service(service)
        self.destroy_publisher(self._keyframes)
        for part in (self._status, self._output, self._obstacles, self._transforms, self._link,
                     self._announcer):
            part.close()
        self._tracker = None

    # Callbacks, in the executor's thread: they only leave work for the worker -----------------

    def _silent(self, reason: str) -> None:
        """Say once a second why there is no pose: without pairs no frame does."""
        self._output.interrupt()
        map_id = self._tracker.map_id if self._tracker else ""
        state = SlamStatus.PAUSED if self._paused else (
            SlamStatus.LOST if map_id else SlamStatus.INIT)
        self._status.publish(self.get_clock().now().nanoseconds, state, map_id, reason, None)

    def _time_jump(self) -> None:
        self.log_once("jump", "stamps went back (a bag loop?): queues and motion are cleared "
                      "(further ones are counted as time_jumps)")
        self._slot.clear()
        self._transforms.clear()
        self._output.interrupt()
        self._actions.append(self._clear_motion)

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._actions.append(self._start_map)
        response.success, response.message = True, (
            "the camera is sought in the whole map from the next frame on, the map stays"
            if self.config.localization_only else "a new map starts with the next frame")
        return response

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused = request.data
        response.success, response.message = True, "paused" if request.data else "running"
        return response

    # Worker thread ------------------------------------------------------------------------------

    def _step(self) -> None:
        if (pair := self._slot.take(BETWEEN_FRAMES_S)) is None:
            if self._tracker is not None:
                self._update_head(self._tracker)
            return
        if self._paused:
            self._output.interrupt()
            self._say(pair, SlamStatus.PAUSED, "paused by the pause service")
            return
        try:
            tracker = self._ready_for(pair)
            if tracker is not None:
                self._process(tracker, pair)
        except Exception as error:  # whatever goes wrong with a frame, the next one may be good
            self._reject(pair, error)

    def _reject(self, pair: ImagePair, error: Exception) -> None:
        """Count a frame that could not be used, and say why."""
        self._status.rejected += 1
        if isinstance(error, AceSlamError):
            self._trouble = f"frame rejected: {error}"
            self.log_once(self._trouble, f"{self._trouble} (further ones are only counted)")
        else:
            self._trouble = f"frame rejected, unexpected {type(error).__name__}: {error}"
            self.log_exception("tracking")
        self._output.interrupt()
        state = int(SlamStatus.INIT)
        if self._tracker is not None:
            self._tracker.missed(pair.stamp_ns)  # a camera that delivers rubbish is LOST in time
            state = self._status.state_in_map(self._tracker.state)
        self._say(pair, state, self._trouble)

    def _ready_for(self, pair: ImagePair) -> Tracker | None:
        """Return the tracker, brought up to date; None while the camera's place is not known."""
        if self._tracker is not None:
            self._act(self._tracker)  # first: a reset looks for the camera's place again
        frame_id, base = pair.color.header.frame_id, self.config.ros.base_frame
        T_base_cam = self._extrinsic.at(frame_id, pair.stamp_ns)
        if T_base_cam is None:
            self._status.waited += 1
            self._say(pair, SlamStatus.INIT, f"waiting for TF {base} -> {frame_id}")
            return None
        self._T_base_cam = T_base_cam
        if self._tracker is None:
            self._tracker = Tracker(self.config, self.encoder)
            self._update_head(self._tracker)  # a reset leaves the mapper's map, if there is one
            self._act(self._tracker)
        return self._tracker

    def _process(self, tracker: Tracker, pair: ImagePair) -> None:
        """Track a pair, publish its pose, then do and publish what the pose did not need."""
        # without any depth, before glass or too near a wall, the image alone goes on from a pose
        known = tracker.state is TrackerState.TRACKING
        frame = frame_of(
            pair, self._place, self.config.sensor, require_depth=not known, gray=True)
        self._trouble = ""
        self._update_head(tracker)
        result = tracker.track(frame, self._hints(tracker, pair))
        self._announcer.say(tracker.map_id, tracker.begun)  # before a keyframe of it goes out
        self._output.show(result, self._T_base_cam)
        self._obstacles.show(
            frame, self._T_base_cam, self._extrinsic.source, tracker.robot_parts.mask_HW)
        latency_ms = (time.monotonic_ns() - pair.arrival_ns) * 1e-6
        work = tracker.work(self.config.tracker.deadline_s(pair.arrival_ns * 1e-9))
        result = result.with_work(work)
        self._last = result
        state = self._status.state_in_map(result.state, result)
        if waiting := self._link.waiting():
            self.log_once(waiting, waiting)
        also = "" if state == TrackerState.TRACKING else waiting
        reason = "; ".join(filter(None, (result.reason, also, self._output.tf.odometry.problem())))
        self._say(pair, state, reason, result, latency_ms)
        for keyframe in result.keyframes:
            self._keyframes.publish(keyframe_to_msg(
                keyframe, result.map_id, self.encoder.hash, self.config.ros.map_frame))

    def _hints(self, tracker: Tracker, pair: ImagePair) -> TrackingHints:
        """Gather what TF and operators tell of the camera."""
        prior = self._prior.take(keep=tracker.state is TrackerState.INIT)  # there is no map yet
        return TrackingHints(
            T_map_cam_prior=None if prior is None else prior @ self._T_base_cam,
            T_odom_cam=self._output.tf.camera_in_odometry(pair.stamp_ns, self._T_base_cam),
            T_map_cam_first=self._T_base_cam,
            T_base_cam=self._T_base_cam if self._extrinsic.is_known else None)

    def _act(self, tracker: Tracker) -> None:
        while self._actions:
            self._actions.popleft()(tracker)

    def _clear_motion(self, tracker: Tracker) -> None:
        tracker.clear_motion()
        self._prior.take(keep=False)
        self._output.interrupt()  # the frame that was worked on during the jump may have set it

    def _start_map(self, tracker: Tracker) -> None:
        tracker.reset()
        self._prior.take(keep=False)
        self._extrinsic.forget()
        self._output.new_map()

    def _update_head(self, tracker: Tracker) -> None:
        before, revision = tracker.map_id, tracker.map_revision
        self._link.take(tracker.set_head)
        self._announcer.say(tracker.map_id, tracker.begun)
        if tracker.map_id != before:
            self._output.new_map()
        elif tracker.map_revision != revision:
            self._output.map_moved()

    def _say(
        self, pair: ImagePair, state: int, reason: str, result: TrackResult | None = None,
        latency_ms: float = 0.0,
    ) -> None:
        self._status.received = self._inputs.synchronizer.pairs
        self._status.replaced = self._slot.replaced
        self._status.publish(
            pair.stamp_ns, state, self._tracker.map_id if self._tracker else "", reason, result,
            latency_ms)

    def report(self) -> Report:
        """Describe input, tracking and weights."""
        report = Report(values=self._inputs.values(time.monotonic_ns()) | self._status.values()
                        | self._output.values() | self._obstacles.values()
                        | {"extrinsic": self._extrinsic.source})
        if self._tracker is not None:
            report.values |= self._tracker.gave_up
            self._announcer.keep()
        report.error(self._silence.reason)
        for text in (self._inputs.several(), *self._inputs.incompatible.values(),
                     self._output.tf.problem()):
            report.error(text)
        report.warn(self._trouble)
        report.warn(self._place.said)
        report.warn(self._status.problem())
        report.warn(self._extrinsic.problem())
        report.warn(self._obstacles.problem())
        if self._tracker is not None:
            report.warn(self._tracker.scanner.problem)
        self._link.add_to(report)
        if self._last is not None:
            report.warn(self._last.reason)
        report.warn(self._inputs.clock_problem(self.get_clock().now().nanoseconds))
        return report
