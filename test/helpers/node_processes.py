"""Live systems for tests: the nodes as processes, and a probe that plays camera and client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMsg
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import SetBool, Trigger

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.conversions import camera_to_msg, image_to_msg
from ace_slam_ros.ros.qos import latched_qos, reliable_qos, sensor_qos
from ace_slam_ros.ros.weights.announcement import announcement_path
from ace_slam_ros.srv import LoadMap, Relocalize, SaveMap
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path
from helpers.wall import CAMERA, Wall

FRAME = "camera_color_optical_frame"
PATIENCE_S = 60.0


class NodeProcess:
    """One node as a process; its output is kept in a file.

    Args:
        name, namespace: of the node.
        folder: for its output and state.
        remaps: rules like `/tf:=tf`.
        variables: of its environment, besides those of this process.
        parameters: `__` stands for a point.
    """

    def __init__(
        self, name: str, namespace: str, folder: Path, remaps: Iterable[str] = (),
        variables: Mapping[str, str] = MappingProxyType({}), **parameters: Any,
    ) -> None:
        self.log = folder / f"{name}-{time.monotonic_ns()}.log"
        arguments = ["--ros-args", "-r", f"__ns:={namespace}"]
        for rule in remaps:
            arguments += ["-r", rule]
        for key, value in parameters.items():
            arguments += ["-p", f"{key.replace('__', '.')}:={value}"]
        environment = os.environ | {
            "XDG_STATE_HOME": str(folder / "state"), "OMP_NUM_THREADS": "1",
            "ROS_LOG_DIR": str(folder / "ros_log")} | dict(variables)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ace_slam_ros.ros.process.start", name, *arguments],
                env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def wait_for(self, text: str) -> None:
        """Wait until the node has logged `text`."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, f"no '{text}' in:\n{self.log.read_text()}"
            assert self.process.poll() is None, f"it ended:\n{self.log.read_text()}"
            time.sleep(0.05)


class Probe:
    """Publishes images one by one and collects what the nodes say.

    A frame is sent again until its status comes back, so that nothing depends on timing or on
    images lost on an overloaded machine.
    """

    def __init__(self, namespace: str) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("probe", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        create = self.node.create_publisher
        self.color = create(Image, "rgb/image", sensor_qos(5))
        self.depth = create(Image, "depth/image", sensor_qos(5))
        self.info = create(CameraInfo, "rgb/camera_info", sensor_qos(5))
        self.initialpose = create(PoseWithCovarianceStamped, "initialpose", reliable_qos())
        self.status: list[SlamStatus] = []
        self.poses: list[PoseWithCovarianceStamped] = []
        self.odometry: list[Odometry] = []
        self.points: list[PointCloud2] = []
        self.keyframe_poses: list[PathMsg] = []
        for kind, name, sink, qos in (
            (SlamStatus, "status", self.status, reliable_qos(50)),
            (PoseWithCovarianceStamped, "pose", self.poses, latched_qos()),
            (Odometry, "odometry", self.odometry, reliable_qos(50)),
            (PointCloud2, "map_points", self.points, latched_qos()),
            (PathMsg, "keyframe_poses", self.keyframe_poses, latched_qos()),
        ):
            self.node.create_subscription(kind, name, sink.append, qos)
        self.clients = {
            name: self.node.create_client(kind, name) for kind, name in (
                (Relocalize, "relocalize"), (SaveMap, "save_map"), (LoadMap, "load_map"),
                (Trigger, "reset"), (SetBool, "pause"))}

    def spin_until(self, done: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
        """Handle messages until `done()` is true; return its value."""
        deadline = time.monotonic() + timeout_s
        while not (found := done()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=0.05)
        return found

    def publish(
        self, stamp_ns: int, image: np.ndarray, depth: np.ndarray, camera: Camera = CAMERA
    ) -> None:
        """Publish a pair once, whether somebody hears it or not."""
        self.info.publish(camera_to_msg(camera, stamp_ns, FRAME))
        self.color.publish(image_to_msg(image, stamp_ns, FRAME))
        self.depth.publish(image_to_msg(depth, stamp_ns, FRAME))

    def send(
        self, stamp_ns: int, image: np.ndarray, depth: np.ndarray, camera: Camera = CAMERA
    ) -> SlamStatus:
        """Publish a pair until the tracker says what became of it."""
        def answer() -> SlamStatus | None:
            return next((s for s in reversed(self.status) if _ns(s) == stamp_ns), None)

        deadline = time.monotonic() + PATIENCE_S
        self.spin_until(
            lambda: all(p.get_subscription_count() for p in (self.info, self.color, self.depth)),
            "the tracker's inputs")
        while time.monotonic() < deadline:
            self.publish(stamp_ns, image, depth, camera)
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                if (found := answer()) is not None:
                    return found
                self.executor.spin_once(timeout_sec=0.05)
        raise AssertionError("the tracker says nothing about the frame")

    def pose_of(self, status: SlamStatus) -> PoseWithCovarianceStamped:
        """Return the pose published for the frame of a status; topics keep no common order."""
        return self.spin_until(
            lambda: next((p for p in reversed(self.poses) if _ns(p) == _ns(status)), None),
            "the pose of the frame")

    def call(
        self, name: str, request: Any, meanwhile: Callable[[], None] = lambda: None
    ) -> Any:
        """Call a service and return its response; `meanwhile` is called some times a second.

        A killed server still counts as ready for a while, and what goes to it is lost: ask again.
        """
        client = self.clients[name]
        self.spin_until(client.service_is_ready, f"service {name}")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            future = client.call_async(request)
            end = time.monotonic() + 10.0
            while not future.done() and time.monotonic() < end:
                meanwhile()
                self.executor.spin_once(timeout_sec=0.05)
            if future.done():
                return future.result()
            client.remove_pending_request(future)
        raise AssertionError(f"no answer of {name}")

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


class LiveSystem:
    """Three nodes, a probe and a world."""

    def __init__(self, namespace: str, folder: Path, **parameters: Any) -> None:
        self.namespace, self.folder, self.parameters = namespace, folder, parameters
        self.segment = segment_path(segment_name(namespace))
        self.wall = Wall()
        self.nodes = {n: self.start(n) for n in ("tracker", "mapper", "relocalizer")}
        self.probe = Probe(namespace)
        self.stamp_ns = 1_000_000_000

    def start(self, name: str, **more: Any) -> NodeProcess:
        """Start a node."""
        return NodeProcess(name, self.namespace, self.folder, **(self.parameters | more))

    def show(self, T_world_cam: np.ndarray) -> SlamStatus:
        """Let the camera see the world from a pose, a thirtieth of a second after the last one."""
        self.stamp_ns += 33_000_000
        return self.probe.send(self.stamp_ns, *self.wall.look(T_world_cam))

    def relocalize(
        self, T_world_cam: np.ndarray, request: Relocalize.Request | None = None
    ) -> Relocalize.Response:
        """Ask the relocalizer while the camera goes on looking from a pose."""
        pair = self.wall.look(T_world_cam)

        def look() -> None:
            self.stamp_ns += 33_000_000
            self.probe.publish(self.stamp_ns, *pair)

        return self.probe.call("relocalize", request or Relocalize.Request(), look)

    def close(self) -> None:
        """End everything that still runs."""
        self.probe.close()
        for node in self.nodes.values():
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        self.segment.unlink(missing_ok=True)
        announcement_path(self.segment.name).unlink(missing_ok=True)


@contextmanager
def live_system(namespace: str, folder: Path, **parameters: Any) -> Iterator[LiveSystem]:
    """Run a system; show the nodes' logs when the test fails."""
    system = LiveSystem(namespace, folder, **parameters)
    try:
        yield system
    finally:
        system.close()


def _ns(message: Any) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
