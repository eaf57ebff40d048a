"""The loop that runs a node: it ends when told, survives failing callbacks, leaks nothing."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.process import run_node as run_node_module
from ace_slam_ros.ros.process.run_node import StopRequest, _spin, run_node


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


class Idle(Node):
    """A node that has nothing to do, and says what became of it."""

    def __init__(self, happened, autostart):
        super().__init__("idle")
        self.config = SimpleNamespace(ros=SimpleNamespace(
            parent_pid=0, autostart=autostart is not None))
        self.autostart, self.happened, self.lost = autostart, happened, ""

    def abandon(self):
        self.happened.append("abandoned")

    def close(self):
        self.happened.append("closed")

    def destroy_node(self):
        self.happened.append("destroyed")
        super().destroy_node()


@pytest.fixture
def signals(monkeypatch):
    """Restore what a process without tests would not need any more."""
    monkeypatch.setattr(run_node_module, "_LOADING_DEADLINE_S", 600.0)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    forget_signals()


def forget_signals():
    """Let the next `run_node` hear signals of its own."""
    signal.set_wakeup_fd(-1)
    for thread in threading.enumerate():  # its deadline would end the tests
        if isinstance(thread, threading.Timer):
            thread.cancel()


def end_soon():
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()


def test_a_signal_ends_a_node_that_has_nothing_to_do(signals):
    happened = []

    def make():
        end_soon()
        return Idle(happened, None)

    assert run_node(lambda: make, []) == 0
    assert happened == ["closed", "destroyed"] and not rclpy.ok()


def test_a_signal_while_the_node_is_made_ends_it_before_it_starts(signals):
    happened = []

    def make():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        return Idle(happened, lambda: happened.append("started"))

    assert run_node(lambda: make, []) == 0
    assert happened == ["closed", "destroyed"]


def test_a_signal_during_the_imports_makes_no_node(signals):
    def load():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        return lambda: pytest.fail("nobody wants it any more")

    assert run_node(load, []) == 0 and not rclpy.ok()


def test_what_a_loading_node_holds_is_dropped(signals, monkeypatch, capsys):
    codes, dropped = [], []
    monkeypatch.setattr(run_node_module, "leave", codes.append)
    stop = StopRequest()
    stop.drops(lambda: dropped.append("herald"))
    stop.drops(lambda: 1 // 0)
    stop.drops(lambda: dropped.append("node"))
    stop.reason = "SIGINT"
    stop._end_loading()
    assert codes == [0] and dropped == ["node", "herald"]
    assert "stopped while it was loading: SIGINT" in capsys.readouterr().err
    stop.loaded()
    stop._end_loading()
    assert codes == [0], "a node that runs ends by itself"


@pytest.mark.parametrize("error", [ConfigError("mode=swim"), ImportError("no torch")])
def test_a_node_that_cannot_start_is_closed_and_says_why(signals, error, capfd):
    happened = []

    def refuse():
        raise error

    assert run_node(lambda: lambda: Idle(happened, refuse), []) == 2
    assert happened == ["closed", "destroyed"] and not rclpy.ok()
    said = capfd.readouterr().err
    assert str(error) in said and ("doctor" in said) == isinstance(error, ImportError)
    assert run_node(refuse, []) == 2, "what is imported may refuse as well"
    assert run_node(lambda: refuse, []) == 2, "and so may the node when it is made"


def test_arguments_that_ros_refuses_are_told(signals, capsys):
    assert run_node(lambda: pytest.fail("too late"), ["node", "--ros-args", "-p", "x"]) == 2
    assert "rclpy cannot start" in capsys.readouterr().err


def test_a_stop_that_loses_the_map_is_no_clean_end(signals, capfd):
    """Stopped while torch loads, or when the disk is full: exit code 0 said that all was well."""
    def load():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        return lambda: pytest.fail("too late")

    save = ["node", "--ros-args", "-p", "ros.save_on_exit:=true", "-p", "ros.map_dir:=/maps/hall"]
    for name, arguments, code in (
        ("mapper", save, 1), ("tracker", save, 0), ("mapper", save[:4], 0),
        ("mapper", [*save, "-p", "mode:=localization"], 0),
    ):
        assert run_node(load, arguments, name) == code
        forget_signals()
    said = capfd.readouterr().err
    assert "still loading: nothing was mapped and nothing is saved to /maps/hall" in said

    def full():
        node = Idle([], None)
        node.lost = "the map is not saved: no space left"
        return node

    end_soon()
    assert run_node(lambda: full, []) == 1
    assert "the map is not saved: no space left" in capfd.readouterr().err
