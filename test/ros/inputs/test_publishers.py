"""Two cameras on one topic: the first one counts, both are named, no pair is mixed."""

import time

import pytest
from helpers.node_processes import FRAME
from helpers.wall import CAMERA
from sensor_msgs.msg import CameraInfo, Image

from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.inputs import publishers
from ace_slam_ros.ros.inputs.camera_topics import ImageInputs
from ace_slam_ros.ros.inputs.publishers import FirstPublishers
from ace_slam_ros.ros.messages.conversions import camera_to_msg, make_header
from ace_slam_ros.ros.qos import sensor_qos

TOPICS = {"color": "/rgb", "depth": "/depth", "info": "/info"}


def image(frame=FRAME, encoding="rgb8"):
    return Image(header=make_header(1, frame), width=640, height=480, encoding=encoding)


def info(scale=1.0):
    message = camera_to_msg(CAMERA, 1, FRAME)
    message.k[0] *= scale
    return message


class Contest:
    """A gate with a clock and a number of publishers that a test sets."""

    def __init__(self, monkeypatch):
        self.now_s, self.count = 100.0, 1
        monkeypatch.setattr(publishers.time, "monotonic", lambda: self.now_s)
        self.gate = FirstPublishers(TOPICS, lambda topic: self.count)

    def take(self, message, number=None, after_s=0.03, stream="color"):
        self.now_s += after_s
        return self.gate.admits(stream, message, number)


@pytest.fixture
def contest(monkeypatch):
    return Contest(monkeypatch)


def test_another_frame_or_calibration_is_left_out_with_and_without_numbers(contest):
    for numbers in ((5, 900), (None, None)):
        contest.count = 1
        assert contest.take(image(), numbers[0]) and contest.take(info(), None, stream="info")
        contest.count = 2
        for i in range(5):
            assert not contest.take(image("other"), numbers[1] and numbers[1] + i, 0.001)
            assert not contest.take(info(1.1), None, 0.001, "info")
            assert contest.take(info(), None, 0.001, "info")
        assert bool(contest.take(image(), numbers[0] and numbers[0] + 1)) is bool(numbers[0])


def test_equal_cameras_are_told_apart_by_their_counts(contest):
    assert contest.take(image(), 2990) and contest.take(image(), 3000, 1.5)
    contest.count = 2
    taken = [(n, contest.take(image(), n, 0.016)) for i in range(20) for n in (3001 + i, 1 + i)]
    assert all(ok == (n > 3000) for n, ok in taken)


@pytest.mark.parametrize("numbers", [(11, 10, 12, 11, 13, 12), (None,) * 6])
def test_what_cannot_be_told_apart_does_not_count(contest, numbers):
    assert contest.take(image(), 10)
    contest.count = 2
    assert not any([contest.take(image(), n, 0.016) for n in numbers][2:])
    contest.count = 1
    assert contest.take(image(), 90), "the other one has gone"


def test_two_from_the_start_with_equal_frames_do_not_count(contest):
    contest.count = 2
    contest.take(image(), 500)
    assert not any(contest.take(image(), n, 0.016) for n in (3, 501, 4, 502, 5))


def test_two_from_the_start_with_two_frames_are_not_mixed(contest):
    contest.count = 2
    assert not contest.take(image("a"), 50), "nobody knows yet what the other one sends"
    assert not contest.take(image("b", "16UC1"), 7, stream="depth")
    assert not contest.take(image("a", "16UC1"), 51, stream="depth")
    taken = [(contest.take(image("a"), 51 + n), contest.take(image("b"), 8 + n, 0.0),
              contest.take(image("a", "16UC1"), 52 + n, 0.0, "depth")) for n in range(20)]
    assert taken[-1] == (True, False, True) and (False, False, False) in taken


def test_one_of_two_that_sends_nothing_delays_the_other_by_a_moment(contest):
    contest.count = 2
    taken = [contest.take(image(), n) for n in range(1, 20)]
    assert taken == [False] * 10 + [True] * 9, "0.3 s of 30 Hz"


def test_who_is_found_just_after_the_start_was_there_as_well(contest):
    """A node that comes back hears of two cameras in any order, of color and depth in another."""
    assert contest.take(image(), 3000) and contest.take(image(), 90, stream="depth")
    contest.count = 2
    taken = [contest.take(image(), n, 0.016, stream) for i in range(6) for stream, n in (
        ("color", 3001 + i), ("color", 91 + i), ("depth", 3001 + i), ("depth", 91 + i))]
    assert not any(taken[2:])
    contest.count = 1
    assert contest.take(image(), 3100)


def test_a_driver_that_comes_back_right_after_the_start_is_taken_up(contest):
    assert contest.take(image(), 3000)
    contest.count = 2
    assert contest.take(image(), 30, 1.2) and contest.take(image(), 31)


def test_a_driver_that_was_killed_and_came_back_is_taken_up(contest):
    """The middleware counts the dead one for seconds."""
    assert contest.take(image(), 3000)
    contest.count = 2
    assert not contest.take(image(), 1, 0.5)
    assert contest.take(image(), 30, 1.2) and contest.take(image(), 31)


def test_both_are_named_and_pairs_are_of_one_camera(graph, monkeypatch):
    make, executor = graph
    node, logged, pairs = make("tracker"), [], []
    monkeypatch.setattr(node.get_logger(), "error", logged.append)
    inputs = ImageInputs(node, RosConfig(), pairs.append)
    sending = []

    def camera(name, frame):
        owner = make(name)
        sending.append([(owner.create_publisher(kind, topic, sensor_qos()), kind, frame)
                        for kind, topic in ((CameraInfo, "rgb/camera_info"),
                                            (Image, "rgb/image"), (Image, "depth/image"))])

    def shoot_until(done):
        deadline, stamp_ns = time.monotonic() + 20.0, time.time_ns()
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            stamp_ns += 33_000_000
            for publisher, kind, frame in sum(sending, []):
                publisher.publish(kind(header=make_header(stamp_ns, frame)))
            for _ in range(8):
                executor.spin_once(timeout_sec=0.005)

    camera("one", "cam_one")
    shoot_until(lambda: len(pairs) > 3)
    camera("two", "cam_two")
    before = len(pairs)
    shoot_until(lambda: inputs.several() and len(pairs) > before + 5)
    assert {m.header.frame_id for p in pairs for m in (p.color, p.depth, p.info)} == {"cam_one"}
    assert len(logged) == 1
    assert "2 publishers (/inputs/one, /inputs/two)" in logged[0] and "namespace" in logged[0]
    inputs.close()
