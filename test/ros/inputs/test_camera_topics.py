"""Image subscriptions: wrong QoS is named, overrides work, strange stamps are told."""

import pytest
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.core.config.files import load_config, load_ros_own
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.config import NodeConfig, RosConfig
from ace_slam_ros.ros.inputs.camera_topics import ImageInputs
from ace_slam_ros.ros.messages.conversions import make_header
from ace_slam_ros.ros.parameters import declare_parameters
from ace_slam_ros.ros.process.node_group import NodeGroup
from ace_slam_ros.ros.qos import reliable_qos, sensor_qos


def test_incompatible_qos_names_both_sides(graph, monkeypatch):
    make, executor = graph
    key = "qos_overrides./inputs/rgb/image.subscription.reliability"
    node, logged = make("tracker", **{key: "reliable"}), []
    monkeypatch.setattr(node.get_logger(), "error", logged.append)
    inputs = ImageInputs(node, RosConfig(), lambda pair: None)
    make("camera").create_publisher(Image, "rgb/image", sensor_qos())
    for _ in range(200):
        executor.spin_once(timeout_sec=0.05)
        if inputs.incompatible:
            break
    text = inputs.incompatible["color"]
    assert "/inputs/camera offers BEST_EFFORT" in text
    assert "/inputs/tracker asks for RELIABLE" in text and "qos_overrides" in text
    assert logged == [text], "without diagnostics nobody would see it"
    fits = make("other_camera").create_publisher(Image, "rgb/image", reliable_qos())
    for _ in range(200):
        fits.publish(Image())
        executor.spin_once(timeout_sec=0.05)
        if not inputs.incompatible:
            break
    assert not inputs.incompatible, "the stream delivers"


def test_qos_is_overridden_per_topic(graph):
    make, _ = graph
    key = "qos_overrides./inputs/depth/image.subscription"
    inputs = ImageInputs(
        make("tracker", **{f"{key}.reliability": "reliable", f"{key}.depth": 7}),
        RosConfig(), lambda pair: None)
    found = {name: s.qos_profile for name, s in zip(
        inputs.topics, inputs._subscriptions, strict=True)}
    assert (found["depth"].reliability, found["depth"].depth) == (ReliabilityPolicy.RELIABLE, 7)
    for name in ("color", "info"):
        assert found[name].reliability == ReliabilityPolicy.BEST_EFFORT
        assert found[name].depth == 2


def test_qos_stays_overridden_when_a_node_is_activated_again(graph, monkeypatch):
    make, _ = graph
    key = "qos_overrides./inputs/depth/image.subscription.depth"
    node, logged = make("tracker", **{key: 7}), []
    monkeypatch.setattr(node.get_logger(), "warning", logged.append)
    for _ in range(2):
        inputs = ImageInputs(node, RosConfig(), lambda pair: None)
        assert inputs._subscriptions[1].qos_profile.depth == 7
        assert node.describe_parameter(key).read_only
        inputs.close()
    assert not logged


def test_up_gives_the_nodes_the_qos_of_the_file_that_launch_takes(graph, tmp_path):
    make, _ = graph
    theirs = tmp_path / "robot.yaml"
    theirs.write_text(
        "/**:\n  ros__parameters:\n    tracker: {window: 3}\n    qos_overrides:\n"
        "      /inputs/rgb/image:\n"
        "        subscription: {reliability: reliable, history: keep_last, depth: 9}\n")
    group = NodeGroup(load_config(theirs, NodeConfig), ros_own=load_ros_own(theirs))
    for params in (theirs, group.params):
        node = make("tracker", arguments=["--ros-args", "--params-file", str(params)])
        assert declare_parameters(node).tracker.window == 3
        inputs = ImageInputs(node, RosConfig(), lambda pair: None)
        qos = inputs._subscriptions[0].qos_profile
        assert (qos.reliability, qos.depth) == (ReliabilityPolicy.RELIABLE, 9)
        assert inputs._subscriptions[1].qos_profile.depth == 2
    group.stop()


@pytest.mark.parametrize("policy, value", [("reliability", "relaible"), ("depth", "five")])
def test_a_bad_qos_override_is_refused_with_an_example(graph, policy, value):
    make, _ = graph
    node = make("tracker", **{f"qos_overrides./inputs/rgb/image.subscription.{policy}": value})
    with pytest.raises(ConfigError, match="/inputs/rgb/image.subscription: .*; write {reliab"):
        ImageInputs(node, RosConfig(), lambda pair: None)


def test_a_qos_override_without_effect_is_told(graph, monkeypatch):
    make, _ = graph
    wrong = "qos_overrides./rgb/image.subscription.depth"
    node, logged = make("tracker", **{wrong: 5}), []
    monkeypatch.setattr(node.get_logger(), "warning", logged.append)
    ImageInputs(node, RosConfig(), lambda pair: None)
    assert len(logged) == 1 and wrong in logged[0] and "/inputs/rgb/image" in logged[0]


def test_compressed_transports_change_topic_and_type(graph):
    make, _ = graph
    node = make("tracker")
    inputs = ImageInputs(
        node, RosConfig(color_transport="compressed", depth_transport="compressedDepth"),
        lambda pair: None)
    assert inputs.topics["color"] == "/inputs/rgb/image/compressed"
    assert inputs.topics["depth"] == "/inputs/depth/image/compressedDepth"
    assert [s.msg_type for s in inputs._subscriptions[:2]] == [CompressedImage] * 2


def test_images_without_stamps_are_stamped_on_arrival(graph):
    make, executor = graph
    pairs = []
    ImageInputs(make("tracker"), RosConfig(stamps="arrival", slop_s=1.0), pairs.append)
    camera = make("camera")
    publishers = {kind: camera.create_publisher(kind[1], kind[0], sensor_qos()) for kind in (
        ("rgb/image", Image), ("depth/image", Image), ("rgb/camera_info", CameraInfo))}
    for _ in range(400):
        for (_, kind), publisher in publishers.items():
            publisher.publish(kind())
        executor.spin_once(timeout_sec=0.05)
        if len(pairs) > 2:
            break
    stamps = [pair.stamp_ns for pair in pairs]
    assert len(stamps) > 2 and stamps[0] > 10**18 and stamps == sorted(set(stamps))


def test_stamps_far_from_the_clock_are_told(graph):
    make, _ = graph
    inputs = ImageInputs(make("tracker"), RosConfig(), lambda pair: None)
    now_ns = 10**18
    assert not inputs.clock_problem(now_ns), "nothing has arrived"
    inputs.synchronizer.add_color(Image(header=make_header(now_ns - 9 * 10**9, "c")))
    assert not inputs.clock_problem(now_ns)
    inputs.synchronizer.add_color(Image(header=make_header(now_ns + 11 * 10**9, "c")))
    assert "use_sim_time" in inputs.clock_problem(now_ns)
