#!/usr/bin/env python3
"""Recovers a robot that lost its place: asks where it is, tells its localization, goes on.

    python3 examples/recover_lost_robot.py --ros-args -p goal:="2.0 1.0 0.0"

Runs beside the nodes of ace_slam_ros, in the style of nav2's BasicNavigator. Where nav2 is
installed the current task is canceled, the robot turns when one view is not enough, and the goal
is pursued again; without nav2 it recovers all the same. While the tracker is LOST it publishes no
pose, so that nothing here has to filter wrong ones.
"""

from __future__ import annotations

import enum
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav2_client import find_navigator, goal_pose  # beside this file
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from ace_slam_ros.core.geometry.se3 import invert_pose
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.inputs.extrinsic import Extrinsic
from ace_slam_ros.ros.messages.poses import (
    base_covariance,
    covariance_to_msg,
    pose_from_msg,
    pose_to_msg,
)
from ace_slam_ros.ros.qos import reliable_qos
from ace_slam_ros.ros.tf.factory import make_transforms
from ace_slam_ros.srv import Relocalize

#: A status comes with every frame, and once a second without: this old, the tracker is gone.
STALE_S = 3.0
#: Pauses between questions, and how long an answer may take.
RETRY_S = 0.5
ANSWER_S = 5.0


class RecoveryResult(enum.Enum):
    """How an attempt to recover ended."""

    RECOVERED = "the robot knows where it is"
    NO_SERVICE = "the relocalize service is not there: is the relocalizer running?"
    NO_IMAGE = "the camera sends nothing: is its driver running?"
    STILL_LOST = "no view was recognized: drive to a place that is in the map"


class RobotRecovery(Node):
    """A client of ace_slam_ros that brings a lost robot back.

    Parameters:
        map_frame, base_frame, camera_extrinsic: as the nodes' parameters `ros.*`.
        camera_frame: optical frame of the camera, for TF.
        min_confidence: least confidence to believe an answer; 0 = the relocalizer's.
    """

    def __init__(self, name: str = "robot_recovery", **options: Any) -> None:
        super().__init__(name, **options)
        defaults = {"map_frame": "map", "base_frame": "base_link", "camera_extrinsic": "",
                    "camera_frame": "camera_color_optical_frame", "min_confidence": 0.0}
        values = {k: self.declare_parameter(k, v).value for k, v in defaults.items()}
        self.map_frame: str = values["map_frame"]
        self.camera_frame: str = values["camera_frame"]
        self.min_confidence: float = values["min_confidence"]
        self._transforms = make_transforms(self)
        self._extrinsic = Extrinsic(self, RosConfig(
            base_frame=values["base_frame"], camera_extrinsic=values["camera_extrinsic"]),
            self._transforms)
        self._client = self.create_client(Relocalize, "relocalize")
        self._initialpose = self.create_publisher(
            PoseWithCovarianceStamped, "initialpose", reliable_qos())
        self.create_subscription(SlamStatus, "status", self._hear, reliable_qos())
        self.status: SlamStatus | None = None
        self.heard_s = time.monotonic()
        self.lost_since_s: float | None = None
        self._spinner = SingleThreadedExecutor(context=self.context)
        self._spinner.add_node(self)

    def _hear(self, message: SlamStatus) -> None:
        self.status, self.heard_s = message, time.monotonic()
        if message.state != SlamStatus.LOST:
            self.lost_since_s = None
        elif self.lost_since_s is None:
            self.lost_since_s = time.monotonic()

    def spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Handle messages for some seconds or until a condition holds; return whether it does."""
        deadline_s = time.monotonic() + seconds
        while not until():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                return False
            self._spinner.spin_once(timeout_sec=min(left_s, 0.1))
        return True

    @property
    def is_tracking(self) -> bool:
        """Whether the newest status has a pose."""
        return (self.status is not None and self.status.state == SlamStatus.TRACKING
                and time.monotonic() - self.heard_s < STALE_S)

    def trouble(self) -> str:
        """Say why there is no pose, as far as the tracker tells; empty while it tracks."""
        if time.monotonic() - self.heard_s > STALE_S:
            return "no status comes: is the tracker running?"
        return "" if self.status is None or self.is_tracking else self.status.reason

    def lost_for_s(self) -> float:
        """Seconds since the tracker became LOST, 0 while it is not."""
        return 0.0 if self.lost_since_s is None else time.monotonic() - self.lost_since_s

    def relocalize(self) -> Relocalize.Response | None:
        """Ask where the newest frame was taken; None without an answer in time."""
        if not self.spin(ANSWER_S, self._client.service_is_ready):
            return None
        future = self._client.call_async(Relocalize.Request(min_confidence=self.min_confidence))
        if not self.spin(ANSWER_S, future.done):
            self._client.remove_pending_request(future)
            return None
        return future.result()

    def set_initial_pose(self, answer: Relocalize.Response) -> bool:
        """Send the pose of the base to `initialpose`: for AMCL, and a guess for the tracker.

        Returns whether it was sent: not before it is known where the camera sits on the robot.
        """
        T_map_cam = pose_from_msg(answer.pose.pose.pose)
        T_base_cam = self._extrinsic.at(self.camera_frame, 0)
        if T_base_cam is None:
            return False
        T_map_base = T_map_cam @ invert_pose(T_base_cam)
        message = PoseWithCovarianceStamped()
        message.header.stamp = answer.pose.header.stamp
        message.header.frame_id = self.map_frame
        message.pose.pose = pose_to_msg(T_map_base)
        camera_66 = np.array(answer.pose.pose.covariance).reshape(6, 6)
        message.pose.covariance = covariance_to_msg(
            base_covariance(camera_66, T_map_cam, T_map_base))
        self._initialpose.publish(message)
        return True

    def recover(
        self, timeout_s: float = 30.0, turn: Callable[[], None] = lambda: None
    ) -> RecoveryResult:
        """Ask until a view is recognized and the tracker follows.

        Args:
            timeout_s: give up after this time.
            turn: shows the camera another view; called after each view that is not recognized.
        """
        deadline_s = time.monotonic() + timeout_s
        result = RecoveryResult.NO_SERVICE
        while time.monotonic() < deadline_s:
            answer = self.relocalize()
            if answer is None:
                continue
            blind = answer.reason == Relocalize.Response.NO_IMAGE
            result = RecoveryResult.NO_IMAGE if blind else RecoveryResult.STILL_LOST
            if not answer.success:
                self.get_logger().info(
                    f"not recognized: {answer.message}", throttle_duration_sec=5.0)
                if not blind:  # or the robot would turn in the dark, for nothing
                    turn()
                self.spin(RETRY_S)
                continue
            self.set_initial_pose(answer)
            if self.spin(2.0, lambda: self.is_tracking):
                p = answer.pose.pose.pose.position
                self.get_logger().info(
                    f"recognized at {p.x:.2f} {p.y:.2f} {p.z:.2f}, confidence "
                    f"{answer.inlier_ratio:.2f}")
                return RecoveryResult.RECOVERED
        return result

    def close(self) -> None:
        """Leave the graph."""
        self._spinner.shutdown()
        self._transforms.close()
        self.destroy_node()


def run(recovery: RobotRecovery, navigator: Any | None, goal: PoseStamped | None) -> None:
    """Drive to the goal, and recover whenever the robot has been lost for a second."""
    def turn() -> None:
        if navigator is not None:
            navigator.spin(spin_dist=math.pi / 4)
            while not navigator.isTaskComplete():
                recovery.spin(0.1)

    if navigator is not None and goal is not None:
        navigator.goToPose(goal)
    while rclpy.ok():
        recovery.spin(0.2)
        if recovery.lost_for_s() < 1.0:
            continue
        recovery.get_logger().warning(
            f"lost, stopping to look where we are: {recovery.trouble() or 'no reason is given'}")
        if navigator is not None:
            navigator.cancelTask()
        result = recovery.recover(turn=turn)
        recovery.get_logger().info(result.value)
        if result is RecoveryResult.RECOVERED and navigator is not None and goal is not None:
            navigator.goToPose(goal)


def main() -> int:
    """Run beside the robot until interrupted."""
    rclpy.init()
    recovery = RobotRecovery()
    goal = goal_pose(recovery.declare_parameter("goal", "").value, recovery.map_frame)
    try:
        run(recovery, find_navigator(), goal)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        recovery.close()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
