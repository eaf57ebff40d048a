"""The three nodes with a player and somebody who listens: what the live benchmarks share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from ace_slam_ros.core.geometry.se3 import T_BODY_OPTICAL
from ace_slam_ros.io.convert import convert
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.messages.conversions import stamp_to_ns
from ace_slam_ros.ros.messages.poses import pose_from_msg
from ace_slam_ros.ros.process.node_group import NODES, NodeGroup
from ace_slam_ros.ros.qos import reliable_qos
from ace_slam_ros.ros.up import player_command
from ace_slam_ros.srv import Relocalize
from ace_slam_ros.synth.sequence import write_sequence

from .report import sequences

PATIENCE_S = 120.0
EXTRINSIC = "0 0 0 -0.5 0.5 -0.5 0.5"


@dataclass(frozen=True)
class Heard:
    """One status message and when it arrived (monotonic seconds)."""

    at_s: float
    state: int
    map_id: str
    version: int
    latency_ms: float
    frames: int
    skipped: int
    rejected: int
    tracked_here: bool


class Listener:
    """Keeps every status, and asks the relocalizer with any number of callers at once.

    Attributes:
        heard: all statuses so far.
        asked, answered: requests of the callers; reasons: answers by reason.
        answer_ms: how long each answer took.
        poses: the published poses by stamp (ns), of the camera in the map, 4x4.
    """

    def __init__(self, namespace: str) -> None:
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("benchmark", namespace=namespace)
        self._node.create_subscription(SlamStatus, "status", self._hear, reliable_qos(200))
        self._node.create_subscription(
            PoseWithCovarianceStamped, "pose", self._keep_pose, reliable_qos(200))
        self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._keep_values, reliable_qos())
        self._client = self._node.create_client(Relocalize, "relocalize")
        self.poses: dict[int, Any] = {}
        self._values: dict[str, dict[str, str]] = {}
        self._namespace = namespace
        self.heard: list[Heard] = []
        self.asked = self.answered = 0
        self.reasons: Counter[int] = Counter()
        self.answer_ms: list[float] = []
        self._callers = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _hear(self, message: SlamStatus) -> None:
        self.heard.append(Heard(
            time.monotonic(), message.state, message.map_id, message.weights_version,
            message.latency_ms, message.frames, message.skipped, message.rejected,
            message.state == SlamStatus.TRACKING))

    def _keep_pose(self, message: PoseWithCovarianceStamped) -> None:
        T_map_base = pose_from_msg(message.pose.pose)
        self.poses[stamp_to_ns(message.header.stamp)] = T_map_base @ T_BODY_OPTICAL

    def _keep_values(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._values[status.name] = {v.key: v.value for v in status.values}

    def value(self, node: str, key: str) -> float | None:
        """Return a number of a node's last diagnostics, None where it says none."""
        text = self._values.get(f"{self._namespace}/{node}", {}).get(key)
        return None if text is None else float(text)

    def call(self, callers: int) -> None:
        """Keep so many requests under way; 0 ends it after those under way."""
        started = callers - self._callers
        self._callers = callers
        for _ in range(max(started, 0)):
            self._ask()

    def _ask(self) -> None:
        self.asked += 1
        began_s = time.monotonic()
        future = self._client.call_async(Relocalize.Request())

        def done(answer: Any) -> None:
            self.answered += 1
            self.answer_ms.append((time.monotonic() - began_s) * 1e3)
            self.reasons[answer.result().reason] += 1
            if self._callers:
                self._ask()

        future.add_done_callback(done)

    def ask_once(self, timeout_s: float) -> int | None:
        """Return the reason of one answer, None without an answer in time."""
        future = self._client.call_async(Relocalize.Request())
        deadline_s = time.monotonic() + timeout_s
        while not future.done():
            if time.monotonic() > deadline_s:
                self._client.remove_pending_request(future)
                return None
            time.sleep(0.01)
        return int(future.result().reason)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown(1.0)
        self._thread.join(2.0)
        self._node.destroy_node()
        rclpy.try_shutdown()


class LiveSystem:
    """Nodes, listener, and a player when asked."""

    def __init__(self, bag: Path, folder: Path) -> None:
        self.bag, self.folder = bag, folder
        self.namespace = f"bench_{os.getpid()}"
        self.lines: list[tuple[float, str, str]] = []
        config = NodeConfig().with_values({"ros.camera_extrinsic": EXTRINSIC})
        environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.group = NodeGroup(
            config, namespace=self.namespace, environment=environment,
            on_line=lambda name, line: self.lines.append((time.monotonic(), name, line)))
        self.listener = Listener(self.namespace)

    def wait(self, done: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> float:
        """Wait for a condition; return the seconds it took.

        Raises:
            TimeoutError: it never came; the nodes' last lines are in the message.
        """
        began_s = time.monotonic()
        while not done():
            self.group.check()
            if time.monotonic() - began_s > timeout_s:
                last = "\n".join(f"{name}: {line}" for _, name, line in self.lines[-15:])
                raise TimeoutError(f"waited in vain for {what}:\n{last}")
            time.sleep(0.02)
        return time.monotonic() - began_s

    def ready(self, names: tuple[str, ...] = NODES, since_s: float = 0.0) -> bool:
        """Tell whether the nodes have said that they are configured."""
        said = {n for t, n, line in self.lines if t >= since_s and "encoder" in line
                and "segment" in line}
        return said >= set(names)

    def play(self, loop: int = 1, report: Path | None = None) -> subprocess.Popen[str]:
        """Start a player; 0 = for ever. It does not wait for nodes: one may be stopped."""
        command = player_command(self.bag, namespace=self.namespace, report=report)
        return self.group.run("player", [*command, "--nodes", "", "--loop", str(loop)])

    def play_to_the_end(self, callers: int) -> tuple[list[Heard], dict[str, Any]]:
        """Play once with so many callers; return the statuses and the player's report."""
        report = self.folder / f"player_{callers}.json"
        before = len(self.listener.heard)
        player = self.play(report=report)
        self.wait(lambda: len(self.listener.heard) > before, "the first frame")
        self.listener.call(callers)
        self.wait(lambda: player.poll() is not None, "the end of the sequence", 3600.0)
        self.listener.call(0)
        time.sleep(2.0)
        return self.listener.heard[before:], json.loads(report.read_text())

    def kill(self, name: str) -> float:
        """Send SIGKILL to a node; return when."""
        pid = self.group.children[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return time.monotonic()

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Keep a node from running for the length of the block."""
        pid = self.group.children[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each node in 10^6 bytes."""
        return {n: resident_mb(self.group.children[n].pid) for n in NODES}


@contextmanager
def live_system(bag: Path) -> Iterator[LiveSystem]:
    """Run the nodes until the block ends."""
    with tempfile.TemporaryDirectory(prefix="ace_slam_bench_") as folder:
        system = LiveSystem(bag, Path(folder))
        try:
            with system.group:
                system.wait(system.ready, "the nodes")
                yield system
        finally:
            system.listener.close()


def make_bag(source: Path | None, folder: Path) -> Path:
    """Return a bag of raw 640x480 images, so that the player decodes nothing while it plays.

    Without `source` a synthetic room is rendered first; of a folder of sequences the first is
    played.
    """
    if source is not None and any(source.glob("*.mcap")):
        return source
    source = next(iter(sequences(source).values()), source)
    if source is None:
        source = write_sequence(folder / "room", "room", 1, None, progress=True)
    return raw_bag(source, folder / "bag")


def raw_bag(source: Path, bag: Path) -> Path:
    """Return a bag of the raw images of a TUM folder, made unless it is there."""
    if not bag.exists():
        convert(source, bag, transport="raw", progress=False)
    return bag


def resident_mb(pid: int | None) -> float:
    """Resident memory of a process in 10^6 bytes, 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentiles(values: list[float]) -> dict[str, float]:
    """Return the median and the 95th percentile."""
    p50, p95 = np.percentile(values, (50, 95)) if values else (float("nan"),) * 2
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def longest_gap_s(heard: list[Heard], since_s: float, until_s: float) -> float:
    """Longest time without a tracked frame between two moments."""
    times = [since_s, *(h.at_s for h in heard if h.tracked_here and since_s < h.at_s < until_s),
             until_s]
    return float(np.diff(times).max())
