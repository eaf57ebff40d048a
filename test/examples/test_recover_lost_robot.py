"""The navigation client of examples/ and the relocalizer's own initialpose, over real services."""

import importlib.util
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from helpers.scripts import load_script
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, exp_se3, invert_pose, make_pose
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.messages.conversions import make_header
from ace_slam_ros.ros.messages.poses import pose_from_msg, pose_to_msg
from ace_slam_ros.ros.nodes.relocalizer import PoseForwarding
from ace_slam_ros.ros.qos import reliable_qos
from ace_slam_ros.srv import Relocalize

EXTRINSIC = "0.2 0.0 0.5 -0.5 0.5 -0.5 0.5"
T_BASE_CAM = make_pose(R_BODY_OPTICAL_33, np.array([0.2, 0.0, 0.5]))
T_MAP_BASE = exp_se3(np.array([3.0, -1.0, 0.0, 0.0, 0.0, 1.2]))


@pytest.fixture(scope="module")
def example(repository, nav2_client):
    return load_script(repository / "examples" / "recover_lost_robot.py")


class LostRobot:
    """Plays relocalizer and tracker: LOST until an initialpose comes near the truth."""

    def __init__(self, context, refusals, reason=Relocalize.Response.LOW_CONFIDENCE):
        self.reason = reason
        self.node = rclpy.create_node("slam", namespace="/lost", context=context)
        self.refusals, self.guesses = refusals, []
        self.node.create_service(Relocalize, "relocalize", self.answer)
        self.node.create_subscription(
            PoseWithCovarianceStamped, "initialpose", self.guesses.append, reliable_qos())
        self.status = self.node.create_publisher(SlamStatus, "status", reliable_qos())
        self.node.create_timer(0.02, self.say)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def answer(self, request, response):
        if self.refusals:
            self.refusals -= 1
            response.message, response.reason = "no pose explains the image", self.reason
            return response
        response.success = True
        response.inlier_ratio = 0.6
        response.pose.header = make_header(7 * 10**9, "map")
        response.pose.pose.pose = pose_to_msg(T_MAP_BASE @ T_BASE_CAM)
        response.pose.pose.covariance = (np.eye(6) * 1e-4).ravel().tolist()
        return response

    def say(self):
        found = any(np.allclose(pose_from_msg(g.pose.pose), T_MAP_BASE, atol=1e-6)
                    for g in self.guesses)
        self.status.publish(
            SlamStatus(state=SlamStatus.TRACKING if found else SlamStatus.LOST,
                       reason="" if found else "no data on /rgb/image"))

    def close(self):
        self.executor.shutdown()
        self.thread.join()


@pytest.fixture
def context():
    found = rclpy.Context()
    rclpy.init(context=found)
    yield found
    found.try_shutdown()


def make_recovery(example, context):
    return example.RobotRecovery(
        context=context, namespace="/lost",
        parameter_overrides=[Parameter("camera_extrinsic", value=EXTRINSIC)])


def test_a_lost_robot_is_recovered(example, context, monkeypatch):
    monkeypatch.setattr(example, "RETRY_S", 0.05)
    robot = LostRobot(context, refusals=2)
    recovery = make_recovery(example, context)
    try:
        assert recovery.spin(20.0, lambda: recovery.lost_for_s() > 0.05)
        turned = []
        assert recovery.recover(turn=lambda: turned.append(1)) is example.RecoveryResult.RECOVERED
        assert len(turned) == 2, "it turns after each view that is not recognized"
        assert recovery.is_tracking and recovery.lost_for_s() == 0.0
        guess = robot.guesses[-1]
        assert guess.header.frame_id == "map" and guess.header.stamp.sec == 7
        # a rotation error of the camera moves the base, which is half a meter away
        assert guess.pose.covariance[0] > 1.1e-4
    finally:
        recovery.close()
        robot.close()


def test_without_service_or_recognition_it_says_so(example, context, monkeypatch):
    monkeypatch.setattr(example, "ANSWER_S", 0.1)
    monkeypatch.setattr(example, "RETRY_S", 0.05)
    recovery = make_recovery(example, context)
    assert recovery.recover(0.2) is example.RecoveryResult.NO_SERVICE
    monkeypatch.setattr(example, "ANSWER_S", 20.0)
    robot = LostRobot(context, refusals=10**6)
    try:
        assert recovery.recover(1.0) is example.RecoveryResult.STILL_LOST
    finally:
        recovery.close()
        robot.close()


def test_a_silent_camera_is_named_and_the_robot_does_not_turn(example, context, monkeypatch):
    monkeypatch.setattr(example, "RETRY_S", 0.05)
    recovery = make_recovery(example, context)
    robot = LostRobot(context, 10**6, Relocalize.Response.NO_IMAGE)
    try:
        assert recovery.spin(20.0, lambda: recovery.lost_for_s() > 0.0)
        assert recovery.trouble() == "no data on /rgb/image"
        found = recovery.recover(2.0, turn=lambda: pytest.fail("it turned"))
        assert found is example.RecoveryResult.NO_IMAGE
        recovery.status = SlamStatus(state=SlamStatus.TRACKING)
        assert recovery.is_tracking
        recovery.heard_s -= 10.0
        assert not recovery.is_tracking and "is the tracker running" in recovery.trouble()
    finally:
        recovery.close()
        robot.close()


def test_goals_and_machines_without_nav2(example):
    assert example.goal_pose("", "map") is None
    goal = example.goal_pose("1 2 3.14159265", "map")
    assert (goal.pose.position.x, goal.pose.position.y) == (1.0, 2.0)
    assert abs(goal.pose.orientation.z - 1.0) < 1e-6 and goal.header.frame_id == "map"
    with pytest.raises(ValueError, match="write three numbers"):
        example.goal_pose("1 2", "map")
    if importlib.util.find_spec("nav2_simple_commander") is None:
        assert example.find_navigator() is None


def test_relocalizer_sends_what_it_found_on(context):
    node = rclpy.create_node("relocalizer", namespace="/lost", context=context)
    node.config = NodeConfig().with_values({"ros.camera_extrinsic": EXTRINSIC})
    heard = []
    node.create_subscription(
        PoseWithCovarianceStamped, "initialpose", heard.append, reliable_qos())
    forwarding = PoseForwarding(node)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    forwarding.send(9 * 10**9, "camera_color_optical_frame", SimpleNamespace(
        T_map_cam=T_MAP_BASE @ T_BASE_CAM, covariance_66=np.eye(6) * 1e-4))
    for _ in range(200):
        executor.spin_once(timeout_sec=0.05)
        if heard:
            break
    assert np.allclose(pose_from_msg(heard[0].pose.pose), T_MAP_BASE, atol=1e-6)
    assert heard[0].header.stamp.sec == 9 and heard[0].header.frame_id == "map"
    T_found = pose_from_msg(heard[0].pose.pose) @ T_BASE_CAM
    assert np.allclose(invert_pose(T_found) @ T_MAP_BASE @ T_BASE_CAM, np.eye(4), atol=1e-6)
    forwarding.close()
    executor.shutdown()
