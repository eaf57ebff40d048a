"""The viewer process: it listens to a system and records what `ace-slam up --view` shows."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from unittest.mock import MagicMock

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from helpers.node_processes import FRAME, PATIENCE_S, Probe
from helpers.wall import CAMERA, Wall
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, PointCloud2
from tf2_msgs.msg import TFMessage

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import make_pose
from ace_slam_ros.io.registration import Registration
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.clouds import cloud_to_msg
from ace_slam_ros.ros.messages.conversions import (
    camera_to_msg,
    image_to_msg,
    make_header,
)
from ace_slam_ros.ros.messages.poses import pose_to_msg
from ace_slam_ros.ros.nodes import viewer as viewer_module
from ace_slam_ros.ros.nodes.viewer import viewer_command
from ace_slam_ros.ros.qos import latched_qos, reliable_qos, sensor_qos
from ace_slam_ros.ros.tf.interface import StampedTransform

pytestmark = pytest.mark.live

DEPTH_CAMERA = Camera(240, 180, 220.0, 220.0, 119.5, 89.5)
T_COLOR_DEPTH = make_pose(np.eye(3), np.array([0.05, 0.0, 0.0]))


@pytest.fixture
def probe():
    made = Probe("/drawn")
    yield made
    made.close()


def test_depth_of_another_camera_is_drawn_where_the_tracker_has_it(probe, monkeypatch):
    view = MagicMock()
    monkeypatch.setattr(viewer_module, "open_view", lambda *_: view)
    depth_info = probe.node.create_publisher(CameraInfo, "depth/camera_info", sensor_qos())
    transforms = probe.node.create_publisher(TFMessage, "/tf_static", latched_qos())
    transforms.publish(TFMessage(transforms=[
        StampedTransform(FRAME, "depth", 0, T_COLOR_DEPTH).to_msg()]))
    image, _ = Wall().look(np.eye(4))
    depth_mm = np.full((180, 240), 1500, np.uint16)
    depth_mm[60:90, 100:130] = 900
    rclpy.init(args=["--ros-args", "-r", "__ns:=/drawn", "-p", "ros.odom_frame:=''"])
    try:
        node = viewer_module.ViewerNode("")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        deadline, stamp_ns = time.monotonic() + PATIENCE_S, 10**18
        while not view.frame.called and time.monotonic() < deadline:
            stamp_ns += 33_000_000
            depth_info.publish(camera_to_msg(DEPTH_CAMERA, stamp_ns, "depth"))
            probe.info.publish(camera_to_msg(CAMERA, stamp_ns, FRAME))
            probe.color.publish(image_to_msg(image, stamp_ns, FRAME))
            probe.depth.publish(image_to_msg(depth_mm, stamp_ns, "depth"))
            for _ in range(4):
                executor.spin_once(timeout_sec=0.02)
            with contextlib.suppress(DataError):  # what it waits for comes
                node.draw()
        node.close()
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    (frame,), _ = view.frame.call_args
    expected = Registration(DEPTH_CAMERA, CAMERA, T_COLOR_DEPTH).apply(
        depth_mm.astype(np.float32) / 1000)
    assert frame.depth_m.shape == (CAMERA.height, CAMERA.width)
    np.testing.assert_allclose(frame.depth_m, expected, atol=1e-6)


def test_a_running_system_is_recorded(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (optional)")
    params = tmp_path / "params.yaml"
    params.write_text("/**:\n  ros__parameters:\n    ros:\n      odom_frame: ''\n")
    record, log = tmp_path / "live.rrd", tmp_path / "log"
    command = viewer_command(str(record), params, ["-r", "__ns:=/seen"])
    with log.open("w") as lines:
        viewer = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT,
                                  env=os.environ | {"OMP_NUM_THREADS": "1"})
    probe = Probe("/seen")
    try:
        create = probe.node.create_publisher
        status = create(SlamStatus, "status", reliable_qos())
        path = create(Path, "path", latched_qos())
        points = create(PointCloud2, "map_points", latched_qos())
        keyframes = create(Path, "keyframe_poses", latched_qos())
        pose = create(PoseWithCovarianceStamped, "pose", latched_qos())
        grid = create(OccupancyGrid, "map", latched_qos())
        obstacles = create(PointCloud2, "obstacles", reliable_qos())
        diagnostics = create(DiagnosticArray, "/diagnostics", reliable_qos())
        probe.spin_until(lambda: viewer.poll() is not None or all(
            p.get_subscription_count() for p in (probe.color, probe.depth, probe.info)),
            "the viewer")
        assert viewer.poll() is None, log.read_text()
        image, depth_mm = Wall().look(np.eye(4))
        poses = [PoseStamped(pose=pose_to_msg(make_pose(np.eye(3), np.array([0.1 * i, 0, 0]))))
                 for i in range(5)]
        points.publish(cloud_to_msg(np.eye(3, dtype=np.float32), 0, "map"))
        keyframes.publish(Path(poses=poses))
        cells = OccupancyGrid(data=[0, 100, -1, 0, 50, 0])
        cells.info.width, cells.info.height, cells.info.resolution = 3, 2, 0.05
        grid.publish(cells)
        wrong = DiagnosticArray(status=[DiagnosticStatus(
            level=DiagnosticStatus.WARN, name="seen/tracker", hardware_id="ace_slam_ros",
            message="it is dark")])
        deadline = time.monotonic() + PATIENCE_S
        stamp_ns, size = 10**18, 0
        while size < 100_000 and time.monotonic() < deadline:
            stamp_ns += 33_000_000
            for publisher, message in (
                    (probe.info, camera_to_msg(CAMERA, stamp_ns, FRAME)),
                    (probe.color, image_to_msg(image, stamp_ns, FRAME)),
                    (probe.depth, image_to_msg(depth_mm, stamp_ns, FRAME)),
                    (status, SlamStatus(state=SlamStatus.TRACKING, inlier_ratio=0.5)),
                    (pose, PoseWithCovarianceStamped(header=make_header(stamp_ns, "map"))),
                    (obstacles, cloud_to_msg(np.eye(3, dtype=np.float32), 0, "base_link")),
                    (diagnostics, wrong),
                    (path, Path(header=make_header(stamp_ns, "map"), poses=poses))):
                publisher.publish(message)
            probe.executor.spin_once(timeout_sec=0.1)
            assert viewer.poll() is None, log.read_text()
            size = record.stat().st_size if record.exists() else 0
        viewer.send_signal(signal.SIGINT)
        assert viewer.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        probe.close()
        viewer.kill()
        viewer.wait()
    told = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(record)], capture_output=True,
        text=True, check=False).stdout
    for entity in ("/camera/image", "/map/camera", "/map/points", "/map/trajectory", "/map/robot",
                   "/map/grid", "/map/keyframes", "/map/obstacles", "/problems",
                   "/confidence/inlier_ratio", "/state"):
        assert entity in told, told[-2000:] + log.read_text()
    assert "Traceback" not in log.read_text()
