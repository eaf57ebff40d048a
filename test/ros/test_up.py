"""`ace-slam up` and the three nodes as real processes over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.recordings import COUNT, PATIENCE_S, wait_until

from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.process.node_group import NodeGroup
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path

pytestmark = pytest.mark.live


def _processes(marker: str) -> list[int]:
    """Processes whose command line holds `marker`, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_nodes_run_come_back_and_leave_nothing() -> None:
    namespace = f"group_{os.getpid()}"
    lines: list[tuple[str, str]] = []
    segment = segment_path(segment_name(f"/{namespace}"))

    def ready(name: str) -> int:
        return sum(who == name and ", segment " in line for who, line in lines)

    with NodeGroup(
        NodeConfig(), namespace=namespace, on_line=lambda *line: lines.append(line)
    ) as group:
        wait_until(lambda: all(ready(n) for n in ("tracker", "mapper", "relocalizer")), str(lines))
        assert len(_processes(f"__ns:=/{namespace}")) == 3
        pid = group.children["mapper"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: ready("mapper") == 2, "the mapper did not come back")
        assert group.children["mapper"].restarts == 1
        others = [group.children[n].restarts for n in ("tracker", "relocalizer")]
        assert others == [0, 0]
        group.check()
    assert _processes(f"__ns:=/{namespace}") == []
    assert not segment.exists()
    ends = {who for who, line in lines if "stopping: SIGTERM" in line}
    assert ends == {"tracker", "mapper", "relocalizer"}


def test_up_plays_a_bag_when_all_are_ready_and_ends_with_it(bag: Path, tmp_path: Path) -> None:
    """A bag of a second was over before the mapper had loaded: exit code 0 and no map."""
    namespace = f"up_{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-m", "ace_slam_ros", "up", "--bag", str(bag), "--rate", "2",
         "--namespace", namespace, "--set", f"ros.map_dir={tmp_path / 'map'}",
         "--set", "ros.save_on_exit=true"],
        capture_output=True, text=True, timeout=PATIENCE_S * 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tracker | [WARN] TF does not know base_link -> " in done.stdout
    assert "mapper | [INFO] active after" in done.stdout
    assert f"played {4 * COUNT} messages" in done.stdout
    assert "player | waiting for " in done.stdout
    assert (tmp_path / "map" / "manifest.json").exists(), done.stdout
    assert _processes(namespace) == []


def test_nodes_end_when_up_is_killed() -> None:
    namespace = f"orphans_{os.getpid()}"
    up = subprocess.Popen(
        [sys.executable, "-m", "ace_slam_ros", "up", "--namespace", namespace],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(_processes(f"__ns:=/{namespace}")) == 3, "three nodes")
    finally:
        up.kill()
        up.wait()
    wait_until(lambda: not _processes(f"__ns:=/{namespace}"), "the nodes' end")


def test_a_stop_while_loading_is_no_clean_end_of_a_run_that_was_to_save(tmp_path: Path) -> None:
    namespace = f"early_{os.getpid()}"
    up = subprocess.Popen(
        [sys.executable, "-m", "ace_slam_ros", "up", "--namespace", namespace,
         "--set", f"ros.map_dir={tmp_path / 'map'}", "--set", "ros.save_on_exit=true"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: len(_processes(f"__ns:=/{namespace}")) == 3, "three nodes")
        up.send_signal(signal.SIGINT)
        said = up.communicate(timeout=PATIENCE_S)[0]
    finally:
        up.kill()
    assert up.returncode == 1, said
    assert "up | the map was not saved" in said and not (tmp_path / "map").exists()
