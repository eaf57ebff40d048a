"""Listens to the live nodes for the demonstration: poses, status, keyframes; calls services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from ..core.data.trajectory import Trajectory
from ..core.errors import AceSlamError, DataError
from ..io.bags.file import header_stamp_ns
from ..msg import Keyframe, SlamStatus
from ..ros.messages.conversions import camera_to_msg, image_to_msg, stamp_to_ns
from ..ros.messages.poses import pose_from_msg
from ..ros.qos import latched_qos, reliable_qos
from ..srv import Relocalize, SaveMap

if TYPE_CHECKING:
    from ..core.data.frame import Frame
    from ..core.geometry.arrays import Float64Array

_FRAME_ID = "camera_color_optical_frame"
STATES = {
    SlamStatus.INIT: "INIT", SlamStatus.TRACKING: "TRACKING", SlamStatus.LOST: "LOST",
    SlamStatus.PAUSED: "PAUSED",
}


class LiveError(AceSlamError):
    """A node does not answer."""


class Collector:
    """Subscribes to the nodes of one namespace and spins in a thread of its own.

    Args:
        namespace: of the nodes.
        T_base_cam: camera (optical) in the base frame the nodes were told.

    Attributes:
        status: the last status, or None.
        first_s, last_s: monotonic time of the first and the last status.
        latencies_ms: latency of every processed frame.
        keyframe_stamps: stamps (ns) of the keyframes so far.
    """

    def __init__(self, namespace: str, T_base_cam: Float64Array) -> None:
        self._T_base_cam = T_base_cam
        self._poses: dict[int, Float64Array] = {}
        self._raw: dict[int, Float64Array] = {}
        self.status: SlamStatus | None = None
        self.first_s = self.last_s = 0.0
        self.latencies_ms: list[float] = []
        self.keyframe_stamps: set[int] = set()
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("demo", namespace=namespace)
        self._node.create_subscription(
            PoseWithCovarianceStamped, "pose", self._on_pose, latched_deep_qos())
        self._node.create_subscription(SlamStatus, "status", self._on_status, reliable_qos(100))
        self._node.create_subscription(
            Keyframe, "keyframe", self._on_keyframe, reliable_qos(50), raw=True)
        self._relocalize = self._node.create_client(Relocalize, "relocalize")
        self._save = self._node.create_client(SaveMap, "save_map")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="collector", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown(1.0)
        self._thread.join(2.0)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def wait_for_nodes(self, timeout_s: float, check: Callable[[], None]) -> None:
        """Wait until tracker, mapper and relocalizer are there.

        Args:
            timeout_s: patience.
            check: called now and then; raises to end the wait.

        Raises:
            LiveError: one of them is not; it is named.
        """
        signs: dict[str, Callable[[], bool]] = {
            "tracker": lambda: self._node.count_publishers("status") > 0,
            "mapper": self._save.service_is_ready,
            "relocalizer": self._relocalize.service_is_ready,
        }
        deadline_s = time.monotonic() + timeout_s
        while missing := [name for name, there in signs.items() if not there()]:
            check()
            if time.monotonic() > deadline_s:
                raise LiveError(f"{', '.join(missing)} not ready after {timeout_s:g} s")
            time.sleep(0.1)

    def trajectory(self) -> Trajectory:
        """Return the published poses as camera in map."""
        return _trajectory(self._poses)

    def raw_trajectory(self) -> Trajectory:
        """Return the scene-coordinate poses before any refinement, camera in map."""
        return _trajectory(self._raw)

    def relocalize(self, frame: Frame, timeout_s: float = 20.0) -> Relocalize.Response:
        """Ask where `frame` was taken, with nothing but the frame."""
        request = Relocalize.Request()
        request.image = image_to_msg(frame.image, frame.stamp_ns, _FRAME_ID)
        if frame.depth_m is not None:
            request.depth = image_to_msg(frame.depth_m, frame.stamp_ns, _FRAME_ID)
        request.camera_info = camera_to_msg(frame.camera, frame.stamp_ns, _FRAME_ID)
        return self._call(self._relocalize, request, timeout_s)

    def save_map(self, path: str, timeout_s: float = 30.0) -> SaveMap.Response:
        """Ask the mapper to save its map to the folder `path`."""
        return self._call(self._save, SaveMap.Request(path=path), timeout_s)

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            client.remove_pending_request(future)
            raise LiveError(f"service {client.srv_name} did not answer within {timeout_s:g} s")
        return future.result()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        T_map_base = _pose_or_none(message.pose.pose)
        if T_map_base is not None:
            self._poses[stamp_to_ns(message.header.stamp)] = T_map_base @ self._T_base_cam

    def _on_status(self, message: SlamStatus) -> None:
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        self.status = message
        if message.processing_ms > 0.0:
            self.latencies_ms.append(message.latency_ms)
        raw = _pose_or_none(message.raw_pose) if message.raw_valid else None
        if raw is not None:
            self._raw[stamp_to_ns(message.header.stamp)] = raw

    def _on_keyframe(self, data: bytes) -> None:
        # The stamp leads the message; half a megabyte of features is not worth decoding for it.
        self.keyframe_stamps.add(header_stamp_ns(data, 0))


def latched_deep_qos() -> Any:
    """Return the QoS of `pose` with a queue long enough to miss none while this process works."""
    qos = latched_qos()
    qos.depth = 100
    return qos


def _pose_or_none(message: Any) -> Float64Array | None:
    try:
        return pose_from_msg(message)
    except DataError:
        return None


def _trajectory(poses: dict[int, Float64Array]) -> Trajectory:
    return Trajectory.of((stamp_ns, poses[stamp_ns]) for stamp_ns in sorted(poses))
