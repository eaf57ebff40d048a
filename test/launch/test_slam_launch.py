"""launch/slam.launch.py: checked as text everywhere, run for real where launch is installed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from helpers.paths import ROOT
from helpers.scripts import LAUNCH_MODULES, declared_arguments, load_script

from ace_slam_ros.core.config.fields import flatten
from ace_slam_ros.launch_files import NODES
from ace_slam_ros.ros.config import NodeConfig

FILE = ROOT / "launch" / "slam.launch.py"
ARGUMENTS = {
    "namespace", "params_file", "use_sim_time", "mode", "map", "rviz", "bag", "bag_rate",
    "bag_color", "bag_depth", "bag_info",
    "bag_loop", "save_on_exit", "camera", "log_level", "respawn", "autostart",
    "map_frame", "odom_frame", "base_frame", "map_jump_limit",
}


def _tree() -> ast.Module:
    return ast.parse(FILE.read_text(), str(FILE))


def _constant(name: str) -> Any:
    for node in _tree().body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{name} is not defined in {FILE}")


def _strings() -> list[str]:
    return [n.value for n in ast.walk(_tree())
            if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_file_compiles() -> None:
    compile(FILE.read_text(), str(FILE), "exec")


def test_declared_arguments() -> None:
    declared = declared_arguments(FILE)
    assert declared.keys() == ARGUMENTS
    assert all(said["description"] for said in declared.values())
    assert declared["params_file"]["default_value"] == str(ROOT / "config" / "slam.yaml")
    assert declared["bag_rate"]["choices"] is None
    assert all(said["default_value"] in said["choices"]
               for said in declared.values() if said["choices"])


def test_the_player_waits_for_all_nodes() -> None:
    assert "--nodes" in _strings() and NODES == ("tracker", "mapper", "relocalizer")
    assert _constant("READY_WITHIN_S") >= 120


@pytest.fixture
def file_alone(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The imported file, with nothing of launch behind it."""
    for name in LAUNCH_MODULES:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    return load_script(FILE)


@pytest.mark.parametrize(("code", "name", "is_shutdown", "saves", "words"), [
    (1, "mapper_node-2", True, True, "the map is not saved .* last line"),
    (-2, "mapper_node-2", True, True, "not saved .* signal 2 "),  # Ctrl-C while Python started
    (-9, "mapper_node-2", True, True, "not saved .* signal 9 "),
    (-9, "mapper_node-2", True, False, ""), (0, "mapper_node-2", True, True, ""),
    (-9, "mapper_node-2", False, True, ""),  # it is started again, and resumes its map
    (-2, "tracker_node-1", True, True, ""),
    (2, "tracker_node-1", False, False, "tracker_node-1 cannot start"),
])
def test_a_lost_map_and_refused_parameters_are_failures(
    file_alone: ModuleType, code: int, name: str, is_shutdown: bool, saves: bool, words: str
) -> None:
    end = SimpleNamespace(returncode=code, process_name=name)
    ended = file_alone._refuse_hopeless(saves)
    with pytest.raises(RuntimeError, match=words) if words else nullcontext():
        ended(end, SimpleNamespace(is_shutdown=is_shutdown))


def test_whether_a_map_is_to_be_saved(file_alone: ModuleType, tmp_path: Path) -> None:
    """By the arguments of launch, or by the parameter file."""
    file = tmp_path / "params.yaml"
    file.write_text("/**:\n  ros__parameters:\n    ros: {save_on_exit: true}\n")
    where = {"ros.map_dir": "/maps/hall: 2"}
    assert file_alone._saves(str(file), where) and not file_alone._saves(str(file), {})
    assert not file_alone._saves(str(file), where | {"mode": "localization"})
    assert not file_alone._saves(str(file), where | {"ros.save_on_exit": False})
    plain = str(ROOT / "config" / "slam.yaml")
    assert not file_alone._saves(plain, where)
    assert file_alone._saves(plain, where | {"ros.save_on_exit": True})


def test_arguments_read_are_declared() -> None:
    read = {
        call.args[0].value for call in ast.walk(_tree())
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "get"
        and isinstance(call.args[0], ast.Constant)}
    assert read <= ARGUMENTS
    assert read >= ARGUMENTS - {"params_file"} and "params_file" in read


def test_parameters_it_sets_exist() -> None:
    known = flatten(NodeConfig())
    named = [s for s in _strings() if s.startswith("ros.") and " " not in s]
    assert len(named) >= 4
    assert [name for name in named if name not in known] == []


def test_executables_are_installed_by_cmake() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    starter = (ROOT / "ace_slam_ros" / "ros" / "process" / "start.py").read_text()
    for node in NODES:
        assert f"{node}_node=ros.process.start={node}" in cmake and f"def {node}()" in starter
    assert "player=ros.process.start=player" in cmake and "def player()" in starter


def test_files_it_refers_to_exist() -> None:
    for name in ("slam.yaml", "fastdds.xml", "slam.rviz"):
        assert name in _strings() and (ROOT / "config" / name).is_file()


def test_remapped_topics_are_relative_on_our_side() -> None:
    topics = _constant("REALSENSE_TOPICS")
    assert set(topics) == {"rgb/image", "rgb/camera_info", "depth/image"}
    assert all(name.startswith("/camera/camera/") for name in topics.values())
    assert set(_constant("TRANSPORTS")) < set(topics)


@pytest.fixture
def real_launch() -> ModuleType:
    """The imported file, where launch, launch_ros and an installed package are available."""
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (not on PyPI)")
    packages = pytest.importorskip("ament_index_python.packages")
    try:
        packages.get_package_share_directory("ace_slam_ros")
    except packages.PackageNotFoundError:
        pytest.skip("ace_slam_ros is not installed in an ament prefix")
    return load_script(FILE)


def _started(module: ModuleType, **arguments: str) -> dict[str, Any]:
    """Evaluate the description with arguments; return {executable: Node action}."""
    import launch

    context = launch.LaunchContext()
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, launch.actions.DeclareLaunchArgument):
            context.launch_configurations.setdefault(
                entity.name, arguments.get(entity.name, "".join(
                    part.perform(context) for part in entity.default_value or [])))
    actions = [a for a in module._start(context) if hasattr(a, "node_executable")]
    for action in actions:
        action._perform_substitutions(context)
    return {action.node_executable: action for action in actions}


def test_three_nodes_by_default(real_launch: ModuleType) -> None:
    started = _started(real_launch)
    assert set(started) == {"tracker_node", "mapper_node", "relocalizer_node"}
    assert started["tracker_node"].expanded_remapping_rules in (None, [])


def test_realsense_remaps_every_transport(
    real_launch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_launch, "_realsense", lambda: None)
    tracker = _started(real_launch, camera="realsense")["tracker_node"]
    rules = dict(tracker.expanded_remapping_rules)
    assert rules["rgb/image/compressed"] == "/camera/camera/color/image_raw/compressed"
    assert rules["depth/image"] == "/camera/camera/aligned_depth_to_color/image_raw"


def _launch(**arguments: str) -> subprocess.Popen[str]:
    runner = (
        "import launch, sys; from launch.actions import IncludeLaunchDescription as I\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource as P\n"
        f"s = launch.LaunchService(); s.include_launch_description(launch.LaunchDescription(["
        f"I(P({str(FILE)!r}), launch_arguments={list(arguments.items())!r})])); sys.exit(s.run())")
    environment = {
        **os.environ, "ROS_DOMAIN_ID": "87", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", runner], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True)


@pytest.mark.parametrize("arguments, reason", [
    ({"params_file": "/nowhere.yaml"}, "params_file /nowhere.yaml does not exist"),
    ({"bag": "/nowhere"}, "/nowhere does not exist"),
    ({"mode": "localization"}, "mode=localization needs ros.map_dir"),
    ({"mode": "localization", "map": "/nowhere"}, "no map at /nowhere"),
])
def test_what_cannot_work_ends_the_launch(
    real_launch: ModuleType, arguments: dict[str, str], reason: str
) -> None:
    process = _launch(**arguments)
    try:
        shown, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    assert shown.count(reason) == 1, shown


@pytest.mark.live
def test_nodes_start_and_stop_under_launch(real_launch: ModuleType) -> None:
    process = _launch(respawn="false")
    lines: list[str] = []
    try:
        assert process.stdout is not None
        ready: set[str] = set()
        for line in process.stdout:
            lines.append(line)
            ready |= {n for n in ("tracker", "mapper", "relocalizer")
                      if f"{n}]" in line and ", segment " in line}
            assert "process has died" not in line, "".join(lines)
            if len(ready) == 3:
                break
        assert len(ready) == 3, "".join(lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        lines += process.stdout.readlines()
        assert sum("finished cleanly" in line for line in lines) == 3, "".join(lines)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.1)
