"""The three nodes as child processes: started, watched, restarted and ended together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from types import TracebackType
from typing import TYPE_CHECKING, Any

import yaml

from ...core.config.fields import dump_yaml
from ...core.errors import AceSlamError

if TYPE_CHECKING:
    from ..config import NodeConfig

log = logging.getLogger(__name__)

NODES = ("tracker", "mapper", "relocalizer")
#: Module that runs one of them by name.
STARTER = "ace_slam_ros.ros.process.start"

#: Short: a node without which the robot has no pose takes seconds to load anyhow.
RESPAWN_DELAY_S = 0.1
#: Exit code of a node that cannot start as it is configured; a restart would not help.
BAD_PARAMETERS = 2
QUICK_END_S = 5.0
MAX_QUICK_ENDS = 3
#: What `stop` sends and how long it waits; the mapper may be saving its map. Nodes take SIGTERM
#: like SIGINT, but one that is still loading ends by it without a traceback.
_STOP_STEPS = ((signal.SIGTERM, 15.0), (signal.SIGINT, 3.0), (signal.SIGKILL, 5.0))


class NodeError(AceSlamError):
    """The nodes cannot be started, or one of them keeps ending."""


def node_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment nodes run in; what the caller has set is kept.

    What numerical libraries and FastDDS need each process sets itself (`environment.py`).
    """
    environment = dict(os.environ if base is None else base)
    environment.setdefault("HOME", tempfile.gettempdir())  # rcl refuses to log without it
    environment.setdefault("RCUTILS_LOGGING_BUFFERED_STREAM", "0")
    environment.setdefault("RCUTILS_COLORIZED_OUTPUT", "0")
    environment.setdefault("RCUTILS_CONSOLE_OUTPUT_FORMAT", "[{severity}] {message}")
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return environment


def with_namespace(namespace: str) -> list[str]:
    """Return the ROS arguments that put a node below `namespace`; none when it is empty."""
    return ["-r", f"__ns:=/{namespace.strip('/')}"] if namespace.strip("/") else []


@dataclass
class Child:
    """One process and its history."""

    name: str
    command: list[str]
    process: subprocess.Popen[str] | None = None
    started_s: float = 0.0
    restart_at_s: float | None = None
    restarts: int = 0
    quick_ends: int = 0
    exit_codes: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        running = self.process is not None and self.process.poll() is None
        return self.process.pid if running and self.process is not None else None


class NodeGroup:
    """Starts the three nodes as processes; restarts what crashes; leaves nothing behind.

    Use as a context manager. Every child leads its own process group, so a Ctrl-C in the terminal
    reaches it once, through `stop`; and it watches this process (`ros.parent_pid`), so it ends
    even when this process is killed.

    Args:
        config: parameters of all nodes.
        namespace: ROS namespace of the nodes and their topics.
        respawn: start a node again when it ended on its own.
        log_level: least severe messages of the nodes.
        use_sim_time: nodes follow /clock.
        on_line: called with (node name, line) for each line the nodes print, from any thread.
        environment: base of the children's environment, default this process's.
        names: which nodes, default all.
        ros_own: further entries of the parameter file that are of ROS, such as `qos_overrides`.

    Attributes:
        params: the parameter file of the nodes, for others that shall share it.
        failed: why a node will not be started again, else empty.
    """

    def __init__(
        self, config: NodeConfig, *, namespace: str = "", respawn: bool = True,
        log_level: str = "info", use_sim_time: bool = False,
        on_line: Callable[[str, str], None] | None = None,
        environment: dict[str, str] | None = None, names: Sequence[str] = NODES,
        ros_own: dict[str, Any] | None = None,
    ) -> None:
        self.namespace, self.respawn = namespace, respawn
        self._on_line = on_line or print_line
        self._environment = node_environment(environment)
        self._folder = tempfile.TemporaryDirectory(prefix="ace_slam_up_")
        self.params = params = Path(self._folder.name) / "params.yaml"
        text = dump_yaml(config.with_values({"ros.parent_pid": os.getpid()}))
        more = yaml.safe_dump({**(ros_own or {}), "use_sim_time": use_sim_time})
        params.write_text(text + indent(more, "    "))
        level = "warn" if log_level == "warning" else log_level
        arguments = ["--ros-args", "--params-file", str(params), "--log-level", level]
        arguments += with_namespace(namespace)
        self.children = {
            name: Child(name, [sys.executable, "-m", STARTER, name, *arguments])
            for name in names}
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._pumps: list[threading.Thread] = []
        self._monitor = threading.Thread(target=self._watch, name="node-monitor", daemon=True)
        self.failed: str = ""

    def __enter__(self) -> NodeGroup:
        """Start all processes."""
        try:
            for child in self.children.values():
                self._spawn(child)
        except BaseException:
            self.stop()
            raise
        self._monitor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all processes."""
        self.stop()

    def run(self, name: str, command: list[str]) -> subprocess.Popen[str]:
        """Start one more process in the same environment; it ends with the group."""
        child = Child(name, command)
        with self._lock:
            self.children[name] = child
            self._spawn(child)
        assert child.process is not None
        return child.process

    def check(self) -> None:
        """Raise NodeError when a node keeps ending."""
        if self.failed:
            raise NodeError(self.failed)

    def last_exit(self, name: str) -> int:
        """Exit code with which a node ended last; 0 while it runs, or when it never ran."""
        child = self.children[name]
        code = None if child.process is None else child.process.poll()
        return code if code is not None else (child.exit_codes or [0])[-1]

    def stop(self) -> None:
        """End every process: SIGTERM, then SIGINT, then SIGKILL to its group; idempotent."""
        self._ending.set()
        if self._monitor.is_alive() and self._monitor is not threading.current_thread():
            self._monitor.join()
        with self._lock:
            for number, patience_s in _STOP_STEPS:
                running = [c for c in self.children.values() if c.pid is not None]
                for child in running:
                    _signal_group(child, number)
                deadline_s = time.monotonic() + patience_s
                for child in running:
                    assert child.process is not None
                    try:
                        child.process.wait(max(deadline_s - time.monotonic(), 0.01))
                    except subprocess.TimeoutExpired:
                        log.warning("%s ignores %s", child.name, signal.Signals(number).name)
            for child in self.children.values():
                _signal_group(child, signal.SIGKILL)  # whatever a node itself may have started
        for pump in self._pumps:
            pump.join(2.0)
        self._folder.cleanup()

    def _spawn(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True)
        child.started_s, child.restart_at_s = time.monotonic(), None
        pump = threading.Thread(
            target=self._pump, args=(child.name, child.process), name=f"log-{child.name}",
            daemon=True)
        pump.start()
        self._pumps = [*(p for p in self._pumps if p.is_alive()), pump]

    def _pump(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._on_line(name, line.rstrip("\n"))

    def _watch(self) -> None:
        """Notice ended nodes and start them again; runs in a thread until `stop`."""
        while not self._ending.wait(0.1):
            with self._lock:
                for name in NODES:
                    if name in self.children:
                        self._tend(self.children[name])

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.restart_at_s is not None:
            if now_s >= child.restart_at_s:
                child.restarts += 1
                self._spawn(child)
            return
        if child.process is None or (code := child.process.poll()) is None:
            return
        child.exit_codes.append(code)
        child.process = None
        child.quick_ends = child.quick_ends + 1 if now_s - child.started_s < QUICK_END_S else 0
        what = f"{child.name} ended with {_exit_text(code)}"
        if not self.respawn or code == BAD_PARAMETERS:
            self._on_line(child.name, what)
            self.failed = self.failed or f"{what}; its lines above say why"
        elif child.quick_ends >= MAX_QUICK_ENDS:
            self.failed = f"{what}, {child.quick_ends} times in a row; its lines above say why"
        else:
            self._on_line(child.name, f"{what}; starting it again in {RESPAWN_DELAY_S:g} s")
            child.restart_at_s = now_s + RESPAWN_DELAY_S


def print_line(name: str, line: str) -> None:
    """Print one line of a node behind its name."""
    print(f"{name:>11} | {line}", flush=True)


def _exit_text(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _signal_group(child: Child, number: signal.Signals) -> None:
    if child.process is None:
        return
    try:
        os.killpg(child.process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
