"""Examples that drive with nav2, whose navigator is a stand-in here, over real topics."""

import importlib.util
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from helpers.scripts import load_script
from rclpy.executors import SingleThreadedExecutor

from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.conversions import make_header
from ace_slam_ros.ros.qos import latched_qos, reliable_qos
from ace_slam_ros.srv import SaveMap

SECOND = 10**9


class Navigator:
    """Has what the examples use of nav2's BasicNavigator."""

    def __init__(self, *results, steps=2, accepts=True):
        self.results, self.steps, self.accepts = list(results), steps, accepts
        self.goals, self.calls, self.left = [], [], 0

    def goToPose(self, goal):
        self.goals.append((goal.pose.position.x, goal.pose.position.y))
        self.left = self.steps
        return self.accepts

    def isTaskComplete(self):
        self.left -= 1
        return self.left < 0

    def cancelTask(self):
        self.calls.append("cancel")

    def getResult(self):
        return SimpleNamespace(name=self.results.pop(0))


@pytest.fixture
def context():
    found = rclpy.Context()
    rclpy.init(context=found)
    yield found
    found.try_shutdown()


@pytest.fixture
def mapping(repository, nav2_client):
    return load_script(repository / "examples" / "map_then_drive.py")


@pytest.fixture
def starting(repository, nav2_client):
    load_script(repository / "examples" / "recover_lost_robot.py")
    return load_script(repository / "examples" / "start_anywhere.py")


class Slam:
    """Plays tracker and mapper; `x_m` and `state` may change while it runs."""

    def __init__(self, context, state=SlamStatus.TRACKING):
        self.node = rclpy.create_node("slam", namespace="/drive", context=context)
        self.state, self.x_m, self.saved, self.stamp_ns = state, 0.0, 0, SECOND
        self.pose = self.node.create_publisher(PoseWithCovarianceStamped, "pose", latched_qos())
        self.status = self.node.create_publisher(SlamStatus, "status", reliable_qos())
        self.node.create_service(SaveMap, "save_map", self.save)
        self.node.create_timer(0.02, self.say)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def say(self):
        self.stamp_ns += SECOND // 50
        header = make_header(self.stamp_ns, "map")
        if self.state == SlamStatus.TRACKING:
            message = PoseWithCovarianceStamped(header=header)
            message.pose.pose.position.x = self.x_m
            self.pose.publish(message)
        self.status.publish(SlamStatus(header=header, state=self.state, reason="it is dark"))

    def save(self, request, response):
        self.saved += 1
        response.success, response.message = True, "saved to /data/floor"
        return response

    def close(self):
        self.executor.shutdown()
        self.thread.join()


def test_places_are_remembered_saved_and_visited(mapping, context):
    slam = Slam(context)
    surveyor = mapping.Surveyor(context=context, namespace="/drive")
    told = []

    def lines():
        yield "kitchen\n"
        slam.x_m = 2.5
        surveyor.spin(10.0, lambda: surveyor._pose.pose.pose.position.x == 2.5)
        yield "hall\n"
        slam.state = SlamStatus.LOST
        surveyor.spin(10.0, lambda: surveyor._status.state == SlamStatus.LOST)
        yield "nowhere\n"
        yield "\n"
        raise AssertionError("an empty line ends the survey")

    try:
        mapping.survey(surveyor, lines(), told.append)
        assert list(surveyor.places) == ["kitchen", "hall"]
        assert "not remembered" in told[2] and "it is dark" in told[2]
        assert surveyor.save() == (True, "saved to /data/floor") and slam.saved == 1
        navigator = Navigator("SUCCEEDED", "FAILED")
        assert not mapping.visit(surveyor, navigator, told.append)
        assert navigator.goals == [(0.0, 0.0), (2.5, 0.0)]
        assert told[-2:] == ["kitchen: SUCCEEDED", "hall: FAILED"]
    finally:
        surveyor.close()
        slam.close()


def test_without_nodes_a_survey_says_so(mapping, context, monkeypatch):
    monkeypatch.setattr(mapping, "HEAR_S", 0.1)
    surveyor = mapping.Surveyor(context=context, namespace="/nobody")
    assert "are the nodes running" in surveyor.remember("kitchen") and not surveyor.places
    assert surveyor.save() == (False, "the service save_map is not there: is the mapper running?")
    surveyor.close()


class Recovery:
    """Plays the client of the relocalizer."""

    def __init__(self, tracks=True, lost_s=()):
        self.is_tracking, self.lost_s, self.recovered = tracks, list(lost_s), 0

    def spin(self, seconds, until=lambda: False):
        return until()

    def trouble(self):
        return "it is dark"

    def lost_for_s(self):
        return self.lost_s.pop(0) if self.lost_s else 0.0

    def recover(self, timeout_s, turn):
        self.recovered += 1
        turn()
        return self.result

    def get_logger(self):
        return SimpleNamespace(info=lambda text: None, warning=lambda text: None)


def test_the_place_is_found_before_the_robot_drives(starting):
    found, turns = starting.RecoveryResult, []
    recovery = Recovery(tracks=False)
    recovery.result = found.STILL_LOST
    assert starting.find_place(recovery, 5.0, lambda: turns.append(1)) is found.STILL_LOST
    assert turns == [1]
    recovery = Recovery(tracks=True)
    assert starting.find_place(recovery, 5.0, turns.clear) is found.RECOVERED and turns == [1]


def test_a_robot_that_is_lost_on_the_way_stops_looks_and_goes_on(starting, nav2_client):
    recovery, navigator = Recovery(lost_s=[0.0, 1.5]), Navigator("SUCCEEDED", steps=3)
    recovery.result = starting.RecoveryResult.RECOVERED
    goal = nav2_client.goal_pose("2 1 0", "map")
    assert starting.travel(recovery, navigator, goal, 5.0, lambda: None) == "SUCCEEDED"
    assert navigator.calls == ["cancel"] and navigator.goals == [(2.0, 1.0)] * 2
    assert recovery.recovered == 1
    assert nav2_client.drive(Navigator(accepts=False), goal) == nav2_client.REJECTED


def test_that_nav2_is_missing_is_said_before_anything_else(repository):
    if importlib.util.find_spec("nav2_simple_commander") is not None:
        pytest.skip("nav2 is installed")
    done = subprocess.run(
        [sys.executable, str(repository / "examples" / "start_anywhere.py"),
         "--ros-args", "-p", "goal:=2 1 0"],
        env=os.environ | {"PYTHONPATH": str(repository)}, capture_output=True, text=True,
        timeout=60, check=False)
    assert done.returncode == 2 and "nav2-simple-commander" in done.stderr, done.stderr
