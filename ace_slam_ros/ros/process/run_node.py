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
from .fastdds import remove_dead_segments
from .signals import StopSignals

#: A clean shutdown that takes longer than this hangs; launch sends SIGKILL after ten seconds.
_EXIT_DEADLINE_S = 9.0


def run_node(load: Callable[[], Callable[[], Any]], argv: list[str] | None = None) -> int:
    """Run a node until it is told to stop; return the exit code (0 done, 2 it cannot start).

    Args:
        load: imports and returns what creates the node. It is called when this process is known
            in the graph, because discovery takes as long as torch takes to load.
        argv: command line, default `sys.argv`.
    """
    stop: Future = Future()
    reasons: list[str] = []
    executors: list[SingleThreadedExecutor] = []

    def on_stop(reason: str) -> None:
        reasons.append(reason)
        deadline = threading.Timer(_EXIT_DEADLINE_S, os._exit, (1,))
        deadline.daemon = True
        deadline.start()
        stop.set_result(None)
        for executor in executors:
            executor.create_task(lambda: None)  # ends its wait; wake() alone does not

    signals = StopSignals(on_stop)
    freed_mb = remove_dead_segments() / 1e6
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        herald = _make_herald()
    except Exception as error:  # rclpy has no common base for bad arguments and a bad middleware
        print(f"rclpy cannot start: {error}", file=sys.stderr)
        return 2
    executor = SingleThreadedExecutor()
    executors.append(executor)
    node, closing = None, contextlib.ExitStack()
    try:
        make = load()
        if stop.done():
            return 0
        node = make()
        herald.destroy_node()
        if freed_mb >= 1.0:
            node.get_logger().info(f"freed {freed_mb:.0f} MB that killed processes left")
        signals.watch_parent(node.config.ros.parent_pid)
        executor.add_node(node)
        closing.enter_context(core_log_in(node.get_logger()))
        if node.config.ros.autostart and not stop.done():
            node.autostart()
        _spin(executor, stop, node)
        node.get_logger().info(f"stopping: {reasons[0] if reasons else 'rclpy shut down'}")
        return 0
    except ImportError as error:
        rclpy.logging.get_logger("ace_slam_ros").fatal(
            f"{error}: `ace-slam doctor` says what to install")
        return 2
    except AceSlamError as error:
        name = node.get_logger().name if node is not None else "ace_slam_ros"
        rclpy.logging.get_logger(name).fatal(str(error))
        return 2
    finally:
        if node is not None:
            with closing, contextlib.suppress(ExternalShutdownException):
                node.close()
        executor.shutdown(timeout_sec=1.0)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        sys.stdout.flush()


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
