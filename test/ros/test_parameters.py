"""ROS parameters are the configuration dataclasses, in both directions."""

import pytest
import rclpy
from rclpy.parameter import Parameter

from ace_slam_ros.core.config.cameras import FAMILIES
from ace_slam_ros.core.config.fields import describe, flatten
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.inputs.extrinsic import parse_extrinsic
from ace_slam_ros.ros.parameters import (
    TELLS_OVERRIDES,
    config_for_camera,
    config_from_overrides,
    declare_parameters,
)


@pytest.fixture(scope="module")
def context():
    found = rclpy.Context()
    rclpy.init(context=found)
    yield found
    found.try_shutdown()


def make_node(context, **overrides):
    return rclpy.create_node(
        "parameters", context=context, **TELLS_OVERRIDES, parameter_overrides=[
            Parameter(k.replace("__", "."), value=v) for k, v in overrides.items()])


def test_defaults_are_the_dataclasses(context):
    node = make_node(context)
    assert declare_parameters(node) == NodeConfig()
    for name, value in flatten(NodeConfig()).items():
        assert node.get_parameter(name).value == value
    node.destroy_node()


def test_overrides_reach_configuration_and_parameters(context):
    node = make_node(context, tracker__refine=False, ros__slop_s=0, features__mode="sparse")
    config = declare_parameters(node)
    assert (config.tracker.refine, config.ros.slop_s, config.features.mode) == (
        False, 0.0, "sparse")
    assert node.get_parameter("ros.slop_s").value == 0.0
    node.destroy_node()


def test_what_a_node_was_started_with_becomes_read_only(context):
    node = make_node(context, ros__slop_s=0.1)
    assert declare_parameters(node).ros.slop_s == 0.1
    assert node.describe_parameter("ros.slop_s").read_only
    assert not node.set_parameters([Parameter("ros.slop_s", value=0.5)])[0].successful
    node.destroy_node()


def test_descriptors_explain_every_parameter(context):
    node = make_node(context)
    declare_parameters(node)
    for name, note in describe(NodeConfig()).items():
        found = node.describe_parameter(name)
        assert note["doc"] in found.description and found.read_only
        if note["choices"]:
            assert all(c in found.additional_constraints for c in note["choices"])
        ranges = [*found.floating_point_range, *found.integer_range]
        if note["low"] is not None:
            assert ranges[0].from_value == note["low"]
        if note["high"] is not None:
            assert ranges[0].to_value == note["high"]
    result = node.set_parameters([Parameter("ros.slop_s", value=0.5)])[0]
    assert not result.successful and "read-only" in result.reason
    node.destroy_node()


@pytest.mark.parametrize(("name", "value", "words"), [
    ("ros.slop_s", 2.0, "ros.slop_s=2.0 is outside"),
    ("ros.slop_s", "wide", "ros.slop_s='wide'"),
    ("features.mode", "cubist", "choose one of dense, sparse"),
    ("keyframe.max_count", 1.5, "keyframe.max_count"),
    ("tracker.refien", True, "did you mean 'tracker.refine'"),
    ("devcie", "cpu", "did you mean 'device'"),
])
def test_errors_name_the_parameter(name, value, words):
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        config_from_overrides({name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["ros.slop_s", "tracker.lost_after_s"])
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value} is no finite number"):
        config_from_overrides({name: value})


def test_all_refused_parameters_are_named_at_once():
    with pytest.raises(ConfigError) as found:
        config_from_overrides({
            "ros.slop_s": 9.0, "tracker.refien": True, "features.mode": "cubist",
            "tracker.refine": False})
    for words in ("ros.slop_s=9.0 is outside", "did you mean 'tracker.refine'", "features.mode"):
        assert words in str(found.value)


def test_parameters_of_other_nodes_are_only_reported():
    config, foreign = config_from_overrides({
        "use_sim_time": True, "qos_overrides./rgb/image.subscription.depth": 5,
        "rgb_camera.color_profile": "640x480x30"})
    assert config == NodeConfig() and foreign == ["rgb_camera.color_profile"]


def test_extrinsic_text():
    assert parse_extrinsic("  ") is None
    assert parse_extrinsic("1, 2, 3, 0, 0, 0, 2") == ([1, 2, 3], [0, 0, 0, 1])
    for bad in ("1 2 3", "1 2 3 0 0 0 0", "a b c d e f g", "1 2 3 0 0 0 nan", "inf 0 0 0 0 0 1"):
        with pytest.raises(ConfigError, match="camera_extrinsic"):
            parse_extrinsic(bad)


def test_the_topics_of_the_nodes_tell_the_camera_unless_the_parameter_does(graph):
    make, _ = graph
    remapped = ["--ros-args", "-r", "rgb/image:=/oak/rgb/image_raw", "-r",
                "depth/image:=/oak/stereo/image_raw"]
    for arguments, preset, expected in (
            (remapped, "auto", "oak_d"), (remapped, "d435", "d435"), (None, "auto", "none")):
        node = make("tracker", arguments)
        config = NodeConfig().with_values({"sensor.preset": preset})
        config, choice = config_for_camera(node, config)
        assert choice.preset == expected
        if expected != "none":
            assert config.sensor.noise_quadratic == FAMILIES[expected].noise_quadratic
        node.destroy_node()
