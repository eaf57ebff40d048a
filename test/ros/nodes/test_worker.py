"""The worker thread and the newest-wins slot."""

import os
import sys
import threading

import pytest
from rclpy.task import Future

from ace_slam_ros.core.runtime.newest_slot import NewestSlot
from ace_slam_ros.core.runtime.priority import MAPPER_NICENESS, RELOCALIZER_NICENESS
from ace_slam_ros.ros.nodes.mapper import MapperNode
from ace_slam_ros.ros.nodes.relocalizer import RelocalizerNode
from ace_slam_ros.ros.nodes.worker import Worker, WorkerStoppedError


def test_newest_wins_and_the_rest_is_counted():
    slot = NewestSlot()
    for i in range(5):
        slot.put(i)
    assert (slot.take(0.0), slot.take(0.0), slot.replaced) == (4, None, 4)
    slot.put(5)
    slot.clear()
    assert (slot.take(0.0), slot.replaced) == (None, 4)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux only")
def test_the_worker_alone_gives_way_and_only_when_there_is_work():
    """A mapper that gave way at its start was ready seconds after the tracker."""
    found, stepped = [], threading.Event()

    def step():
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        stepped.set()
        worker.wait(10.0)

    before = os.getpriority(os.PRIO_PROCESS, 0)
    worker = Worker("test", step, found.append, niceness=3)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    worker.start()
    assert stepped.wait(10.0) and worker.stop()
    assert found[0] == min(before + 3, 19) and os.getpriority(os.PRIO_PROCESS, 0) == before
    assert (MapperNode.niceness, RelocalizerNode.niceness) == (
        MAPPER_NICENESS, RELOCALIZER_NICENESS)


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
