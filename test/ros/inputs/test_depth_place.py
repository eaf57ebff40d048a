"""Depth of another camera: one table of cases, as a bag and as live topics with TF."""

from dataclasses import dataclass

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from tf2_msgs.msg import TFMessage

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.io.bags.file import TYPES
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.ros.inputs.depth_place import DepthPlace, DepthPlaceOnDemand
from ace_slam_ros.ros.inputs.synchronizer import ImagePair
from ace_slam_ros.ros.messages.conversions import camera_to_msg, frame_from_msgs, image_to_msg
from ace_slam_ros.ros.playback.playlist import open_playlist
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.tree import TransformTree

STAMP_NS = 7 * 10**9
COLOR = Camera(64, 48, 60.0, 61.0, 31.5, 23.5)
IR = Camera(64, 48, 90.0, 90.0, 30.0, 24.0)
T_COLOR_IR = exp_se3(np.array([0.05, 0, 0, 0, 0, 0]))
IMAGE = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)
DEPTH = np.full((48, 64), 1500, np.uint16)


@dataclass(frozen=True)
class Case:
    """What is sent beside the images, and what is said."""

    frame: str
    camera: Camera | None
    T_color_depth: np.ndarray | None
    registers: bool
    said: str

    def messages(self):
        sent = {
            "/camera/color/image_raw": ("sensor_msgs/msg/Image", image_to_msg(
                IMAGE, STAMP_NS, "color")),
            "/camera/depth/image_raw": ("sensor_msgs/msg/Image", image_to_msg(
                DEPTH, STAMP_NS, self.frame)),
            "/camera/color/camera_info": ("sensor_msgs/msg/CameraInfo", camera_to_msg(
                COLOR, STAMP_NS, "color"))}
        if self.camera is not None:
            sent["/camera/depth/camera_info"] = ("sensor_msgs/msg/CameraInfo", camera_to_msg(
                self.camera, STAMP_NS, self.frame))
        if self.T_color_depth is not None:
            sent["/tf_static"] = ("tf2_msgs/msg/TFMessage", TFMessage(
                transforms=[t.to_msg() for t in self.transforms()]))
        return sent

    def transforms(self):
        """A robot's way: both cameras hang below a common link, one with a slash."""
        T_link_color = exp_se3(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
        return [StampedTransform("/link", "color", 0, T_link_color),
                StampedTransform("link", self.frame, 0, T_link_color @ self.T_color_depth)]


CASES = [
    Case("color", COLOR, None, False, ""), Case("ir", COLOR, np.eye(4), False, ""),
    Case("ir", IR, T_COLOR_IR, True, "5.0 cm apart"),
    Case("color", IR, None, True, "other intrinsics"),
    Case("ir", IR, None, False, "TF does not know"),
    Case("ir", None, T_COLOR_IR, False, "camera_info of the depth image is unknown"),
]


def recorded(case, tmp_path):
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, (kind, message) in case.messages().items():
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connection, STAMP_NS, serialize_message(message))
    source = open_source(tmp_path / "bag")
    return source[0], source.assumptions.get("registration of depth", "")


def test_the_player_sends_the_calibration_of_depth_too(tmp_path):
    recorded(CASES[2], tmp_path)
    assert open_playlist(tmp_path / "bag").types["depth/camera_info"].endswith("CameraInfo")


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    made = rclpy.create_node("tracker", namespace="/place", context=context)
    yield made
    made.destroy_node()
    context.try_shutdown()


def live(case, node):
    messages = [message for _, message in case.messages().values()]
    tree = TransformTree()
    if case.T_color_depth is not None:
        for transform in case.transforms():
            tree.add(transform, True)
    place = DepthPlace(node, tree)
    place.WAIT_S = 0.0
    if case.camera is not None:
        publisher = node.create_publisher(type(messages[3]), "depth/camera_info", 5)
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        while place._info is None:
            publisher.publish(messages[3])
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown()
    pair = ImagePair(STAMP_NS, messages[0], messages[1], messages[2], 0)
    frame = frame_from_msgs(pair.color, pair.depth, pair.info, registration=place.of(pair))
    place.close()
    return frame, place.said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.said or f"as-it-is-{case.frame}")
def test_recorded_and_live_depth_of_another_camera(case, tmp_path, node):
    frames = [recorded(case, tmp_path), live(case, node)]
    for frame, said in frames:
        assert case.said in said and bool(case.said) == bool(said)
        assert (frame.depth_m == 1.5).mean() == 1.0 or case.registers
    assert np.array_equal(frames[0][0].depth_m, frames[1][0].depth_m)
    if case.registers:
        depth_m = frames[0][0].depth_m
        assert depth_m[24, 32] == 1.5 and not depth_m[:, -4:].any(), "the depth camera sees less"


def test_pairs_wait_for_what_may_become_known(node):
    case = CASES[2]
    messages = [message for _, message in case.messages().values()]
    place = DepthPlace(node, TransformTree())
    with pytest.raises(DataError, match="waiting for TF color -> ir and depth/camera_info"):
        place.of(ImagePair(STAMP_NS, *messages[:3], 0))


def test_a_node_that_is_asked_now_and_then_listens_only_when_it_must(node):
    pairs = [ImagePair(STAMP_NS, *[m for _, m in case.messages().values()][:3], 0)
             for case in (CASES[0], CASES[2])]
    place = DepthPlaceOnDemand(node)
    place.look_at(pairs[0])
    assert place.of(pairs[0]) is None and place.said == ""
    assert node.count_subscribers("/place/depth/camera_info") == 0
    place.look_at(pairs[1])
    with pytest.raises(DataError, match="waiting for TF color -> ir"):
        place.of(pairs[1])
    place.close()
