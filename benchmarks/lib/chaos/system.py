"""The system in the storm: three nodes that are started again, a camera, clients, a witness."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool

from ace_slam_ros.core.runtime.memory import process_memory
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.process.node_group import NODES, QUICK_END_S, NodeGroup
from ace_slam_ros.ros.up import READY_WITHIN_S
from ace_slam_ros.srv import Relocalize, SaveMap
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path

from ..live_passes import cpu_s
from ..live_system import EXTRINSIC
from .calls import Clients
from .camera import Shot, StormCamera
from .disk import SmallDisk
from .witness import Excuses, Witness

#: How long the system may take to work again when the storm pauses; more is a hang.
PATIENCE_S = 45.0
CLIENTS = 3
DISK_MB = 256
_UP = {"unconfigured": Transition.TRANSITION_CONFIGURE,
       "inactive": Transition.TRANSITION_ACTIVATE}
_NO_POSE, _KILLED = "tracker not active", "tracker killed"


@dataclass(frozen=True)
class Back:
    """A killed node that is active again: seconds since the kill, processor time it took."""

    wall_s: float
    cpu_s: float


class HangError(Exception):
    """The system did not work again in time; says what it waited for."""


class StormSystem:
    """Nodes, camera, clients and witness; use as a context manager.

    Args:
        shots: what the camera shows.
        parameters: of the nodes, {dotted name: value}, beyond the camera's place.

    Attributes:
        group: the processes. camera, clients, witness, excuses: see there.
        folder: of its own, removed at the end.
        disk: folder in it where maps, sessions and logs are written; `disk_is_small` when it can
            be filled. maps: for maps, on that disk.
        lines: (monotonic seconds, node, line) of all that the nodes printed.
        backs: node -> how long it was away after each kill.
        orders: monotonic seconds of each order that may begin or drop a map.
    """

    def __init__(self, shots: list[Shot], parameters: dict[str, Any] | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="ace_slam_storm_")
        self.folder = Path(self._temporary.name)
        self._disk = SmallDisk(self.folder / "disk", DISK_MB)
        self.disk, self.disk_is_small = self._disk.path, self._disk.is_small
        self.maps = self.disk / "maps"
        self.maps.mkdir()
        self.namespace = f"storm_{os.getpid()}"
        self.segment = segment_path(segment_name(self.namespace))
        self.lines: list[tuple[float, str, str]] = []
        self.backs: dict[str, list[Back]] = {name: [] for name in NODES}
        self.orders: list[float] = []
        self.excuses, self._killed_s = Excuses(), dict[str, float]()
        self.group = NodeGroup(
            NodeConfig().with_values({"ros.camera_extrinsic": EXTRINSIC, **(parameters or {})}),
            namespace=self.namespace, on_line=self._take_line,
            environment={**os.environ, "XDG_STATE_HOME": str(self.disk / "state"),
                         "ROS_LOG_DIR": str(self.disk / "log")})
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._executor = SingleThreadedExecutor()
        self.node = self._join("storm")
        self.witness = Witness(self.node)
        self.clients = Clients([self._join(f"client_{n}") for n in range(CLIENTS)])
        for name in NODES:
            self.clients.server_down(name)  # until it says that it is active
        self._camera_node = self._join("camera")
        self._shots = shots
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _join(self, name: str) -> Any:
        node = rclpy.create_node(name, namespace=self.namespace)
        self._executor.add_node(node)
        return node

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def __enter__(self) -> StormSystem:
        """Start everything."""
        self._thread.start()
        self.excuses.begin("start")
        self.group.__enter__()
        self.camera = StormCamera(self._camera_node, self._shots)
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.camera.close()
        self.group.stop()
        self._executor.shutdown(1.0)
        self._thread.join(2.0)
        rclpy.try_shutdown()
        self._disk.close()
        self._temporary.cleanup()

    def _take_line(self, name: str, line: str) -> None:
        now_s = time.monotonic()
        self.lines.append((now_s, name, line))
        if "active after" in line:
            self.clients.server_up(name)
            if name == "tracker":
                self.excuses.end(_KILLED, 1.0)
            if name in self._killed_s:
                self.backs[name].append(Back(
                    now_s - self._killed_s.pop(name), cpu_s(self.group.children[name].pid)))

    # What is done to it ----------------------------------------------------------------------

    def kill(self, name: str) -> bool:
        """Send SIGKILL to a node; False when it lives too short to be killed again."""
        child = self.group.children[name]
        young = time.monotonic() - child.started_s < QUICK_END_S + 1.0
        if child.pid is None or (young and child.quick_ends):
            return False  # who ends again and again at once is not started any more
        self.clients.server_down(name)
        self._killed_s[name] = time.monotonic()
        if name == "tracker":
            self.excuses.begin(_KILLED)
        os.kill(child.pid, signal.SIGKILL)
        return True

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Keep a node from running for the length of the block."""
        pid = self.group.children[name].pid
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if pid is not None:
                os.kill(pid, signal.SIGCONT)

    def change_state(self, name: str, transition: int) -> bool:
        """Order a lifecycle transition; tell whether it was done."""
        stops = transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
        if name == "tracker" and stops:
            self.excuses.begin(_NO_POSE)
        if transition == Transition.TRANSITION_CLEANUP:
            self.orders.append(time.monotonic())
            self.clients.server_down(name, gone=False)
        answer = self.clients.ask(f"{name}/change_state", ChangeState.Request(
            transition=Transition(id=transition)), 20.0)
        done = answer is not None and bool(answer.success)
        if done and transition == Transition.TRANSITION_CONFIGURE:
            self.clients.server_up(name)
        if done and name == "tracker" and transition == Transition.TRANSITION_ACTIVATE:
            self.excuses.end(_NO_POSE, 1.0)
        return done

    def state_of(self, name: str) -> str:
        """Lifecycle state of a node; empty when it does not answer."""
        answer = self.clients.ask(f"{name}/get_state", patience_s=2.0)
        return "" if answer is None else str(answer.current_state.label)

    def pause(self, paused: bool) -> None:
        """Order the tracker to pause, or to go on."""
        if paused:
            self.excuses.begin("paused")
        self.clients.ask("pause", SetBool.Request(data=paused))
        if not paused:
            self.excuses.end("paused", 1.0)

    # What must hold when the storm pauses ------------------------------------------------------

    def wait(self, done: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        """Wait for a condition and return its value.

        Raises:
            HangError: it never came.
        """
        deadline_s = time.monotonic() + patience_s
        while not (found := done()):
            self.group.check()
            if time.monotonic() > deadline_s:
                raise HangError(what)
            time.sleep(0.02)
        return found

    def start(self) -> None:
        """Wait until all nodes have started for the first time.

        Raises:
            HangError: they have not; a machine on which they never ran compiles for a minute.
        """
        self.wait(lambda: {n for _, n, line in self.lines if "active after" in line} >= set(NODES),
                  "the nodes to start", READY_WITHIN_S)

    def bring_up(self) -> None:
        """Let every node be active and run."""
        for name in NODES:
            def active(name: str = name) -> bool:
                state = self.state_of(name)
                if state in _UP:
                    self.change_state(name, _UP[state])
                return state == "active"

            self.wait(active, f"the {name} to be active")
        self.pause(False)

    def tracks(self) -> SlamStatus | Any:
        """Return the newest status when it has a pose in a map that the mapper knows."""
        last = self.witness.last
        fresh = last is not None and time.monotonic() - last.at_s < 0.5
        return last if fresh and last is not None and last.tracked and last.version else None

    def works(self) -> str:
        """Wait until it tracks, saves and relocalizes; return the map's name.

        Raises:
            HangError: it does not; says what.
        """
        self.bring_up()
        status = self.wait(self.tracks, "poses in the mapper's map")
        self.excuses.end("start", 0.0)

        def saved() -> Any:
            path = self.maps / status.map_id
            answer = self.clients.ask("save_map", SaveMap.Request(path=str(path)))
            return answer is not None and answer.success

        self.wait(saved, "a saved map")

        def located() -> Any:
            answer = self.clients.ask("relocalize")
            return answer is not None and answer.reason == Relocalize.Response.OK

        self.wait(located, "a relocalization")
        last = self.wait(self.tracks, "poses after all")
        return str(last.map_id)

    def memory_mb(self) -> dict[str, float]:
        """Proportional set size of each node in 10^6 bytes, 0 of one that is gone."""
        return {n: process_memory(self.group.children[n].pid).pss_mb for n in NODES}

    def unexpected(self) -> dict[str, int]:
        """Lines that tell of errors nobody foresaw: tracebacks, and nodes that ended unasked."""
        return dict(Counter(
            f"{name}: {line}" for _, name, line in self.lines
            if "unexpected error" in line or " ended with " in line and "SIGKILL" not in line))
