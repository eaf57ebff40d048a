"""The worker thread, the newest-wins slot, and the rules about which map counts."""

import threading

import pytest
from rclpy.task import Future

from ace_slam_ros.ros.weights import MapFollower
from ace_slam_ros.ros.worker import NewestSlot, Worker, WorkerStoppedError


def test_newest_wins_and_the_rest_is_counted():
    slot = NewestSlot()
    for i in range(5):
        slot.put(i)
    assert (slot.take(0.0), slot.take(0.0), slot.replaced) == (4, None, 4)
    slot.put(5)
    slot.clear()
    assert (slot.take(0.0), slot.replaced) == (None, 4)


def test_jobs_come_before_steps_and_errors_stay_with_the_caller():
    done, errors, stepped = threading.Event(), [], threading.Event()

    def step():
        stepped.set()
        worker.wait(10.0)
        raise RuntimeError("a step fails")

    worker = Worker("test", step, errors.append)
    good, bad = Future(), Future()
    worker.submit(lambda: 42, good, lambda: None)
    worker.submit(lambda: 1 / 0, bad, done.set)
    worker.start()
    assert done.wait(10) and good.result() == 42
    assert isinstance(bad.exception(), ZeroDivisionError)
    assert stepped.wait(10)
    late = Future()
    again = threading.Event()
    worker.submit(lambda: "still alive", late, again.set)
    assert again.wait(10) and late.result() == "still alive"
    assert worker.stop()
    assert errors == ["test"] * len(errors) and errors
    refused = Future()
    worker.submit(lambda: 1, refused, lambda: None)
    assert isinstance(refused.exception(), WorkerStoppedError)


def test_stopping_answers_those_who_wait():
    entered, release = threading.Event(), threading.Event()
    worker = Worker("test", lambda: worker.wait(0.05), lambda where: None)
    worker.start()
    running, queued = Future(), Future()

    def slow():
        entered.set()
        return release.wait(10)

    worker.submit(slow, running, lambda: None)
    worker.submit(lambda: 1, queued, lambda: None)
    assert entered.wait(10)
    threading.Timer(0.05, release.set).start()
    assert worker.stop()
    assert running.result() is True
    assert isinstance(queued.exception(), WorkerStoppedError)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ace_slam_ros.ros.weights.time.monotonic", lambda: now[0])
    return now


def test_a_reset_of_the_tracker_is_followed(clock):
    follower = MapFollower("a")
    assert follower.accepts("a") and follower.accepts("b") and follower.current == "b"


def test_stragglers_after_loading_are_ignored(clock):
    follower = MapFollower("tracker1")
    follower.move_to("loaded")
    assert not follower.accepts("tracker1")
    assert not follower.accepts("tracker2"), "it started before the mapper told of its map"
    assert follower.accepts("loaded")
    assert not follower.accepts("tracker1"), "replayed keyframes come in any order"
    assert follower.current == "loaded"


def test_a_reset_after_loading_is_followed(clock):
    follower = MapFollower("x")
    follower.move_to("loaded")
    clock[0] += MapFollower.GRACE_S + 1
    assert follower.accepts("new") and follower.current == "new"
    assert follower.accepts("loaded"), "a tracker that comes back is followed as well"
