"""Starting, watching and ending child processes, with small scripts in the nodes' place."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ace_slam_ros.core.config.files import load_config
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.process import node_group
from ace_slam_ros.ros.process.node_group import (
    NodeError,
    NodeGroup,
    node_environment,
    with_namespace,
)

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time\n"
    "for n in (signal.SIGINT, signal.SIGTERM):\n"
    "    signal.signal(n, lambda *_: print('no', flush=True))\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(600)")
CRASHER = "print('out of film', flush=True); raise SystemExit(3)"
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('child', child.pid, flush=True)\n"
    "time.sleep(600)")


Make = Callable[..., tuple[NodeGroup, "Lines"]]


class Lines(list[tuple[str, str]]):
    """What the processes printed."""

    def take(self, name: str, line: str) -> None:
        self.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for who, line in self if who == name]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a group whose nodes are the given scripts; delays are shortened."""
    monkeypatch.setattr(node_group, "RESPAWN_DELAY_S", 0.2)
    monkeypatch.setattr(node_group, "QUICK_END_S", 120.0)
    monkeypatch.setattr(node_group, "_STOP_STEPS", (
        (signal.SIGINT, 1.0), (signal.SIGTERM, 0.3), (signal.SIGKILL, 5.0)))

    def build(respawn: bool = True, **scripts: str) -> tuple[NodeGroup, Lines]:
        for name, text in scripts.items():
            (tmp_path / f"fake_{name}.py").write_text(text)
        (tmp_path / "fake_start.py").write_text(
            "import runpy, sys; runpy.run_module(f'fake_{sys.argv[1]}', run_name='__main__')")
        monkeypatch.setattr(node_group, "STARTER", "fake_start")
        monkeypatch.setattr(node_group, "NODES", tuple(scripts))
        lines = Lines()
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        group = NodeGroup(
            NodeConfig(), namespace="robot1", respawn=respawn, on_line=lines.take,
            environment=environment, names=tuple(scripts))
        return group, lines

    return build


def _until(done: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_lines_are_collected_and_all_ends(make: Make) -> None:
    group, lines = make(tracker=SLEEPER, mapper=SLEEPER)
    with group:
        _until(lambda: lines.of("tracker") == lines.of("mapper") == ["ready"])
        pids = [child.pid for child in group.children.values()]
        assert all(pid is not None and _alive(pid) for pid in pids)
    assert not any(_alive(pid) for pid in pids if pid)
    group.stop()  # once more does no harm


def test_killed_node_comes_back(make: Make) -> None:
    group, lines = make(tracker=SLEEPER)
    with group:
        _until(lambda: lines.of("tracker"))
        first = group.children["tracker"].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        _until(lambda: lines.of("tracker").count("ready") == 2)
        assert group.children["tracker"].pid not in (first, None)
        assert group.children["tracker"].restarts == 1
        assert any("signal SIGKILL" in line for line in lines.of("tracker"))
        group.check()


def test_a_node_that_refuses_its_parameters_is_not_started_again(make: Make) -> None:
    group, lines = make(tracker="print('bad', flush=True); raise SystemExit(2)")
    with group:
        _until(lambda: group.failed)
        with pytest.raises(NodeError, match="tracker ended with exit code 2"):
            group.check()
        assert lines.of("tracker").count("bad") == 1


def test_without_respawn_the_end_of_a_node_is_an_error(make: Make) -> None:
    group, lines = make(respawn=False, tracker=CRASHER, mapper=SLEEPER)
    with group:
        _until(lambda: group.failed)
        with pytest.raises(NodeError, match="tracker ended with exit code 3"):
            group.check()
        assert group.children["tracker"].restarts == 0
    assert "out of film" in lines.of("tracker")


def test_node_that_keeps_crashing_is_given_up(make: Make) -> None:
    group, lines = make(tracker=CRASHER)
    with group:
        _until(lambda: group.failed)
        assert group.children["tracker"].exit_codes == [3] * node_group.MAX_QUICK_ENDS
        with pytest.raises(NodeError, match="3 times in a row"):
            group.check()


def test_stubborn_node_is_killed(make: Make) -> None:
    group, lines = make(tracker=STUBBORN)
    with group:
        _until(lambda: lines.of("tracker"))
        pid = group.children["tracker"].pid
    assert pid is not None and not _alive(pid)
    assert "no" in lines.of("tracker")  # it was asked before


def test_children_of_nodes_end_too(make: Make) -> None:
    group, lines = make(tracker=WITH_CHILD)
    with group:
        _until(lambda: lines.of("tracker"))
        grandchild = int(lines.of("tracker")[0].split()[1])
        assert _alive(grandchild)
    _until(lambda: not _alive(grandchild))


def test_extra_process_ends_with_the_group(make: Make) -> None:
    group, lines = make(tracker=SLEEPER)
    with group:
        process = group.run("player", ["sh", "-c", "echo on; exec sleep 600"])
        _until(lambda: lines.of("player") == ["on"])
        assert process.poll() is None
    assert process.poll() is not None


def test_parameters_reach_the_nodes(tmp_path: Path) -> None:
    config = NodeConfig().with_values({"solver.hypotheses": 99})
    group = NodeGroup(config, namespace="/robot1/", log_level="warning", use_sim_time=True)
    command = group.children["tracker"].command
    path = Path(command[command.index("--params-file") + 1])
    assert load_config(path, NodeConfig) == config.with_values({"ros.parent_pid": os.getpid()})
    assert "use_sim_time: true" in path.read_text()
    assert command[-2:] == ["-r", "__ns:=/robot1"] and "warn" in command
    group.stop()
    assert not path.exists()


def test_environment_keeps_what_the_caller_set() -> None:
    made = node_environment({"PYTHONUNBUFFERED": "0", "PATH": "/bin"})
    assert made["PYTHONUNBUFFERED"] == "0" and made["RCUTILS_COLORIZED_OUTPUT"] == "0"
    assert made["HOME"]


def test_no_namespace_gives_no_argument() -> None:
    assert with_namespace("") == with_namespace("/") == []
