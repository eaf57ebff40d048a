"""Image subscriptions: wrong QoS is named, overrides work, strange stamps are told."""

import pytest
from helpers.wall import CAMERA
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.core.config.files import load_config, load_ros_own
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.config import NodeConfig, RosConfig
from ace_slam_ros.ros.inputs import camera_topics, silence
from ace_slam_ros.ros.inputs.camera_topics import ImageInputs
from ace_slam_ros.ros.inputs.silence import SilenceWatch
from ace_slam_ros.ros.messages.conversions import camera_to_msg, make_header
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
    found = {name: s.qos_profile for name, s in inputs._subscriptions.items()}
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
        assert inputs._subscriptions["depth"].qos_profile.depth == 7
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
        qos = inputs._subscriptions["color"].qos_profile
        assert (qos.reliability, qos.depth) == (ReliabilityPolicy.RELIABLE, 9)
        assert inputs._subscriptions["depth"].qos_profile.depth == 2
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
    assert [inputs._subscriptions[n].msg_type for n in ("color", "depth")] == [CompressedImage] * 2


def test_published_but_unheard_topics_are_subscribed_to_anew(graph, monkeypatch):
    """An announcement that got lost is repeated after three seconds only."""
    make, _ = graph
    node, now_s, logged = make("tracker"), [0.0], []
    monkeypatch.setattr(node.get_logger(), "info", logged.append)
    monkeypatch.setattr(camera_topics.time, "monotonic", lambda: now_s[0])
    inputs = ImageInputs(node, RosConfig(), lambda pair: None)
    published = {inputs.topics["depth"], inputs.topics["info"]}
    monkeypatch.setattr(node, "count_publishers", published.__contains__)
    inputs.synchronizer.add_info(camera_to_msg(CAMERA, 1, "c"))
    before = dict(inputs._subscriptions)
    for second in range(6):
        now_s[0] = float(second)
        inputs.renew_unheard()
        assert len(logged) == min(second, 2), "twice at most"
    after = inputs._subscriptions
    assert [n for n in before if before[n] is not after[n]] == ["depth"]
    assert "/inputs/depth/image is published" in logged[0]
    inputs.close()


def test_silence_is_told_at_once_and_then_rarely(graph, monkeypatch):
    make, _ = graph
    node, now_s, logged = make("tracker"), [0.0], []
    monkeypatch.setattr(node.get_logger(), "warning", logged.append)
    monkeypatch.setattr(node.get_logger(), "info", logged.append)
    monkeypatch.setattr(silence.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(silence.time, "monotonic_ns", lambda: int(now_s[0] * 1e9))
    reasons, inputs = [], ImageInputs(node, RosConfig(), lambda pair: None)
    watch = SilenceWatch(node, inputs, reasons.append)
    for second in range(150):
        now_s[0] = float(second)
        watch.look()
    assert len(reasons) == 148, "each second once two have passed"
    assert all("no data on /inputs/rgb/image" in r for r in reasons)
    assert len(logged) == 3, "at once, and once a minute"
    inputs.synchronizer.last_pair_ns = int(150e9)
    now_s[0] = 150.5
    watch.look()
    assert not watch.reason and len(reasons) == 148 and "again, after 148 s" in logged[3]
    watch.close()


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
    for pair in pairs:
        assert pair.depth.header.stamp == pair.color.header.stamp, "which was first is not known"


def test_stamps_far_from_the_clock_are_told(graph):
    make, _ = graph
    inputs = ImageInputs(make("tracker"), RosConfig(), lambda pair: None)
    now_ns = 10**18
    assert not inputs.clock_problem(now_ns), "nothing has arrived"
    inputs.synchronizer.add_color(Image(header=make_header(now_ns - 9 * 10**9, "c")))
    assert not inputs.clock_problem(now_ns)
    inputs.synchronizer.add_color(Image(header=make_header(now_ns + 11 * 10**9, "c")))
    assert "use_sim_time" in inputs.clock_problem(now_ns)
