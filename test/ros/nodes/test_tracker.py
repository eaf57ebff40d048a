"""What the tracker node does with frames that the core fails on, and with clocks that jump."""

import time
from dataclasses import replace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from helpers.node_processes import FRAME, PATIENCE_S
from helpers.wall import CAMERA, Wall
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.poses import PoseEstimate, Support
from ace_slam_ros.core.data.submaps import explain_submap
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose
from ace_slam_ros.core.tracking.result import StageClock, WorkResult
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.inputs.extrinsic import PlaceSource
from ace_slam_ros.ros.inputs.synchronizer import ImagePair
from ace_slam_ros.ros.messages.conversions import camera_to_msg, frame_from_msgs, image_to_msg
from ace_slam_ros.ros.nodes import base as node_base
from ace_slam_ros.ros.nodes.tracker import TrackerNode
from ace_slam_ros.ros.qos import latched_qos, reliable_qos


@pytest.fixture
def tracker(monkeypatch, request):
    """A configured tracker node without worker: the test calls the steps itself.

    Parametrized indirectly, it is started with these parameters.
    """
    parameters = [word for text in getattr(request, "param", ()) for word in ("-p", text)]
    rclpy.init(args=["--ros-args", "-r", "__ns:=/steps", *parameters])
    node = TrackerNode()
    heard, lines = [], []
    node.create_subscription(SlamStatus, "status", heard.append, reliable_qos(50))
    node.trigger_configure()
    assert node.state_label == "inactive"
    node.start()
    monkeypatch.setattr(node.get_logger(), "error", lambda text, **_: lines.append(text))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    wall, stamps = Wall(), iter(range(10**9, 10**10, 33_000_000))

    def show():
        stamp_ns, before = next(stamps), len(heard)
        node._inputs.synchronizer.last_pair_ns = time.monotonic_ns()  # or it would seem silent
        color, depth_mm = wall.look(np.eye(4))
        node._slot.put(ImagePair(
            stamp_ns, image_to_msg(color, stamp_ns, FRAME),
            image_to_msg(depth_mm, stamp_ns, FRAME), camera_to_msg(CAMERA, stamp_ns, FRAME), 0))
        node._step()
        while len(heard) == before:
            executor.spin_once(timeout_sec=0.05)
        return heard[-1]

    def until(condition):
        end = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)

    show.until = until
    yield node, show, lines
    node.pause_work()
    node.teardown()
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()


def test_a_failing_core_costs_the_frame_only(tracker, monkeypatch):
    node, show, lines = tracker
    assert show().state == SlamStatus.TRACKING

    def fail(self, frame, hints):
        raise ZeroDivisionError(f"{frame.stamp_ns} divided by nothing")

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "track", fail)
        for count in (1, 2, 3):
            status = show()
            assert status.rejected == count
            assert "unexpected ZeroDivisionError" in status.reason
            assert node._output._previous is None and node._output.tf.odometry.T_map_odom is None
    assert sum("Traceback" in line for line in lines) == 1, "once per reason, whatever the number"
    found = show()
    assert found.state == SlamStatus.TRACKING and found.rejected == 3 and not found.reason


def test_nothing_but_unusable_frames_is_lost(tracker, monkeypatch):
    node, show, _ = tracker
    assert show().state == SlamStatus.TRACKING
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "track", lambda self, frame, hints: 1 // 0)
        states = [show().state for _ in range(8)]
        reason = show().reason
    assert states[0] == SlamStatus.TRACKING and states[-1] == SlamStatus.LOST
    assert "ZeroDivisionError" in reason


def test_a_silent_camera_is_a_status_every_second(tracker):
    node, show, _ = tracker

    def look():
        said = []
        publish = node._status.publish
        node._status.publish = lambda stamp, state, map_id, reason, _: said.append((state, reason))
        node._silence.look()
        node._status.publish = publish
        return said

    assert look() == []
    node._inputs.synchronizer._created_ns -= 10**10
    assert [s for s, _ in look()] == [SlamStatus.INIT]
    show()
    assert look() == []
    node._output.tf.odometry.T_map_odom = np.eye(4)
    node._inputs.synchronizer.last_pair_ns -= 3 * 10**9
    (state, reason), = look()
    assert state == SlamStatus.LOST and "no data on /steps/rgb/image" in reason
    assert node._output.tf.odometry.T_map_odom is None, "nobody knows where the robot is"
    assert reason in [text for _, text in node.report().problems]


def test_who_is_lost_says_that_the_mapper_is_not_there_yet(tracker, monkeypatch):
    node, show, _ = tracker
    told = []
    monkeypatch.setattr(node, "log_once", lambda key, text: told.append(text))
    show()
    monkeypatch.setattr(Tracker, "track", lambda self, frame, hints: Tracker._missing(
        self, frame, hints, None, None, StageClock()))
    found = [show() for _ in range(9)][-1]
    assert found.state == SlamStatus.LOST and "waiting for the mapper" in found.reason
    assert "waiting for the mapper" in told[0]


def test_an_unjoined_submap_gives_odometry_alone(tracker, monkeypatch):
    """A pose in an unknown frame is worse than none: to all but odometry the robot is lost."""
    node, show, _ = tracker
    poses, odometry = [], []
    node.create_subscription(PoseWithCovarianceStamped, "pose", poses.append, latched_qos())
    node.create_subscription(Odometry, "odometry", odometry.append, reliable_qos(50))
    assert show().state == SlamStatus.TRACKING
    track = Tracker.track

    def elsewhere(self, frame, hints):
        return replace(track(self, frame, hints), submap=2, reason=explain_submap(2),
                       T_map_cam_raw=None)

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "track", elsewhere)
        patch.setattr(Tracker, "work", lambda self, deadline_s: WorkResult(
            (), PoseEstimate(np.eye(4), np.eye(6), np.ones(9, bool), 1.0, 1.0, submap=2),
            Support(1.0, 9, 0.9), 0.0, {}))
        node._output.tf.odometry.T_map_odom = np.eye(4)
        for _ in range(2):
            status = show()
            assert status.state == SlamStatus.LOST and not status.raw_valid
            assert status.submap == 2 and "submap 2: place unknown" in status.reason
            assert node._output.tf.odometry.T_map_odom is None
        patch.setattr(Tracker, "track", lambda self, frame, hints: replace(
            elsewhere(self, frame, hints), T_map_cam=None))
        assert show().state == SlamStatus.LOST, "a frame without pose leaves it where it is"
        patch.setattr(Tracker, "track", lambda self, frame, hints: 1 // 0)
        assert show().state == SlamStatus.LOST
        patch.setattr(Tracker, "track", elsewhere)
        show()
        text = node.report().to_msg("tracker", node.get_clock().now().to_msg()).status[0].message
        assert "place unknown" in text
    assert show().state == SlamStatus.TRACKING
    show.until(lambda: len(odometry) == 5)
    assert [o.header.frame_id for o in odometry] == ["map", *["map_submap_2"] * 3, "map"]
    speeds = [abs(o.twist.twist.linear.x) for o in odometry]
    assert max(speeds) < 1.0, "the step between two frames is no motion"
    assert [p.header.stamp for p in poses] == [odometry[0].header.stamp, odometry[4].header.stamp]


@pytest.mark.parametrize(("tracker", "said"), [
    ([], "a new map starts"), (["mode:=localization"], "the map stays")], indirect=["tracker"])
def test_reset_says_what_happens(tracker, said):
    node, _, _ = tracker
    assert said in node._reset(None, Trigger.Response()).message


def test_a_few_pixels_are_rejected_with_the_reason(tracker):
    node, show, _ = tracker
    show()
    tiny = np.zeros((4, 4), np.uint16)
    camera = Camera(4, 4, 3.0, 3.0, 2.0, 2.0)
    with pytest.raises(DataError, match="4x4 pixels, 16 on each side are the least"):
        frame_from_msgs(image_to_msg(tiny.astype(np.uint8), 1, FRAME), image_to_msg(
            tiny + 1000, 1, FRAME), camera_to_msg(camera, 1, FRAME))


def test_a_looped_bag_is_told_once(tracker, monkeypatch):
    node, _, _ = tracker
    warned = []
    monkeypatch.setattr(node.get_logger(), "warning", warned.append)
    for _ in range(3):
        node._time_jump()
    assert len(warned) == 1 and "time_jumps" in warned[0]


def test_a_time_jump_clears_transforms_and_output(tracker):
    node, show, _ = tracker
    show()
    cleared = []
    node._transforms.clear = lambda: cleared.append(True)
    node._output.tf.odometry.T_map_odom = np.eye(4)
    assert node._output._previous is not None
    node._time_jump()
    assert cleared and node._output._previous is None
    assert node._output.tf.odometry.T_map_odom is None
    node._output.tf.odometry.T_map_odom = np.eye(4)  # by the frame that was worked on meanwhile
    show()
    assert node._output.tf.odometry.T_map_odom is None


def test_odometry_of_another_clock_is_a_reason_in_the_status(tracker):
    node, show, _ = tracker
    node._transforms.newest_ns = lambda *frames: 10**18
    for _ in range(20):
        status = show()
    assert status.state == SlamStatus.TRACKING
    assert "TF odom -> base_link is 9" in status.reason and "synchronize" in status.reason
    assert "s ahead of the images" in node.report().problems[0][1]


def test_late_odometry_ends_map_to_base(tracker):
    node, show, _ = tracker
    if not node._transforms.available:
        pytest.skip("tf2_msgs is not installed")
    sent, T_odom_base = [], make_pose(np.eye(3), np.array([1.0, 2.0, 0.0]))
    node._transforms.send = lambda transforms: sent.extend(t.child for t in transforms)
    show()
    node._output.tf.repeat()
    assert set(sent) == {"base_link"}
    sent.clear()
    node._transforms.lookup = lambda target, source, stamp_ns: (
        T_odom_base if (target, source) == ("odom", "base_link") else None)
    node._transforms.newest_ns = lambda *frames: 10**12
    show()
    node._output.tf.repeat()
    assert set(sent) == {"odom"}
    node._transforms.lookup = lambda target, source, stamp_ns: None
    show()
    assert set(sent) == {"odom"}, "the base keeps its one parent"


def test_an_assumed_mount_is_a_warning_and_a_reset_looks_again(tracker):
    node, show, _ = tracker
    show()
    text = node.report().to_msg("tracker", node.get_clock().now().to_msg()).status[0].message
    assert "set ros.camera_extrinsic" in text
    T_base_cam = make_pose(R_BODY_OPTICAL_33, np.array([0.2, 0.0, 0.5]))
    node._transforms.lookup = lambda target, source, stamp_ns: (
        T_base_cam if (target, source) == ("base_link", FRAME) else None)
    show()
    assert node._extrinsic.source is PlaceSource.ASSUMED
    node._actions.append(node._start_map)
    show()
    assert node._extrinsic.source is PlaceSource.TF
    assert np.array_equal(node._T_base_cam, T_base_cam)


def test_remembered_reasons_are_bounded(tracker):
    node, _, _ = tracker
    for i in range(3 * node_base._LOGGED):
        node.log_once(f"{chr(97 + i % 26)}{chr(97 + i // 26)}", "")
    assert len(node._logged) == node_base._LOGGED


def test_a_guess_waits_until_there_is_a_map_and_a_reset_drops_it(tracker, monkeypatch):
    node, show, _ = tracker
    hints, track = [], Tracker.track
    monkeypatch.setattr(Tracker, "track", lambda self, frame, given: (
        hints.append(given), track(self, frame, given))[1])
    guess = PoseWithCovarianceStamped()
    guess.header.frame_id, guess.pose.pose.orientation.w = "map", 1.0
    node._prior.receive(guess)
    for _ in range(3):  # the first frame begins the map, the second one can use the guess
        show()
    assert [h.T_map_cam_prior is not None for h in hints] == [True, True, False]
    assert np.allclose(hints[1].T_map_cam_prior, node._T_base_cam)
    node._prior.receive(guess)
    node._actions.append(node._start_map)
    show()
    assert hints[-1].T_map_cam_prior is None


@pytest.mark.parametrize(("tracker", "x_m"), [
    ([f"ros.camera_extrinsic:={x} 0 0 -0.5 0.5 -0.5 0.5", "ros.odom_frame:=''"], x)
    for x in (101.0, -350.0)], indirect=["tracker"])
def test_a_map_may_begin_far_away(tracker, x_m):
    """Such a first pose was once taken for one in another part of the map: LOST, and silent."""
    node, show, _ = tracker
    poses, sent = [], []
    node.create_subscription(PoseWithCovarianceStamped, "pose", poses.append, latched_qos())
    node._transforms.send = lambda transforms: sent.extend(transforms)
    states = [show() for _ in range(3)]
    assert {s.state for s in states} == {SlamStatus.TRACKING}
    assert {s.submap for s in states} == {0} and not any(s.reason for s in states)
    assert abs(node._last.T_map_cam[0, 3] - x_m) < 0.01
    show.until(lambda: poses)
    assert abs(poses[-1].pose.pose.position.x) < 0.01, "the base is where the map begins"
    if node._transforms.available:
        assert {t.child for t in sent} == {"base_link"}
