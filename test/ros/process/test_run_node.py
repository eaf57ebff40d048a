"""The loop that runs a node: it ends when told, survives failing callbacks, leaks nothing."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future

from ace_slam_ros.ros.process.run_node import _spin, run_node


@pytest.fixture
def node():
    rclpy.init()
    yield rclpy.create_node("loop")
    rclpy.try_shutdown()


def test_many_callbacks_leave_nothing_behind(node):
    stop, failures, runs = Future(), [], []
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def run():
        runs.append(len(stop._callbacks))
        if len(runs) == 200:
            stop.set_result(None)
        if len(runs) % 50 == 0:
            raise ZeroDivisionError("a callback fails")

    node.create_timer(0.0005, run)
    _spin(executor, stop, SimpleNamespace(log_exception=failures.append))
    executor.shutdown()
    assert len(runs) == 200 and len(failures) == 4
    assert max(runs) <= 1


def test_a_signal_ends_a_node_that_has_nothing_to_do():
    def make():
        node = rclpy.create_node("idle")
        node.config = SimpleNamespace(ros=SimpleNamespace(parent_pid=0, autostart=False))
        node.close = lambda: None
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return node

    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert run_node(lambda: make, []) == 0
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for thread in threading.enumerate():  # its deadline would end the tests
            if isinstance(thread, threading.Timer):
                thread.cancel()
