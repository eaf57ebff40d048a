"""The launch files that include slam.launch.py: what they hand to it, and start besides."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.paths import ROOT
from helpers.scripts import declared_arguments, load_script

from ace_slam_ros.core.config.files import load_config
from ace_slam_ros.ros.config import NodeConfig

OWN = {"localization": {"map", "params_file"}, "realsense": {"params_file"}}


def _tree(name: str) -> ast.Module:
    return ast.parse((ROOT / "launch" / f"{name}.launch.py").read_text())


def _declared(name: str) -> dict[str, dict[str, Any]]:
    return declared_arguments(ROOT / "launch" / f"{name}.launch.py")


@pytest.mark.parametrize("name", OWN)
def test_arguments_and_what_is_passed_on(name: str) -> None:
    declared = _declared(name)
    assert declared.keys() == OWN[name]
    assert declared["params_file"]["default_value"] == str(ROOT / "config" / f"{name}.yaml")
    assert "default_value" not in declared.get("map", {}), "it must be given"
    passed = {k.value for n in ast.walk(_tree(name)) if isinstance(n, ast.Dict)
              for k in n.keys if isinstance(k, ast.Constant)}
    assert passed <= _declared("slam").keys() and "params_file" in passed
    strings = {n.value for n in ast.walk(_tree(name))
               if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert f"{name}.yaml" in strings and (ROOT / "config" / f"{name}.yaml").is_file()
    assert "slam.launch.py" in strings


def _parameters(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of all nodes in a file, sections as prefixes."""
    found: dict[str, Any] = {}
    for name, inner in tree.items():
        if name != "ros__parameters":
            found |= _parameters(inner) if isinstance(inner, dict) else {}
            continue
        for key, value in inner.items():
            found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(
                value, dict) else {key: value}
    return found


def _evaluate(name: str, **arguments: str) -> dict[str, Any]:
    """Return {executable: (Node action, parameters)} of the nodes a launch file would start."""
    launch = pytest.importorskip("launch")
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (not on PyPI)")
    packages = pytest.importorskip("ament_index_python.packages")
    try:
        packages.get_package_share_directory("ace_slam_ros")
    except packages.PackageNotFoundError:
        pytest.skip("ace_slam_ros is not installed in an ament prefix")
    path = ROOT / "launch" / f"{name}.launch.py"
    module = load_script(path)
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    started: dict[str, Any] = {}

    def visit(entity: Any) -> None:
        if hasattr(entity, "node_executable"):
            entity._perform_substitutions(context)
            values: dict[str, Any] = {}
            for file, is_file in entity._Node__expanded_parameter_arguments:
                assert is_file
                values.update(_parameters(yaml.safe_load(Path(file).read_text())))
            started[entity.node_executable] = (entity, values)
            return
        for child in entity.visit(context) or []:
            visit(child)

    visit(module.generate_launch_description())
    return started


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launch sets variables of this process; take them back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_localization_needs_a_map_and_never_writes(tmp_path: Path) -> None:
    started = _evaluate("localization", map=str(tmp_path), namespace="robot1", respawn="false")
    assert set(started) == {"tracker_node", "mapper_node", "relocalizer_node"}
    for node, values in started.values():
        assert values["mode"] == "localization" and values["ros.map_dir"] == str(tmp_path)
        assert node.expanded_node_namespace == "/robot1"
    with pytest.raises(RuntimeError, match="map"):
        _evaluate("localization")


def test_slam_launch_hands_on_every_argument(tmp_path: Path) -> None:
    started = _evaluate("slam", use_sim_time="true", mode="localization", map=str(tmp_path),
                        autostart="false", save_on_exit="true")
    for _, values in started.values():
        assert values["ros.save_on_exit"] is True
        assert values["use_sim_time"] is True and values["ros.autostart"] is False
        assert values["mode"] == "localization" and values["ros.map_dir"] == str(tmp_path)
    defaults = _evaluate("slam")["tracker_node"][1]
    assert defaults["use_sim_time"] is False and defaults["ros.save_on_exit"] is False


def _stand_in(prefix: Path, package: str, file: str, parameters: str) -> None:
    """Install a package whose launch file starts the player with parameters."""
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True, exist_ok=True)
    (index / package).touch()
    launch = prefix / "share" / package / "launch"
    launch.mkdir(parents=True)
    (launch / file).write_text(
        "from launch import LaunchDescription\nfrom launch_ros.actions import Node\n"
        "from launch.substitutions import LaunchConfiguration as L\n"
        "def generate_launch_description():\n    return LaunchDescription([Node("
        f"package='ace_slam_ros', executable='player', parameters=[{parameters}])])\n")
    os.environ["AMENT_PREFIX_PATH"] = f"{prefix}:{os.environ.get('AMENT_PREFIX_PATH', '')}"


def test_realsense_starts_the_driver_with_its_parameters(tmp_path: Path) -> None:
    if importlib.util.find_spec("realsense2_camera") is None:
        _stand_in(tmp_path, "realsense2_camera", "rs_launch.py",
                  "{'align': L('align_depth.enable'), 'sync': L('enable_sync')}")
    started = _evaluate("realsense")
    node, values = started["tracker_node"]
    shipped = load_config(ROOT / "config" / "realsense.yaml", NodeConfig)
    assert values["ros.base_frame"] == shipped.ros.base_frame == "camera_link"
    assert values["sensor.noise_quadratic"] == shipped.sensor.noise_quadratic
    assert ("rgb/image", "/camera/camera/color/image_raw") in node.expanded_remapping_rules
    if "player" in started:  # the stand-in for the driver
        assert started["player"][1]["align"] is True and started["player"][1]["sync"] is True


def test_navigation_takes_what_it_hands_on_from_arguments_that_exist() -> None:
    own, slam = _declared("navigation"), _declared("slam")
    read = {c.args[0].value for c in ast.walk(_tree("navigation"))  # type: ignore[attr-defined]
            if isinstance(c, ast.Call) and getattr(c.func, "id", "") == "get"}
    assert read == own.keys() and {"params_file", "map_jump_limit"} <= slam.keys()
    assert own.keys() - slam.keys() == {
        "nav2_params_file", "nav2_overlay", "camera_frame", "managed"}
    other = {name for name in own.keys() & slam.keys() if own[name] != slam[name]}
    assert other == {"map_jump_limit"} and own["map_jump_limit"]["default_value"] == "0.3"
    assert (ROOT / "config" / "nav2.yaml").is_file()


def test_navigation_starts_nav2_in_the_robots_namespace_with_its_transforms(
    tmp_path: Path,
) -> None:
    _stand_in(tmp_path, "nav2_bringup", "navigation_launch.py", "L('params_file')")
    nav2 = tmp_path / "robot.yaml"
    nav2.write_text("bt_navigator:\n  ros__parameters:\n    bt_loop_duration: 10\n")
    started = _evaluate("navigation", namespace="robot1", nav2_params_file=str(nav2),
                        base_frame="base", mode="localization", map=str(tmp_path))
    tracker, values = started["tracker_node"]
    assert ("/tf", "tf") in tracker.expanded_remapping_rules
    assert values["ros.map_jump_limit"] == 0.3 and values["ros.autostart"] is True
    assert values["ros.map_dir"] == str(tmp_path) and values["ros.base_frame"] == "base"
    player, navigation = started["player"]
    assert player.expanded_node_namespace == "/robot1"
    assert navigation["bt_loop_duration"] == 10
    assert navigation["odom_topic"] == "/robot1/odom" and navigation["base_frame"] == "base"


def test_navigation_names_the_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = pytest.importorskip("ament_index_python.packages")
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (not on PyPI)")
    prefix = Path(packages.get_package_prefix("ace_slam_ros"))
    if (prefix / "share" / "nav2_bringup").exists():
        pytest.skip("nav2 is installed beside ace_slam_ros")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    with pytest.raises(RuntimeError, match="nav2_bringup is not installed: sudo apt install"):
        _evaluate("navigation")
