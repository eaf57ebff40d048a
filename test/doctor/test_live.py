"""The doctor against real publishers that are wrong in known ways."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import rclpy
from helpers.node_processes import FRAME
from helpers.wall import CAMERA
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.cli import main
from ace_slam_ros.doctor.findings import GOOD, NOTE, PROBLEM
from ace_slam_ros.doctor.image_loss import measure
from ace_slam_ros.doctor.live import check_live, node_findings
from ace_slam_ros.doctor.topic_listener import LiveSystem
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.messages.conversions import camera_to_msg, image_to_msg
from ace_slam_ros.ros.qos import reliable_qos, sensor_qos

pytestmark = pytest.mark.live
COLOR = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
DEPTH = np.full((CAMERA.height, CAMERA.width), 1500, np.uint16)
SECOND = 10**9


@pytest.fixture(scope="module", autouse=True)
def context():
    """One context for the module: FastDDS gives the next one of a process the same identity."""
    rclpy.init()
    yield
    rclpy.try_shutdown()


@contextmanager
def camera(namespace, *, hz=30.0, color=COLOR, depth=DEPTH, depth_frame=FRAME, offset_s=0.0,
           depth_late_s=0.0, back_every=0, info=True, color_topic="rgb/image", compressed=False,
           reliable_subscriber=False, name="camera"):
    """Publish from a thread of its own until the block ends."""
    node = rclpy.create_node(name, namespace=namespace)
    colors = node.create_publisher(
        CompressedImage if compressed else Image, color_topic, sensor_qos(5))
    depths = node.create_publisher(Image, "depth/image", sensor_qos(5))
    infos = node.create_publisher(CameraInfo, "rgb/camera_info", sensor_qos(5)) if info else None
    if reliable_subscriber:
        node.create_subscription(Image, color_topic, lambda m: None, reliable_qos())
    count, done, begin_ns = 0, threading.Event(), time.time_ns()

    def shoot():
        nonlocal count
        count += 1
        # A regular grid, however irregularly this thread gets to run.
        stamp_ns = begin_ns + int((count / hz + offset_s) * SECOND)
        if back_every and count % back_every == 0:
            stamp_ns -= SECOND
        colors.publish(CompressedImage(header=image_to_msg(color, stamp_ns, FRAME).header)
                       if compressed else image_to_msg(color, stamp_ns, FRAME))
        depths.publish(image_to_msg(depth, stamp_ns - int(depth_late_s * SECOND), depth_frame))
        if infos is not None:
            infos.publish(camera_to_msg(CAMERA, stamp_ns, FRAME))

    def run():
        while not done.wait(1.0 / hz):
            shoot()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        node.destroy_node()


@contextmanager
def doctor_node(namespace):
    node = rclpy.create_node("doctor", namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield node, executor
    finally:
        executor.shutdown()
        node.destroy_node()


def look(namespace, seconds=0.8, **values):
    """Return {(check, level): text} of everything found."""
    with doctor_node(namespace) as (node, executor):
        findings = check_live(
            node, executor, NodeConfig().with_values(values), {}, topics={}, seconds=seconds,
            required=True)
    return {(f.check, f.level): f"{f.text} -> {f.fix}" for f in findings}


def problems(found):
    return {check for check, level in found if level == PROBLEM}


def test_a_good_camera_is_good():
    with camera("/good"):
        found = look("/good")
    assert problems(found) <= set(), found
    assert "16UC1" in found["/good/depth/image", GOOD] and "ms" in found["sync gap", GOOD]
    assert ("nodes", NOTE) in found and "camera_extrinsic" in found["camera mount", NOTE]


def test_units_frames_sizes_and_gap():
    metres_as_millimeters = np.tile(np.linspace(800, 2500, 160, dtype=np.float32), (120, 1))
    with camera("/bad", depth=metres_as_millimeters, depth_frame="depth_optical_frame",
                depth_late_s=0.012, hz=20.0):
        found = look("/bad", **{"ros.slop_s": 0.005})
    assert "values look like millimeters" in found["/bad/depth/image", PROBLEM]
    assert "align_depth" in found["depth registration", PROBLEM]
    assert "ros.slop_s=0.0" in found["sync gap", PROBLEM]
    assert ("/bad/rgb/image", GOOD) in found


def test_encoding_clock_and_missing_calibration():
    with camera("/clock", depth=np.zeros((CAMERA.height, CAMERA.width), np.uint8),
                offset_s=-3600.0, info=False):
        found = look("/clock")
    assert "16UC1" in found["/clock/depth/image", PROBLEM] and "chrony" in found[
        "/clock/rgb/image", PROBLEM]
    assert "nobody publishes it" in found["/clock/rgb/camera_info", PROBLEM]


def test_wrong_name_and_backward_stamps():
    with camera("/other", color_topic="color/image_raw", back_every=7):
        found = look("/other")
    assert "/other/color/image_raw" in found["/other/rgb/image", PROBLEM]
    assert "go back" in found["/other/depth/image", PROBLEM]


def test_wrong_transport_and_two_cameras():
    with camera("/twice"), camera("/twice", compressed=True, color_topic="rgb/image/compressed",
                                     name="camera2"):
        found = look("/twice", **{"ros.color_transport": "compressed"})
        raw = look("/twice")
    assert "2 publishers" in found["/twice/depth/image", PROBLEM]
    assert ("/twice/rgb/image/compressed", PROBLEM) in found, "it holds no bytes"
    assert ("/twice/rgb/image", GOOD) in raw


def test_subscribers_that_get_nothing_are_named():
    with camera("/qos", reliable_subscriber=True):
        found = look("/qos")
    text = found["/qos/rgb/image", PROBLEM]
    assert "/qos/camera asks for reliability RELIABLE" in text and "qos_overrides" in text


def test_nodes_speak_for_themselves():
    system = LiveSystem({}, {}, ["/r/tracker", "/r/mapper"], diagnostics={
        "r/tracker": (2, "no data on /r/rgb/image"), "r/mapper": (0, "running")})
    found = {f.check: f for f in node_findings(system, "r")}
    assert found["r/tracker"].level == PROBLEM and "no data" in found["r/tracker"].text
    assert found["relocalizer"].level == PROBLEM and found["r/mapper"].level == GOOD
    assert node_findings(LiveSystem({}, {}, []), "")[0].level == NOTE
    system.diagnostics["r/mapper"] = (1, "no keyframes yet")
    assert {f.check: f.level for f in node_findings(system, "r")}["r/mapper"] == NOTE


def test_another_process_is_measured():
    with doctor_node("/loop") as (node, executor):
        delivery = measure(node, executor, dict(os.environ), seconds=0.7, width=64, height=48)
    assert delivery.sent == 21 and 0 < delivery.received <= 21
    assert delivery.latency_p50_ms < 1000.0


def test_command_line(tmp_path):
    def doctor(*words):
        done = subprocess.run(
            [sys.executable, "-m", "ace_slam_ros.cli", "doctor", *words], capture_output=True,
            text=True, check=False, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    code, text, _ = doctor("--no-loopback", "--no-live", "--json")
    told = json.loads(text)
    assert code == 0 and told["ok"] and "environment" in told["figures"]
    code, text, _ = doctor("--no-loopback", "--live", "--seconds", "0.3", "--set", "device=cuda:9")
    assert code == 1 and "WRONG  /rgb/image: nobody publishes it" in text and "-> " in text
    for wrong in (["--seconds", "-1"], ["--set", "no.such=1", "--no-loopback"]):
        with pytest.raises(SystemExit, match="2"):
            sys.exit(main(["doctor", *wrong]))
