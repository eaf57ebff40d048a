"""A node as a well-behaved process: signals, death of the parent, exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from ...core.errors import AceSlamError
from .core_logging import core_log_in
from .early_stop import UNSAVED, lost_by_early_stop
from .fastdds import remove_dead_segments
from .signals import StopSignals

#: Who is told to stop while it loads, or waits for a library that hangs, has nothing to finish.
_LOADING_DEADLINE_S = 0.3
#: A clean shutdown that takes longer than this hangs; launch sends SIGKILL after ten seconds.
_EXIT_DEADLINE_S = 9.0


class StopRequest:
    """What ends a node: asked for once, by a signal or because the parent process is gone.

    Imports and a library that hangs cannot be told to end: until `loaded`, the process does.

    Attributes:
        reason: who asked.
        lost: says what should have been saved and is not, while the node loads; empty = nothing.
    """

    def __init__(self) -> None:
        self.future: Future = Future()
        self._loading = True
        self._open: list[Callable[[], Any]] = []
        self.lost: Callable[[], str] = str
        self.reason = "rclpy shut down"
        self._executor: SingleThreadedExecutor | None = None

    @property
    def asked(self) -> bool:
        """Tell whether the node shall end."""
        return bool(self.future.done())

    def wakes(self, executor: SingleThreadedExecutor) -> None:
        """End the executor's wait as well when it is asked for."""
        self._executor = executor

    def ask(self, reason: str) -> None:
        """End the node, and this process the hard way when that takes too long."""
        self.reason = reason
        for patience_s, end in ((_LOADING_DEADLINE_S, self._end_loading),
                                (_EXIT_DEADLINE_S, lambda: os._exit(1))):
            deadline = threading.Timer(patience_s, end)
            deadline.daemon = True
            deadline.start()
        self.future.set_result(None)
        if self._executor is not None:
            self._executor.create_task(lambda: None)  # ends its wait; wake() alone does not

    def drops(self, close: Callable[[], Any]) -> None:
        """Call `close` before the process ends while it loads."""
        self._open.append(close)

    def loaded(self) -> None:
        """Be told that the node runs, and can end by itself."""
        self._loading = False

    def _end_loading(self) -> None:
        if not self._loading:
            return
        print(f"stopped while it was loading: {self.reason}", file=sys.stderr)
        code = 0
        with contextlib.suppress(Exception):
            code = _end("ace_slam_ros", self.lost())
        for close in reversed(self._open):
            with contextlib.suppress(Exception):  # it is half made
                close()
        leave(code)


def run_node(
    load: Callable[[], Callable[[], Any]], argv: list[str] | None = None, name: str = ""
) -> int:
    """Run a node until it is told to stop; return the exit code.

    0 done; 1 what it was to save at its end is not saved; 2 it cannot start.

    Args:
        load: imports and returns what creates the node. It is called when this process is known
            in the graph, because discovery takes as long as torch takes to load.
        argv: command line, default `sys.argv`.
        name: of the node, unless the command line renames it.
    """
    stop = StopRequest()
    signals = StopSignals(stop.ask)
    freed_mb = remove_dead_segments() / 1e6
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        herald = _make_herald()
        stop.drops(herald.destroy_node)  # and with it the middleware's shared memory
        stop.lost = lambda: lost_by_early_stop(name, sys.argv if argv is None else argv)
    except Exception as error:  # rclpy has no common base for bad arguments and a bad middleware
        print(f"rclpy cannot start: {error}", file=sys.stderr)
        return 2
    try:
        make = load()
        if stop.asked:
            return _end(name, stop.lost())
        node = make()
        stop.lost = lambda: node.lost
        stop.drops(node.abandon)
        herald.destroy_node()
        if freed_mb >= 1.0:
            node.get_logger().info(
                f"freed {freed_mb:.0f} MB of /dev/shm that killed DDS programs of this user left")
        signals.watch_parent(node.config.ros.parent_pid)
        return _live(node, stop)
    except (ImportError, AceSlamError) as error:
        return _refuse("ace_slam_ros", error)
    finally:
        stop.loaded()
        rclpy.try_shutdown()
        sys.stdout.flush()


def _live(node: Any, stop: StopRequest) -> int:
    """Start a node, run it until `stop`, and close it whatever happens; return the exit code."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop.wakes(executor)
    try:
        with core_log_in(node.get_logger()):
            try:
                if node.config.ros.autostart and not stop.asked:
                    node.autostart()
                stop.loaded()
                _spin(executor, stop.future, node)
                node.get_logger().info(f"stopping: {stop.reason}")
            except (ImportError, AceSlamError) as error:
                return _refuse(node.get_logger().name, error)
            finally:
                stop.loaded()
                with contextlib.suppress(ExternalShutdownException):
                    node.close()
        return _end(node.get_logger().name, node.lost)
    finally:
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()


def _refuse(logger: str, error: Exception) -> int:
    """Log why a node cannot start; return the exit code."""
    hint = ": `ace-slam doctor` says what to install" if isinstance(error, ImportError) else ""
    rclpy.logging.get_logger(logger).fatal(f"{error}{hint}")
    return 2


def _end(logger: str, lost: str) -> int:
    """Log what should have been saved and is not; return the exit code."""
    if lost:
        rclpy.logging.get_logger(logger).error(lost)
    return UNSAVED if lost else 0


def _make_herald() -> Any:
    """Make a hidden node without topics of its own, so that the middleware starts discovery."""
    return rclpy.create_node(
        f"_ace_slam_{os.getpid()}", use_global_arguments=False, enable_rosout=False,
        start_parameter_services=False)


def leave(code: int) -> NoReturn:
    """End this process now.

    Everything is closed; only Python's own end is left out, which takes torch down piece by piece:
    seconds on a busy machine, and launch sends SIGTERM after five.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _spin(executor: SingleThreadedExecutor, stop: Future, node: Any) -> None:
    """Spin until `stop`; an exception in a callback is logged instead of ending the node.

    rclpy's `spin_until_future_complete` leaves one more callback in the future for each callback
    it runs, for ever.
    """
    while not stop.done() and rclpy.ok():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            return
        except Exception:
            node.log_exception("callback")
