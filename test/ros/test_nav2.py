"""nav2's parameters: its own stay, ours are put over them, names are those of the robot."""

import pytest
import yaml

from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.nav2 import Robot, nav2_parameters, overlaid

#: A piece of nav2_bringup's file.
THEIRS = """
local_costmap:
  local_costmap:
    ros__parameters:
      global_frame: odom
      robot_base_frame: base_link
      robot_radius: 0.22
      plugins: ["voxel_layer", "inflation_layer"]
      voxel_layer: {observation_sources: scan, scan: {topic: /scan}}
      inflation_layer: {inflation_radius: 0.7}
collision_monitor:
  ros__parameters: {base_frame_id: base_footprint, observation_sources: ["scan"]}
planner_server:
  ros__parameters: {expected_planner_frequency: 20.0}
"""


@pytest.fixture
def written(tmp_path, repository):
    def write(robot, ours=repository / "config" / "nav2.yaml"):
        theirs = tmp_path / "nav2_params.yaml"
        theirs.write_text(THEIRS)
        path = nav2_parameters(theirs, ours, robot)
        text = path.read_text()
        path.unlink()
        assert "&" not in text and "*" not in text, "ROS reads no aliases"
        return yaml.safe_load(text)
    return write


def costmap(tree, name):
    return tree[f"{name}_costmap"][f"{name}_costmap"]["ros__parameters"]


def leaves(tree):
    for value in tree.values():
        yield from leaves(value) if isinstance(value, dict) else [value]


def test_theirs_stay_and_ours_are_put_over_them(written):
    tree = written(Robot())
    local = costmap(tree, "local")
    assert local["robot_radius"] == 0.22 and local["inflation_layer"]["inflation_radius"] == 0.7
    assert local["voxel_layer"]["observation_sources"] == "obstacles free_space"
    assert local["voxel_layer"]["obstacles"]["topic"] == "/obstacles"
    assert costmap(tree, "global")["static_layer"]["map_topic"] == "/map"
    assert tree["planner_server"]["ros__parameters"]["expected_planner_frequency"] == 20.0
    monitor = tree["collision_monitor"]["ros__parameters"]
    assert monitor["observation_sources"] == ["obstacles"]
    assert monitor["base_frame_id"] == "base_link"


def test_names_are_those_of_the_robot(written):
    tree = written(Robot("/robot1/", "robot1/map", "robot1/odom", "robot1/base", "robot1/eye"))
    local = costmap(tree, "local")
    assert local["global_frame"] == "robot1/odom" and local["robot_base_frame"] == "robot1/base"
    assert local["voxel_layer"]["obstacles"]["topic"] == "/robot1/obstacles"
    assert local["voxel_layer"]["free_space"]["sensor_frame"] == "robot1/eye"
    assert costmap(tree, "global")["static_layer"]["map_topic"] == "/robot1/map"
    navigator = tree["bt_navigator"]["ros__parameters"]
    assert (navigator["global_frame"], navigator["odom_topic"]) == ("robot1/map", "/robot1/odom")


def test_a_robot_without_odometry_works_in_the_map(written):
    tree = written(Robot(odom_frame=""))
    assert costmap(tree, "local")["global_frame"] == "map"
    for node in ("bt_navigator", "controller_server", "velocity_smoother"):
        assert tree[node]["ros__parameters"]["odom_topic"] == "/odometry", node
    assert "odom" not in set(map(str, leaves(tree)))


def test_without_an_overlay_theirs_are_taken_as_they_are(written):
    assert written(Robot(base_frame="other"), None) == yaml.safe_load(THEIRS)


def test_the_overlay_fits_our_own_parameters(repository):
    tree = yaml.safe_load((repository / "config" / "nav2.yaml").read_text())
    obstacles = NodeConfig().obstacles
    for layer in (costmap(tree, "local")["voxel_layer"],
                  costmap(tree, "global")["obstacle_layer"]):
        for source in layer["observation_sources"].split():
            given = layer[source]
            assert given["sensor_frame"] == "camera_color_optical_frame", "not the base's origin"
            assert given["raytrace_max_range"] < obstacles.range_m, "rays end on farther walls"
            assert given["topic"] == f"/{source}"
        assert layer["obstacles"]["marking"] and not layer["free_space"]["marking"]
        assert layer["obstacles"]["clearing"] and layer["free_space"]["clearing"]
        assert layer["obstacles"]["obstacle_max_range"] < layer["obstacles"]["raytrace_max_range"]


@pytest.mark.parametrize("text, said", [
    (None, "No such file"), ("a: [", "is no yaml"), ("a: 1", "ros__parameters is missing")])
def test_what_is_no_parameter_file_is_refused(tmp_path, text, said):
    path = tmp_path / "nav2.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        nav2_parameters(path, None, Robot())


def test_overlaying_leaves_what_it_was_given():
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert overlaid(below, {"a": {"c": [3]}, "e": {}}) == {
        "a": {"b": 1, "c": [3]}, "d": 1, "e": {}}
    assert below == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
