#!/usr/bin/env python3
"""Maps a floor while somebody drives, remembers named places, saves, and drives to each of them.

    ros2 launch ace_slam_ros navigation.launch.py camera:=realsense map:=/data/floor
    ros2 run teleop_twist_keyboard teleop_twist_keyboard      # in another terminal: drive around
    python3 examples/map_then_drive.py

Type a name and Enter where the robot is to come back to, Enter alone when all is mapped. The map
is saved before the robot drives, so that nothing is lost when that fails; later sessions start
with mode:=localization and examples/start_anywhere.py. A place that was named before a loop closed
is off by what that corrected: drive the round first, then name places.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav2_client import NavigatorMissingError, drive, need_navigator
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.conversions import stamp_to_ns
from ace_slam_ros.ros.qos import latched_qos, reliable_qos
from ace_slam_ros.srv import SaveMap

#: A pose is of here and now when its image is no older than the newest status by so much.
FRESH_S = 0.5
#: So long for messages to come, and for a map to be written.
HEAR_S, SAVE_S = 2.0, 60.0


class Surveyor(Node):
    """Knows where the robot is, remembers places, and has the map saved."""

    def __init__(self, **options: Any) -> None:
        super().__init__("map_then_drive", **options)
        self.places: dict[str, PoseStamped] = {}
        self._pose: PoseWithCovarianceStamped | None = None
        self._status: SlamStatus | None = None
        self.create_subscription(PoseWithCovarianceStamped, "pose", self._move, latched_qos())
        self.create_subscription(SlamStatus, "status", self._hear, reliable_qos())
        self._save = self.create_client(SaveMap, "save_map")
        self._spinner = SingleThreadedExecutor(context=self.context)
        self._spinner.add_node(self)

    def _move(self, message: PoseWithCovarianceStamped) -> None:
        self._pose = message

    def _hear(self, message: SlamStatus) -> None:
        self._status = message

    def spin(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Handle messages until something holds, for some seconds; return whether it does."""
        end_s = time.monotonic() + seconds
        while not until() and time.monotonic() < end_s:
            self._spinner.spin_once(timeout_sec=0.05)
        return until()

    def remember(self, name: str) -> str:
        """Remember where the robot is now; return what became of it, to be shown."""
        before = self._status
        if not self.spin(HEAR_S, lambda: self._status is not before):
            return "no status comes: are the nodes running?"
        pose, status = self._pose, self._status
        if status is None or status.state != SlamStatus.TRACKING or pose is None:
            reason = "" if status is None else status.reason
            return f"not remembered, the robot does not know where it is: {reason}"
        self.spin(HEAR_S, self._is_fresh)
        pose = self._pose
        if pose is None or not self._is_fresh():
            return "not remembered: the pose is old"
        self.places[name] = PoseStamped(header=pose.header, pose=pose.pose.pose)
        p = pose.pose.pose.position
        return f"{name}: {p.x:.2f} {p.y:.2f}"

    def _is_fresh(self) -> bool:
        if self._pose is None or self._status is None:
            return False
        age_ns = (stamp_to_ns(self._status.header.stamp)
                  - stamp_to_ns(self._pose.header.stamp))
        return age_ns < FRESH_S * 1e9

    def save(self) -> tuple[bool, str]:
        """Have the mapper save its map where its parameter says; return success and message."""
        if not self.spin(HEAR_S, self._save.service_is_ready):
            return False, "the service save_map is not there: is the mapper running?"
        future = self._save.call_async(SaveMap.Request())
        if not self.spin(SAVE_S, future.done):
            return False, "the mapper does not answer"
        answer = future.result()
        return answer.success, answer.message

    def close(self) -> None:
        """Leave the graph."""
        self._spinner.shutdown()
        self.destroy_node()


def survey(surveyor: Surveyor, lines: Iterable[str], tell: Callable[[str], None] = print) -> None:
    """Remember a place for each line, until one is empty."""
    for line in lines:
        if not line.strip():
            break
        tell(surveyor.remember(line.strip()))


def visit(surveyor: Surveyor, navigator: Any, tell: Callable[[str], None] = print) -> bool:
    """Drive to every place; return whether all were reached."""
    reached = True
    for name, goal in surveyor.places.items():
        goal.header.stamp = surveyor.get_clock().now().to_msg()  # it is a place, not a moment
        ended = drive(navigator, goal)
        tell(f"{name}: {ended}")
        reached = reached and ended == "SUCCEEDED"
    return reached


def main() -> int:
    """Map, save, drive; exit code 0 when all places were reached, 2 where nav2 is missing."""
    rclpy.init()
    surveyor = Surveyor()
    try:
        navigator = need_navigator()  # before somebody drives around for an hour
        print("drive; NAME and Enter remembers a place, Enter alone ends the mapping")
        survey(surveyor, sys.stdin)
        saved, message = surveyor.save()
        print(message)
        if not saved:
            return 1
        navigator.waitUntilNav2Active(localizer="tracker")
        return 0 if visit(surveyor, navigator) else 1
    except NavigatorMissingError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    finally:
        surveyor.close()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
