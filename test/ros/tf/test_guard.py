"""A second broadcaster of our transform is noticed and given way to, with tf2_ros and without."""

import time

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from ace_slam_ros.core.geometry.se3 import make_pose
from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.outputs.pose_topics import PoseOutput
from ace_slam_ros.ros.qos import latched_qos, reliable_qos
from ace_slam_ros.ros.tf.factory import make_transforms
from ace_slam_ros.ros.tf.guard import TfGuard
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.map_transform import TfMode
from ace_slam_ros.ros.tf.tf2 import Tf2Transforms
from ace_slam_ros.ros.tf.topics import TopicTransforms

tf2 = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed")

SECOND = 10**9
T_ROBOT = make_pose(np.eye(3), np.array([1.0, 2.0, 0.0]))


@pytest.fixture
def robot(libraries):
    """A node with pose output over both kinds of TF, and another node that broadcasts."""
    context = rclpy.Context()
    rclpy.init(context=context)
    found = Robot(context)
    kind = Tf2Transforms if libraries == "robot" else TopicTransforms
    assert isinstance(found.transforms, kind)
    yield found
    found.output.close()
    found.transforms.close()
    found.executor.shutdown()
    for node in (found.node, found.other):  # or later tests hear that somebody broadcasts
        node.destroy_node()
    context.try_shutdown()


class Robot:
    def __init__(self, context):
        self.node = rclpy.create_node("tracker", namespace="/guard", context=context)
        self.other = rclpy.create_node("amcl", namespace="/guard", context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)
        self.transforms = make_transforms(self.node)
        self.output = PoseOutput(self.node, RosConfig(), self.transforms)
        self.tf = self.other.create_publisher(tf2.TFMessage, "/tf", reliable_qos(100))
        self.static = self.other.create_publisher(tf2.TFMessage, "/tf_static", latched_qos())
        self.heard = []
        self.other.create_subscription(
            tf2.TFMessage, "/tf", lambda m: self.heard.extend(
                (t.header.frame_id, t.child_frame_id) for t in m.transforms), reliable_qos(100))
        self.spin_until(lambda: self.tf.get_subscription_count() > 1
                        and self.node.count_subscribers("/tf") > 1)

    def spin_until(self, done, timeout_s=20.0):
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            self.executor.spin_once(timeout_sec=0.05)

    def broadcast(self, parent, child, stamp_ns, static=False, T=T_ROBOT):
        message = tf2.TFMessage(transforms=[StampedTransform(parent, child, stamp_ns, T).to_msg()])
        (self.static if static else self.tf).publish(message)

    def track(self, stamp_ns):
        """Publish a pose; return the transforms of ours that went out for it."""
        sent = []
        send = self.transforms.send
        self.transforms.send = lambda items: (sent.extend(t.child for t in items), send(items))
        self.output.publish(stamp_ns, T_ROBOT, None)
        self.output.tf.repeat()
        self.transforms.send = send
        return sent


def test_own_broadcasts_are_no_conflict(robot):
    robot.output.tf.mode = TfMode.BASE
    for i in range(20):
        assert robot.track(SECOND + i) == ["base_link"]
    robot.spin_until(lambda: len(robot.heard) == 20)
    assert not robot.output.tf.problem()


def test_another_map_to_odom_is_given_way_to_and_named(robot):
    robot.broadcast("odom", "base_link", SECOND)
    robot.spin_until(lambda: robot.transforms.lookup("odom", "base_link", SECOND) is not None)
    assert robot.track(SECOND) == ["odom"] and robot.output.tf.mode is TfMode.ODOM
    assert not robot.output.tf.problem()
    robot.broadcast("map", "odom", 2 * SECOND)
    robot.spin_until(robot.output.tf.problem)
    text = robot.output.tf.problem()
    assert "TF map -> odom comes from /guard/amcl" in text and "ros.publish_tf" in text
    assert "map_frame:=guard/map odom_frame:=guard/odom base_frame:=guard/base_link" in text
    assert robot.track(SECOND) == [], "two broadcasters would make the robot jump"
    guard = robot.output.tf.guard
    guard.GIVE_WAY_S = 0.0  # it has been silent for long enough
    assert robot.track(SECOND) == ["odom"] and not robot.output.tf.problem()


def test_a_static_one_blocks_for_good(robot):
    robot.output.tf.mode = TfMode.ODOM
    robot.broadcast("map", "odom", 0, static=True)
    robot.spin_until(robot.output.tf.problem)
    robot.output.tf.guard.GIVE_WAY_S = 0.0
    assert "/guard/amcl" in robot.output.tf.problem() and robot.track(SECOND) == []


def test_odometry_under_another_name_is_explained(robot):
    robot.output.tf.mode = TfMode.BASE
    robot.broadcast("odom_combined", "base_link", SECOND)
    robot.spin_until(lambda: robot.track(SECOND) == [])
    assert "set ros.odom_frame to it" in robot.output.tf.problem()


def test_odometry_is_offered_as_motion(robot):
    T_base_cam = make_pose(np.eye(3), np.array([0.1, 0.0, 0.4]))
    assert robot.output.tf.camera_in_odometry(SECOND, T_base_cam) is None
    robot.broadcast("odom", "base_link", SECOND)
    robot.spin_until(lambda: robot.transforms.lookup("odom", "base_link", SECOND) is not None)
    T_odom_cam = robot.output.tf.camera_in_odometry(SECOND, T_base_cam)
    assert np.allclose(T_odom_cam, T_ROBOT @ T_base_cam)
    assert robot.output.values()["odometry_used"] == 1
    robot.output.tf._config = RosConfig(use_odometry=False)
    assert robot.output.tf.camera_in_odometry(SECOND, T_base_cam) is None


def test_switched_off_means_silent(robot):
    guard = TfGuard(robot.node, RosConfig(publish_tf=False))
    guard.heard(StampedTransform("map", "odom", SECOND, T_ROBOT).to_msg(), False)
    assert not guard.problem()


def test_base_footprint_between_odometry_and_base_is_no_conflict(robot, monkeypatch):
    logged = []
    monkeypatch.setattr(robot.node.get_logger(), "error", logged.append)
    robot.broadcast("base_footprint", "base_link", 0, static=True)
    robot.spin_until(lambda: robot.transforms.lookup("base_footprint", "base_link", SECOND)
                     is not None)
    assert not robot.output.tf.problem()
    robot.broadcast("odom", "base_footprint", SECOND)
    robot.spin_until(lambda: robot.transforms.lookup("odom", "base_link", SECOND) is not None)
    assert robot.track(SECOND) == ["odom"] and not robot.output.tf.problem() and not logged
