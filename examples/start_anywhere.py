#!/usr/bin/env python3
"""Starts a robot somewhere in a known map: finds out where it is, then drives to a goal.

    ros2 launch ace_slam_ros navigation.launch.py mode:=localization map:=/data/office_map
    python3 examples/start_anywhere.py --ros-args -p goal:="2.0 1.0 0.0"

Nobody tells the first pose: the tracker finds it in its first image that shows a mapped place.
Where that shows none, the robot turns on the spot when it may (turn_speed, rad/s; nothing looks
for obstacles then), else somebody moves it. On the way it recovers whenever it is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from nav2_client import STOPPED, NavigatorMissingError, drive, goal_pose, need_navigator
from rclpy.executors import ExternalShutdownException
from recover_lost_robot import RecoveryResult, RobotRecovery

#: The tracker is given so long to find the place by itself; a view that shows none is left by a
#: turn of so long.
PATIENCE_S, TURN_S = 3.0, 1.0


def find_place(
    recovery: RobotRecovery, timeout_s: float, turn: Callable[[], None]
) -> RecoveryResult:
    """Wait until the tracker knows where it is, and look around when it does not."""
    if recovery.spin(PATIENCE_S, lambda: recovery.is_tracking):
        return RecoveryResult.RECOVERED
    recovery.get_logger().info(f"not found yet: {recovery.trouble() or 'no status comes'}")
    return recovery.recover(timeout_s, turn)


def turning(recovery: RobotRecovery, speed: float) -> Callable[[], None]:
    """Return what shows the camera another view: a turn, or nothing when it may not turn."""
    publisher = recovery.create_publisher(Twist, "cmd_vel", 1)

    def turn() -> None:
        if speed:
            twist = Twist()
            twist.angular.z = speed
            publisher.publish(twist)
            recovery.spin(TURN_S)
        publisher.publish(Twist())
    return turn


def travel(
    recovery: RobotRecovery, navigator: Any, goal: PoseStamped, timeout_s: float,
    turn: Callable[[], None],
) -> str:
    """Drive to the goal; stop, look and go on whenever the robot has been lost for a second."""
    def knows_where() -> bool:
        recovery.spin(0.01)
        return recovery.lost_for_s() < 1.0

    while (ended := drive(navigator, goal, knows_where)) == STOPPED:
        recovery.get_logger().warning(f"lost on the way: {recovery.trouble()}")
        found = recovery.recover(timeout_s, turn)
        if found is not RecoveryResult.RECOVERED:
            return found.value
    return ended


def main() -> int:
    """Find the place and drive; exit code 0 when the goal is reached, 2 for bad usage."""
    rclpy.init()
    recovery = RobotRecovery("start_anywhere")
    values = {name: recovery.declare_parameter(name, default).value for name, default in (
        ("goal", ""), ("turn_speed", 0.0), ("timeout_s", 120.0))}
    log = recovery.get_logger()
    try:
        goal = goal_pose(values["goal"], recovery.map_frame)
        if goal is None:
            raise ValueError("no goal: --ros-args -p goal:=\"x y yaw\"")
        navigator = need_navigator()
        turn = turning(recovery, values["turn_speed"])
        found = find_place(recovery, values["timeout_s"], turn)
        log.info(found.value)
        if found is not RecoveryResult.RECOVERED:
            return 1
        navigator.waitUntilNav2Active(localizer="tracker")
        ended = travel(recovery, navigator, goal, values["timeout_s"], turn)
        log.info(f"the drive ended: {ended}")
        return 0 if ended == "SUCCEEDED" else 1
    except (ValueError, NavigatorMissingError) as error:
        log.error(str(error))
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    finally:
        recovery.close()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
