"""Who takes note: every status and pose that is published, and when none can be expected."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped

from ace_slam_ros.core.geometry.se3 import T_BODY_OPTICAL
from ace_slam_ros.msg import Keyframe, SlamStatus
from ace_slam_ros.ros.messages.conversions import stamp_to_ns
from ace_slam_ros.ros.messages.poses import pose_from_msg
from ace_slam_ros.ros.qos import keyframe_qos, reliable_qos

_DEPTH = 500


@dataclass(frozen=True)
class StatusHeard:
    """One status and when it arrived (monotonic seconds)."""

    at_s: float
    stamp_ns: int
    state: int
    map_id: str
    version: int
    reason: str

    @property
    def tracked(self) -> bool:
        """Whether the frame has a pose."""
        return self.state == SlamStatus.TRACKING


@dataclass(frozen=True)
class PoseHeard:
    """One published pose, of the camera in the map, (4, 4)."""

    at_s: float
    stamp_ns: int
    T_map_cam: Any


class Excuses:
    """Times in which no pose can be expected.

    Attributes:
        spans: (begin, end) in monotonic seconds; the end of one that goes on is infinity.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._open: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, reason: str) -> None:
        """Expect no pose from now on; a reason that is known already changes nothing."""
        with self._lock:
            self._open.setdefault(reason, time.monotonic())

    def end(self, reason: str, grace_s: float) -> None:
        """Expect poses again after a grace."""
        with self._lock:
            begin_s = self._open.pop(reason, None)
            if begin_s is not None:
                self.spans.append((begin_s, time.monotonic() + grace_s))

    def now(self, grace_s: float) -> None:
        """Expect no pose for so long from now on."""
        now_s = time.monotonic()
        with self._lock:
            self.spans.append((now_s, now_s + grace_s))

    @contextmanager
    def during(self, reason: str, grace_s: float) -> Iterator[None]:
        """Expect no pose for the length of the block, and a grace."""
        self.begin(reason)
        try:
            yield
        finally:
            self.end(reason, grace_s)

    def all_spans(self) -> list[tuple[float, float]]:
        """Return all spans, those that go on as well."""
        with self._lock:
            return [*self.spans, *((t, float("inf")) for t in self._open.values())]


class Witness:
    """Keeps what the tracker says.

    Args:
        node: rclpy node that subscribes; somebody spins it.

    Attributes:
        statuses, poses: all so far, in order of arrival.
        keyframe: the newest keyframe message, None before the first.
    """

    def __init__(self, node: Any) -> None:
        self.statuses: list[StatusHeard] = []
        self.poses: list[PoseHeard] = []
        self.keyframe: Keyframe | None = None
        node.create_subscription(SlamStatus, "status", self._hear, reliable_qos(_DEPTH))
        node.create_subscription(
            PoseWithCovarianceStamped, "pose", self._keep_pose, reliable_qos(_DEPTH))
        node.create_subscription(Keyframe, "keyframe", self._keep_keyframe, keyframe_qos())

    def _hear(self, message: SlamStatus) -> None:
        self.statuses.append(StatusHeard(
            time.monotonic(), stamp_to_ns(message.header.stamp), message.state, message.map_id,
            message.weights_version, message.reason))

    def _keep_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.poses.append(PoseHeard(
            time.monotonic(), stamp_to_ns(message.header.stamp),
            pose_from_msg(message.pose.pose) @ T_BODY_OPTICAL))

    def _keep_keyframe(self, message: Keyframe) -> None:
        self.keyframe = message

    @property
    def last(self) -> StatusHeard | None:
        """The newest status."""
        return self.statuses[-1] if self.statuses else None
