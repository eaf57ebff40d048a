"""Shows a running system in rerun: `ace-slam up --view`, or a process of its own.

`python -m ace_slam_ros.ros.nodes.viewer [TARGET] --ros-args ...` takes the nodes' parameters.
It only listens, and computes the predicted coordinates itself: it cannot hold up the nodes.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2

from ...core.encoders.loading import load_encoder
from ...core.errors import AceSlamError
from ...core.geometry.se3 import transform_points
from ...core.heads.factory import load_head
from ...core.runtime.device import choose_device, set_threads
from ...core.runtime.newest_slot import NewestSlot
from ...core.tracking.result import TrackerState
from ...io.warm_up import warm_up_inputs
from ...msg import SlamStatus
from ...viewer.layers import Grid
from ...viewer.rerun_view import open_view
from ...weights_ipc.layout import segment_name
from ..inputs.camera_topics import ImageInputs
from ..inputs.depth_place import DepthPlace, frame_of
from ..inputs.extrinsic import Extrinsic
from ..messages.clouds import xyz_of
from ..messages.conversions import stamp_to_ns
from ..messages.poses import pose_from_msg
from ..parameters import TELLS_OVERRIDES, declare_parameters
from ..process.signals import stop_event
from ..qos import latched_qos, reliable_qos, sensor_qos
from ..tf.factory import make_transforms
from ..weights.link import WeightsLink, weights_schema
from .base import choose_libraries

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ...core.heads.base import SceneHead
    from ..config import NodeConfig
    from ..inputs.synchronizer import ImagePair

log = logging.getLogger(__name__)
#: Pictures per second that are drawn.
_RATE_HZ = 10.0
_NAMES = {int(state): state.name for state in TrackerState} | {SlamStatus.PAUSED: "PAUSED"}


class ViewerNode(Node):
    """Listens to the camera and the nodes and draws the newest of everything."""

    def __init__(self, target: str) -> None:
        super().__init__("viewer", **TELLS_OVERRIDES)
        self.get_logger().info(f"libraries: {choose_libraries(self.get_logger())}")
        self.config: NodeConfig = declare_parameters(self)
        set_threads(1)
        warm_up_inputs()
        self._encoder = load_encoder(self.config.encoder, choose_device(self.config.device))
        self._link = WeightsLink(
            segment_name(self.get_namespace()), weights_schema(self._encoder))
        self._head: SceneHead | None = None
        self._transforms = make_transforms(self)
        self._extrinsic = Extrinsic(self, self.config.ros, self._transforms, tell=False)
        self._pairs: NewestSlot[ImagePair] = NewestSlot()
        self._place = DepthPlace(self, self._transforms)
        self._inputs = ImageInputs(self, self.config.ros, self._pairs.put)
        self._slots = [
            (self._listen(kind, name, qos), draw) for kind, name, qos, draw in (
                (SlamStatus, "status", reliable_qos(), self._draw_status),
                (PoseWithCovarianceStamped, "pose", latched_qos(), self._draw_pose),
                (Path, "path", latched_qos(), self._draw_path),
                (Path, "keyframe_poses", latched_qos(), self._draw_keyframes),
                (PointCloud2, "map_points", latched_qos(), self._draw_points),
                (OccupancyGrid, "map", latched_qos(), self._draw_grid),
                (PointCloud2, "obstacles", sensor_qos(), self._draw_obstacles))]
        self._problems: dict[str, str] = {}
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._hear_diagnostics, reliable_qos(20))
        self._view = open_view(target, self.config, self._encoder)
        self._camera_frame = ""
        self._T_map_base: Float64Array | None = None

    def _listen(self, kind: Any, name: str, qos: Any) -> NewestSlot[Any]:
        slot: NewestSlot[Any] = NewestSlot()
        self.create_subscription(kind, name, slot.put, qos)
        return slot

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep what is wrong with each node of this namespace."""
        for status in message.status:
            if status.hardware_id == "ace_slam_ros" and status.name.startswith(
                    self.get_namespace().lstrip("/")):
                bad = status.level != status.OK
                self._problems[status.name] = (
                    f"**{status.name}**: {status.message}" if bad else "")

    def draw(self) -> None:
        """Draw what is new; in the drawing thread."""
        self._link.take(self._take_head)
        if (pair := self._pairs.take(0.05)) is not None:
            self._draw_pair(pair)
        for slot, draw in self._slots:
            if (message := slot.take(0.0)) is not None:
                draw(message)
        self._view.layers.problems([text for text in dict(self._problems).values() if text])

    def _draw_status(self, status: SlamStatus) -> None:
        self._view.state(
            _NAMES.get(status.state, "?"), status.inlier_ratio, status.processing_ms,
            status.reason)
        if status.state != SlamStatus.TRACKING and self._T_map_base is not None:
            self._T_map_base = None  # nobody knows where in the map obstacles are
            self._view.layers.obstacles(np.empty((0, 3)))

    def _draw_pose(self, message: PoseWithCovarianceStamped) -> None:
        """Draw the robot, and the camera on it."""
        T_map_base = self._T_map_base = pose_from_msg(message.pose.pose)
        self._view.layers.robot(T_map_base)
        T_base_cam = self._extrinsic.at(
            self._camera_frame, stamp_to_ns(message.header.stamp))
        if T_base_cam is not None:
            self._view.camera_pose(T_map_base @ T_base_cam)

    def _draw_keyframes(self, path: Path) -> None:
        if path.poses:
            self._view.layers.keyframes(np.array([pose_from_msg(p.pose) for p in path.poses]))

    def _draw_points(self, cloud: PointCloud2) -> None:
        self._view.map_points(xyz_of(cloud))

    def _draw_obstacles(self, cloud: PointCloud2) -> None:
        if self._T_map_base is not None:
            self._view.layers.obstacles(
                transform_points(self._T_map_base, xyz_of(cloud).astype(np.float64)))

    def _draw_grid(self, message: OccupancyGrid) -> None:
        info, cells = message.info, np.asarray(message.data, np.int8)
        if cells.size != info.height * info.width:
            return  # not of our mapper
        cells = cells.reshape(info.height, info.width)
        self._view.layers.grid(Grid(cells, info.resolution, pose_from_msg(info.origin)))

    def _take_head(self, payload: bytes, version: int) -> None:
        self._head = load_head(payload, self._encoder, self.config).head

    def _draw_pair(self, pair: ImagePair) -> None:
        frame = frame_of(pair, self._place, self.config.sensor)
        self._view.at(frame.stamp_ns)
        self._view.frame(frame)
        self._view.coordinates(frame, self._head)
        self._camera_frame = pair.color.header.frame_id

    def _draw_path(self, path: Path) -> None:
        """Draw the base's path."""
        self._view.trajectory(np.array(
            [(p.pose.position.x, p.pose.position.y, p.pose.position.z) for p in path.poses]))

    def close(self) -> None:
        """Unsubscribe and hand over what was drawn."""
        for part in (self._inputs, self._place, self._transforms, self._link, self._view):
            part.close()


def _arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="viewer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("target", nargs="?", default="", help="FILE.rrd, an address, or a window")
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this process does")
    args, ros = parser.parse_known_args(argv)
    if ros and ros[0] != "--ros-args":
        parser.error(f"unrecognized arguments: {' '.join(ros)}")
    return args, ros


def _run(args: argparse.Namespace, stop: threading.Event) -> None:
    node = ViewerNode(args.target)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        try:
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            stop.set()

    spinner = threading.Thread(target=spin, name="listen", daemon=True)
    spinner.start()
    told = ""
    try:
        while not stop.wait(1.0 / _RATE_HZ):
            if args.parent_pid and os.getppid() != args.parent_pid:
                break
            try:
                node.draw()
            except AceSlamError as error:
                if told != (told := str(error)):  # of the next picture it is the same
                    log.warning("not drawn: %s", error)
    finally:
        stop.set()
        spinner.join(2.0)
        node.close()
        executor.shutdown()
        node.destroy_node()


def main(argv: Sequence[str] | None = None) -> int:
    """Show the system until told to stop; exit code 0 done, 2 it cannot be shown."""
    args, ros = _arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("ace_slam_ros").setLevel(logging.INFO)  # not what libraries have to say
    with stop_event() as stop:
        rclpy.init(args=ros or None, signal_handler_options=SignalHandlerOptions.NO)
        try:
            _run(args, stop)
            return 0
        except AceSlamError as error:
            log.error("viewer: %s", error)
            return 2
        finally:
            rclpy.try_shutdown()


def viewer_command(target: str, params: FilePath, namespace_arguments: Sequence[str]) -> list[str]:
    """Return the command that shows the nodes started with the parameter file `params`."""
    return [sys.executable, "-m", "ace_slam_ros.ros.nodes.viewer", *([target] if target else []),
            "--parent-pid", str(os.getpid()), "--ros-args", "--params-file", str(params),
            *namespace_arguments]


if __name__ == "__main__":
    sys.exit(main())
