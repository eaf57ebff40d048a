"""Nodes under a lifecycle manager, and the tracker with the TF of a robot around it."""

import signal
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from helpers.node_processes import PATIENCE_S, LiveSystem
from helpers.wall import Wall, wander
from lifecycle_msgs.msg import State, Transition
from sensor_msgs.msg import PointCloud2

from ace_slam_ros.core.geometry.se3 import (
    T_BODY_OPTICAL,
    exp_se3,
    invert_pose,
)
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.poses import pose_from_msg, pose_to_msg, transform_from_msg
from ace_slam_ros.ros.qos import reliable_qos
from ace_slam_ros.srv import Relocalize, SaveMap
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path

pytestmark = pytest.mark.live

robots = pytest.importorskip("helpers.robots", reason="tf2_msgs is not installed")
Robot, T_BASE_CAM = robots.Robot, robots.T_BASE_CAM

T_MAP_ODOM = exp_se3(np.array([0.4, -0.3, 0.0, 0.0, 0.0, 0.7]))


@pytest.fixture
def robot(tmp_path):
    starter = LiveSystem.__new__(LiveSystem)
    starter.namespace, starter.folder, starter.parameters = "/robot", tmp_path, {}
    node = starter.start("tracker", ros__autostart=False)
    probe = Robot("/robot")
    try:
        yield probe, node
    finally:
        print(node.log.read_text())
        probe.close()
        node.process.kill()


def test_managed_tracker_publishes_map_to_odom(robot):
    probe, node = robot
    wall, poses = Wall(), wander(72)
    assert probe.state() == State.PRIMARY_STATE_UNCONFIGURED
    probe.spin_until(lambda: probe.diagnostics, "diagnostics")
    assert "unconfigured" in probe.diagnostics[-1].message
    assert probe.change(Transition.TRANSITION_CONFIGURE)
    assert probe.state() == State.PRIMARY_STATE_INACTIVE
    assert probe.change(Transition.TRANSITION_ACTIVATE)
    assert probe.state() == State.PRIMARY_STATE_ACTIVE

    probe.spin_until(lambda: probe.tf.get_subscription_count() > 1, "the tracker's TF listener")
    stamp_ns = 10**9
    for T_world_cam in poses[:4]:
        stamp_ns += 33_000_000
        T_map_base = T_BASE_CAM @ T_world_cam @ invert_pose(T_BASE_CAM)
        T_odom_base = invert_pose(T_MAP_ODOM) @ T_map_base
        probe.drive(stamp_ns - 10_000_000, T_odom_base)  # before and after the image, so that
        probe.drive(stamp_ns + 10_000_000, T_odom_base)  # its stamp can be interpolated
        status = probe.send(stamp_ns, *wall.look(T_world_cam))
    assert status.state == SlamStatus.TRACKING, status.reason
    probe.spin_until(lambda: len(probe.heard) > 3, "map -> odom")
    assert {t.child_frame_id for t in probe.heard} == {"odom"}
    found = transform_from_msg(probe.heard[-1].transform)
    assert np.allclose(found, T_MAP_ODOM, atol=0.01)
    # the pose is of base_link with the mount from TF, starting at the identity
    T_found = pose_from_msg(probe.pose_of(status).pose.pose)
    assert np.allclose(T_found, T_map_base, atol=0.01)
    seen = len(probe.diagnostics)
    probe.spin_until(lambda: len(probe.diagnostics) > seen + 1, "diagnostics")
    values = {v.key: v.value for v in probe.diagnostics[-1].values}
    assert values["tf"] == "odom" and values["extrinsic"] == "TF" and values["tracked"] == "4"
    assert float(values["encode_p50_ms"]) > 0.0 and float(values["thorough_share"]) > 0.0
    # no mapper runs here, and the sentence says so
    assert "start the mapper" in probe.diagnostics[-1].message

    # Lost for over a second, and without a mapper: no other way back than somebody's guess.
    for _ in range(12):
        stamp_ns += 100_000_000
        image, depth_mm = wall.look(poses[3])
        status = probe.send(stamp_ns, np.zeros_like(image), depth_mm)
    assert status.state == SlamStatus.LOST
    for _ in range(3):
        stamp_ns += 33_000_000
        status = probe.send(stamp_ns, *wall.look(poses[3]))
        assert status.state == SlamStatus.LOST
    guess = PoseWithCovarianceStamped()
    guess.header.frame_id = "odom"
    probe.initialpose.publish(guess)
    node.wait_for("initialpose ignored: it is in frame 'odom'")
    guess.header.frame_id = "map"
    guess.pose.pose = pose_to_msg(T_map_base)
    probe.initialpose.publish(guess)
    deadline = time.monotonic() + PATIENCE_S
    while status.state == SlamStatus.LOST and time.monotonic() < deadline:
        stamp_ns += 33_000_000
        status = probe.send(stamp_ns, *wall.look(poses[3]))
    T_found = pose_from_msg(probe.pose_of(status).pose.pose)
    assert np.allclose(T_found, T_map_base, atol=0.01)

    assert probe.change(Transition.TRANSITION_DEACTIVATE)
    assert probe.change(Transition.TRANSITION_CLEANUP)
    assert probe.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert probe.change(Transition.TRANSITION_CONFIGURE)
    assert probe.change(Transition.TRANSITION_ACTIVATE)
    stamp_ns += 33_000_000
    status = probe.send(stamp_ns, *wall.look(poses[4]))
    assert status.state == SlamStatus.TRACKING and status.frames == 1
    assert node.end() == 0
    assert "Traceback" not in node.log.read_text()


@pytest.mark.parametrize("name", ["mapper", "relocalizer"])
def test_every_node_goes_round_the_lifecycle(name, tmp_path):
    starter = LiveSystem.__new__(LiveSystem)
    starter.namespace, starter.folder, starter.parameters = "/round", tmp_path, {}
    node = starter.start(name, ros__autostart=False)
    segment = segment_path(segment_name("/round"))
    probe = Robot("/round", name)
    try:
        for _ in range(2):
            assert probe.change(Transition.TRANSITION_CONFIGURE)
            assert segment.exists() == (name == "mapper")
            for _ in range(2):
                assert probe.change(Transition.TRANSITION_ACTIVATE)
                assert probe.state() == State.PRIMARY_STATE_ACTIVE
                assert probe.change(Transition.TRANSITION_DEACTIVATE)
            # inactive nodes answer, too
            if name == "mapper":
                answer = probe.call("save_map", SaveMap.Request(path=str(tmp_path / "m")))
                second = starter.start(name)
                assert second.process.wait(PATIENCE_S) == 2
                assert "already written by process" in second.log.read_text()
            else:
                answer = probe.call("relocalize", Relocalize.Request())
                assert answer.reason == Relocalize.Response.ERROR
            assert not answer.success and "activate" in answer.message
            assert probe.change(Transition.TRANSITION_CLEANUP)
            assert probe.state() == State.PRIMARY_STATE_UNCONFIGURED
            assert not segment.exists()
        assert probe.change(Transition.TRANSITION_CONFIGURE)
        assert probe.change(Transition.TRANSITION_ACTIVATE)
        assert node.end(signal.SIGTERM) == 0 and not segment.exists()
        assert "Traceback" not in node.log.read_text()
    finally:
        print(node.log.read_text())
        probe.close()
        node.process.kill()


def test_a_robot_somewhere_in_a_known_map_is_found_without_being_told(map_dir, tmp_path):
    """Its odometry began elsewhere; nobody gives a first pose."""
    starter = LiveSystem.__new__(LiveSystem)
    starter.namespace, starter.folder = "/robot", tmp_path
    starter.parameters = {"mode": "localization", "ros__map_dir": map_dir}
    nodes = [starter.start("mapper"), starter.start("tracker", ros__autostart=False)]
    probe = Robot("/robot")
    clouds = []
    probe.node.create_subscription(PointCloud2, "obstacles", clouds.append, reliable_qos())
    pair = Wall().look(wander(36)[7])
    T_map_base = T_BODY_OPTICAL @ wander(36)[7] @ invert_pose(T_BASE_CAM)
    try:
        nodes[0].wait_for("loaded")
        assert probe.change(Transition.TRANSITION_CONFIGURE)
        assert probe.change(Transition.TRANSITION_ACTIVATE)
        begin_s, stamp_ns = time.monotonic(), 10**9
        while not (probe.heard and clouds) and time.monotonic() < begin_s + PATIENCE_S:
            stamp_ns += 33_000_000
            probe.drive(stamp_ns + 10_000_000, invert_pose(T_MAP_ODOM) @ T_map_base)
            probe.publish(stamp_ns, *pair)
            end_s = time.monotonic() + 0.033
            while time.monotonic() < end_s:
                probe.executor.spin_once(timeout_sec=0.01)
        print(f"map -> odom and obstacles {time.monotonic() - begin_s:.2f} s after activate")
        found = transform_from_msg(probe.heard[0].transform)
        assert probe.heard[0].child_frame_id == "odom"
        assert np.allclose(found, T_MAP_ODOM, atol=0.03)
        first = next(s for s in probe.status if s.state == SlamStatus.TRACKING)
        assert first.lost <= 1, "one look is enough"
        points = np.frombuffer(clouds[0].data, "<f4").reshape(-1, 3)
        assert clouds[0].header.frame_id == "base_link" and len(points) > 100
        assert points[:, 2].min() > 0.05
    finally:
        probe.close()
        for node in nodes:
            print(node.log.read_text())
            node.process.kill()
