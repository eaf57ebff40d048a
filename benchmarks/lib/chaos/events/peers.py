"""Others in the ROS domain that publish what they should not, or ask too much."""

from __future__ import annotations

import copy
import time
from array import array
from collections.abc import Callable
from random import Random

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from tf2_msgs.msg import TFMessage

from ace_slam_ros.msg import Keyframe
from ace_slam_ros.ros.qos import keyframe_qos, reliable_qos

from ..camera import FRAME, PairPublisher
from ..system import StormSystem

CALLS_AT_ONCE = 200


def _publish_keyframes(
    system: StormSystem, count: int, forge: Callable[[Keyframe, int], None]
) -> None:
    """Send copies of the last keyframe that `forge` has changed."""
    genuine = system.witness.keyframe
    if genuine is None:
        return
    publisher = system.node.create_publisher(Keyframe, "keyframe", keyframe_qos())
    time.sleep(0.3)  # until it is discovered
    for number in range(count):
        message = copy.copy(genuine)
        forge(message, number)
        publisher.publish(message)
    time.sleep(0.3)
    system.node.destroy_publisher(publisher)


def forged_keyframes(system: StormSystem, rng: Random) -> None:
    """Keyframes of maps in which the tracker never was."""
    names = ["", "forged", "line\n[ERROR] another", "x" * 5000]

    def forge(message: Keyframe, number: int) -> None:
        message.map_id, message.id = names[number % len(names)], rng.randrange(2**32)

    _publish_keyframes(system, 20, forge)


def broken_keyframes(system: StormSystem, rng: Random) -> None:
    """Keyframes of the map whose numbers cannot be: cut off, not finite, too many, far away."""
    def forge(message: Keyframe, number: int) -> None:
        message.id = rng.randrange(2**31, 2**32)
        broken = number % 5
        if broken == 0:
            message.descriptors = message.descriptors[:-1]
        elif broken == 1:
            points = np.full(3 * message.count, np.nan, np.float32)
            message.points = array("B", points.tobytes())
        elif broken == 2:
            message.count = 2**32 - 1
        elif broken == 3:
            message.fx = 0.0
        else:
            message.pose = copy.deepcopy(message.pose)
            message.pose.position.x = 1e300

    _publish_keyframes(system, 10, forge)


def _second_camera(system: StormSystem, rng: Random, frame_id: str) -> None:
    """Publish other pictures under the stamps of the camera's, from another node."""
    node = rclpy.create_node("other_camera", namespace=system.namespace)
    camera, at = system.camera, rng.randrange(len(system.camera.shots))
    with system.excuses.during("two cameras", 2.0):
        other = PairPublisher(node, frame_id)
        end_s = time.monotonic() + rng.uniform(1.0, 3.0)
        while time.monotonic() < end_s:
            at += 1
            other.publish(camera.shots[at % len(camera.shots)], camera.now_ns)
            time.sleep(0.03)
        node.destroy_node()


def another_camera(system: StormSystem, rng: Random) -> None:
    """A second camera with a frame of its own on the same topics."""
    _second_camera(system, rng, "other_camera_optical_frame")


def camera_alike(system: StormSystem, rng: Random) -> None:
    """A second camera that cannot be told from the first."""
    _second_camera(system, rng, FRAME)


def repeated_transforms(system: StormSystem, rng: Random) -> None:
    """The same stamp in TF, thousands of times, and frames that nobody knows."""
    publisher = system.node.create_publisher(TFMessage, "/tf", reliable_qos(100))
    message = TFMessage(transforms=[
        TransformStamped(child_frame_id=f"part_{n % 7}") for n in range(200)])
    for transform in message.transforms:
        transform.header.frame_id = "robot"
        transform.header.stamp.sec = 5
        transform.transform.rotation.w = 1.0
    for _ in range(50):
        publisher.publish(message)
        time.sleep(0.01)
    system.node.destroy_publisher(publisher)


def many_calls(system: StormSystem, rng: Random) -> None:
    """Hundreds of calls of `relocalize` at once, from several clients."""
    for _ in range(CALLS_AT_ONCE):
        system.clients.send("relocalize")
    time.sleep(rng.uniform(0.0, 1.0))


def guesses_of_the_pose(system: StormSystem, rng: Random) -> None:
    """Poses on `initialpose` that are none, and some that are meters off."""
    publisher = system.node.create_publisher(
        PoseWithCovarianceStamped, "initialpose", reliable_qos())
    time.sleep(0.3)  # until it is discovered
    for x_m in (float("nan"), float("inf"), 1e300, *(rng.uniform(-5.0, 5.0) for _ in range(5))):
        message = PoseWithCovarianceStamped()
        message.header.frame_id = "map"
        message.pose.pose.position.x = x_m
        message.pose.pose.orientation.w = 1.0
        publisher.publish(message)
        time.sleep(0.05)
    system.node.destroy_publisher(publisher)


EVENTS = (forged_keyframes, broken_keyframes, another_camera, camera_alike, repeated_transforms,
          many_calls, guesses_of_the_pose)
