"""What the examples share of nav2: its BasicNavigator, goals, and driving to one.

nav2_simple_commander is imported only when a navigator is asked for: the rest works without nav2.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped

#: How the end of a drive is called besides the names of nav2's TaskResult.
REJECTED, STOPPED = "REJECTED", "STOPPED"


class NavigatorMissingError(RuntimeError):
    """nav2_simple_commander is not installed; the text names the package."""


def find_navigator() -> Any | None:
    """Return nav2's BasicNavigator, None where nav2 is not installed."""
    try:
        return need_navigator()
    except NavigatorMissingError:
        return None


def need_navigator() -> Any:
    """Return nav2's BasicNavigator.

    Raises:
        NavigatorMissingError: nav2_simple_commander is not installed.
    """
    try:
        commander = importlib.import_module("nav2_simple_commander.robot_navigator")
    except ImportError as error:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        raise NavigatorMissingError(
            f"this example drives with nav2 ({error}): sudo apt install "
            f"ros-{distribution}-nav2-simple-commander, and start the nodes with "
            "`ros2 launch ace_slam_ros navigation.launch.py`") from error
    return commander.BasicNavigator()


def goal_pose(text: str, map_frame: str) -> PoseStamped | None:
    """Return the pose of a goal 'x y yaw' in the map; None when the text is empty.

    Raises:
        ValueError: these are not three numbers.
    """
    if not text.strip():
        return None
    try:
        x, y, yaw = (float(word) for word in text.split())
    except ValueError:
        raise ValueError(
            f"goal '{text}': write three numbers 'x y yaw', in meters and radians") from None
    goal = PoseStamped()
    goal.header.frame_id = map_frame
    goal.pose.position.x, goal.pose.position.y = x, y
    goal.pose.orientation.z, goal.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return goal


def drive(navigator: Any, goal: PoseStamped, goes_on: Callable[[], bool] = lambda: True) -> str:
    """Drive to a goal.

    Args:
        navigator: nav2's BasicNavigator.
        goal: pose of the base in the map.
        goes_on: asked about ten times a second; False stops the robot.

    Returns:
        SUCCEEDED, FAILED, CANCELED or UNKNOWN of nav2, REJECTED, or STOPPED by `goes_on`.
    """
    if not navigator.goToPose(goal):
        return REJECTED
    while not navigator.isTaskComplete():  # waits a tenth of a second itself
        if not goes_on():
            navigator.cancelTask()
            return STOPPED
    return str(navigator.getResult().name)
