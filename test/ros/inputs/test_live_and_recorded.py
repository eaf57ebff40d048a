"""One table of cameras and depth images, as a bag, as live topics and as a bag that is played.

All three must give the same frame or refuse for the same reason: a recording says how a robot
will fare.
"""

import struct
import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import rclpy
from helpers.rvl import encode_rvl
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.bags.file import TYPES
from ace_slam_ros.io.images import encode_png
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.io.source import ReadOptions
from ace_slam_ros.io.tum import write_tum_folder
from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.inputs.camera_topics import ImageInputs
from ace_slam_ros.ros.inputs.on_demand import OnDemandImages
from ace_slam_ros.ros.messages.conversions import (
    byte_array,
    camera_to_msg,
    frame_from_msgs,
    image_to_msg,
)
from ace_slam_ros.ros.playback.player import Player
from ace_slam_ros.ros.playback.playlist import open_playlist
from ace_slam_ros.ros.qos import sensor_qos

STAMP_NS = 7 * 10**9
rng = np.random.default_rng(5)
IMAGE = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
DEPTH_MM = rng.integers(500, 4000, (48, 64)).astype(np.uint16)
DEPTH_M = (DEPTH_MM / 1000).astype(np.float32)
PINHOLE = Camera(64, 48, 60.0, 61.0, 31.5, 23.5)
LENS = replace(PINHOLE, distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
#: What image_proc makes of the lens: K of the raw image, P of the rectified one.
P = [50.0, 0.0, 30.0, 0.0, 0.0, 52.0, 22.0, 0.0, 0.0, 0.0, 1.0, 0.0]
RECTIFIED = Camera(64, 48, 50.0, 52.0, 30.0, 22.0)


def holes(depth_m):
    found = depth_m.copy()
    found[:3], found[3:6], found[6:9] = np.nan, np.inf, -1.0
    return found


def far(depth, value):
    """Depth in the lowest tenth of the picture alone."""
    found = np.full_like(depth, value)
    found[-5:] = depth[-5:]
    return found


@dataclass(frozen=True)
class Case:
    """What a driver sends, and the camera of the frame or the words of the refusal."""

    name: str
    expected: Camera | str
    topic: str = "/camera/color/image_raw"
    camera: Camera = PINHOLE
    p: list = field(default_factory=list)
    depth: np.ndarray = field(default_factory=lambda: DEPTH_MM)
    straight: bool = True  # the image arrives as it was sent
    roi: tuple = (0, 0, 0, 0)
    stored: tuple[str, np.ndarray] | None = None  # encoding and rows of the image
    info: dict = field(default_factory=dict)  # fields as a driver writes them
    unit_m: float = 0.0  # sensor.depth_unit_m
    rvl: bool = False

    @property
    def depth_topic(self):
        return "/camera/depth/image" + ("/compressedDepth" if self.rvl else "")

    def depth_message(self):
        message = image_to_msg(self.depth, STAMP_NS, "cam")
        if not self.rvl:
            return "Image", message
        data = struct.pack("<iff", 0, 0.0, 0.0) + encode_rvl(self.depth)
        return "CompressedImage", CompressedImage(
            header=message.header, format="16UC1; compressedDepth rvl", data=byte_array(data))

    def color_message(self):
        if self.stored:
            encoding, rows = self.stored
            message = image_to_msg(IMAGE, STAMP_NS, "cam")
            message.encoding, message.step = encoding, rows.strides[0]
            message.data = byte_array(rows)
            return message
        if not self.topic.endswith("/compressed"):
            return image_to_msg(IMAGE, STAMP_NS, "cam")
        message = CompressedImage(format="rgb8; png compressed bgr8",
                                  data=byte_array(encode_png(IMAGE)))
        message.header = image_to_msg(IMAGE, STAMP_NS, "cam").header
        return message

    def info_message(self):
        message = camera_to_msg(self.camera, STAMP_NS, "cam")
        if self.p:
            message.p = self.p
        roi = message.roi
        roi.x_offset, roi.y_offset, roi.width, roi.height = self.roi
        if self.roi[2]:
            message.width, message.height = 2 * self.roi[2], 2 * self.roi[3]
        for name, value in self.info.items():
            setattr(message, name, value)
        return message

    def messages(self):
        """Return topic -> (type name, message)."""
        kind = "CompressedImage" if self.topic.endswith("/compressed") else "Image"
        return {
            self.topic: (kind, self.color_message()),
            self.depth_topic: self.depth_message(),
            "/camera/color/camera_info": ("CameraInfo", self.info_message())}


#: Coefficients of a real lens; more than five are the rational model under any name.
D5, D8 = [-0.3, 0.1, 0.001, 0.002, 0.01], [0.5, -2.6, 0.001, -0.0003, 1.5, 0.4, -2.4, 1.4]
K_OTHER = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
RECT = "/camera/color/image_rect"
WORDS = rng.integers(0, 4096, (48, 64, 3)).astype(np.uint16)
ENCODINGS = {
    "nv12": np.concatenate([IMAGE[..., 0], IMAGE[:24, :, 1]]), "yuv422": IMAGE[..., :2].copy(),
    "yuyv": IMAGE[..., 1:].copy(), "bayer_gbrg8": IMAGE[..., 0].copy(), "bgra8": np.dstack(
        [IMAGE, IMAGE[..., :1]]), "rgb16": WORDS, "mono16": WORDS[..., 0].copy(),
    "bayer_rggb16": WORDS[..., 1].copy(),
}


def drivers(model, d, **others):
    return {"distortion_model": model, "d": d, **others}


CASES = [
    *(Case(f"an image of encoding {name}", PINHOLE, stored=(name, rows), straight=False)
      for name, rows in ENCODINGS.items()),
    Case("an image of encoding 8SC3", "'8SC3' is not supported", stored=("8SC3", IMAGE),
         straight=False),
    Case("plumb_bob with 8 coefficients", PINHOLE, straight=False, info=drivers("plumb_bob", D8)),
    Case("rational_polynomial with 5", PINHOLE, straight=False,
         info=drivers("rational_polynomial", D5)),
    Case("an unknown model of zeros", PINHOLE, info=drivers("inverse_brown_conrady", [0.0] * 5)),
    Case("an unknown model", "unknown distortion model 'magic'.*send rectified images",
         info=drivers("magic", D5)),
    Case("a camera of no size", PINHOLE, info={"width": 0, "height": 0}),
    Case("a camera of no size, compressed", PINHOLE, topic="/camera/color/image_raw/compressed",
         info={"width": 0, "height": 0}),
    Case("a camera of no size and another resolution", "K seems to be of another resolution",
         info={"width": 0, "height": 0, "k": K_OTHER}),
    Case("a pinhole", PINHOLE),
    Case("a lens is straightened", PINHOLE, camera=LENS, straight=False),
    Case("P of a raw topic is not its camera", PINHOLE, camera=LENS, p=P, straight=False),
    Case("a rectified topic beside the lens' info", RECTIFIED, topic=RECT, camera=LENS, p=P),
    Case("a rectified topic, compressed", RECTIFIED, topic=f"{RECT}_color/compressed",
         camera=LENS, p=P),
    Case("a rectified topic, cropped", replace(RECTIFIED, cx=20.0, cy=16.0), topic=RECT,
         camera=LENS, p=P, roi=(10, 6, 64, 48)),
    Case("a rectified topic without P", "P for a topic image_rect", topic=RECT, camera=LENS,
         p=[0.0] * 12),
    Case("a camera without K", "K is all zero", p=P,
         camera=PINHOLE, straight=False),
    Case("depth compressed by RVL", PINHOLE, depth=np.where(DEPTH_MM < 900, 0, DEPTH_MM).astype(
        np.uint16), rvl=True),
    Case("depth in float meters with holes", PINHOLE, depth=holes(DEPTH_M)),
    Case("float depth in millimeters", "look like millimeters; 16UC1 holds",
         depth=DEPTH_M * np.float32(1000.0)),
    Case("integer depth in meters", "look like meters; 16UC1 holds", depth=DEPTH_MM // 1000 + 1),
    Case("a far plane on most of the picture", PINHOLE, depth=far(DEPTH_M, 100.0)),
    Case("65535 on most of the picture", PINHOLE, depth=far(DEPTH_MM, 65535)),
    Case("nothing but a far plane", "nothing but the far plane",
         depth=np.full_like(DEPTH_M, 100.0)),
    Case("depth in tenths of a millimeter", PINHOLE, depth=DEPTH_MM * 10, unit_m=0.0001),
    Case("no depth at all", "holds no measurement", depth=np.zeros_like(DEPTH_MM)),
    Case("depth that is NaN everywhere", "holds no measurement",
         depth=np.full_like(DEPTH_M, np.nan)),
    Case("depth of another size", "register depth to color", depth=DEPTH_MM[:24]),
]
PLAIN = next(case for case in CASES if case.name == "a pinhole")
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))


def without_k(case, message):
    """K is zero in one case; `Camera` itself would refuse it."""
    if case.name == "a camera without K" and isinstance(message, CameraInfo):
        message.k = np.zeros(9)
    return message


def write(case, path):
    """Write the messages' own bytes as a bag."""
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, (kind, message) in case.messages().items():
            connection = writer.add_connection(
                topic, f"sensor_msgs/msg/{kind}", typestore=TYPES)
            writer.write(connection, STAMP_NS, serialize_message(without_k(case, message)))
    return path


class Listener:
    """A node that listens as the nodes do, its names remapped to the camera's."""

    def __init__(self, namespace, config, remapped=()):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        arguments = [word for a, b in remapped for word in ("-r", f"{a}:={b}")]
        self.node = rclpy.create_node(
            "tracker", namespace=namespace, context=self.context,
            cli_args=["--ros-args", *arguments] if arguments else None)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.pairs = []
        self.inputs = ImageInputs(self.node, config, self.pairs.append)

    def frame(self, publish, **options):
        """Publish until a pair arrives, and decode it as the tracker does."""
        deadline = time.monotonic() + 30.0
        while not self.pairs:
            assert time.monotonic() < deadline, self.inputs.topics
            publish()
            self.executor.spin_once(timeout_sec=0.05)
        pair = self.pairs[0]
        return frame_from_msgs(pair.color, pair.depth, pair.info, **options)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


def config_of(case):
    return RosConfig(
        color_transport="compressed" if case.topic.endswith("/compressed") else "raw",
        depth_transport="compressedDepth" if case.rvl else "raw")


def recorded(case, tmp_path):
    return open_source(write(case, tmp_path / "bag"),
                       options=ReadOptions(depth_unit_m=case.unit_m))[0]


def remapped(case):
    return [("rgb/image", case.topic.removesuffix("/compressed")),
            ("depth/image", "/camera/depth/image"),
            ("rgb/camera_info", "/camera/color/camera_info")]


def publishers(case, node):
    """Return (publisher, message) of each topic of a camera."""
    kinds = {"Image": Image, "CompressedImage": CompressedImage, "CameraInfo": CameraInfo}
    return [(node.create_publisher(kinds[kind], topic, sensor_qos(5)), without_k(case, message))
            for topic, (kind, message) in case.messages().items()]


def live(case, tmp_path):
    listener = Listener("/live", config_of(case), remapped(case))
    sent = publishers(case, listener.node)
    try:
        return listener.frame(
            lambda: [p.publish(m) for p, m in sent], depth_unit_m=case.unit_m)
    finally:
        listener.close()


def played(case, tmp_path):
    playlist = open_playlist(write(case, tmp_path / "bag"))
    listener = Listener("/played", RosConfig(
        color_transport=playlist.color_transport, depth_transport=playlist.depth_transport))
    player = Player(
        listener.node, playlist, rate=1.0, clock=False, stop=threading.Event())
    try:
        return listener.frame(lambda: player.play(playlist), depth_unit_m=case.unit_m)
    finally:
        listener.close()


@pytest.mark.parametrize("path", [recorded, live, played], ids=lambda path: path.__name__)
@cases
def test_the_same_frame_or_the_same_refusal(case, path, tmp_path):
    if isinstance(case.expected, str):
        with pytest.raises(DataError, match=case.expected):
            path(case, tmp_path)
        return
    frame = path(case, tmp_path)
    assert frame.stamp_ns == STAMP_NS and frame.camera == case.expected
    assert np.array_equal(frame.image, IMAGE) == case.straight
    if case.straight:
        unit_m = (case.unit_m or 0.001) if case.depth.dtype == np.uint16 else 1.0
        good = (case.depth > 0) & (unit_m * case.depth < 60.0)
        assert np.array_equal(frame.depth_m > 0, good)
        assert np.allclose(frame.depth_m[good], unit_m * case.depth[good], atol=1e-6)
    else:
        reference = recorded(case, tmp_path / "reference")
        assert np.array_equal(frame.image, reference.image)
        assert np.array_equal(frame.depth_m, reference.depth_m)


@pytest.mark.parametrize(
    "case", [case for case in CASES if RECT in case.topic and isinstance(case.expected, Camera)],
    ids=lambda case: case.name)
def test_the_newest_frame_of_the_relocalizer_follows_the_same_rules(case):
    """It subscribes only while somebody asks, to the topics of the tracker."""
    config = config_of(case)
    listener = Listener("/asked", config, remapped(case))
    listener.inputs.close()
    images = OnDemandImages(listener.node, config)
    images.next_pair().add_done_callback(lambda done: listener.pairs.append(done.result()))
    sent = publishers(case, listener.node)
    try:
        frame = listener.frame(lambda: [p.publish(m) for p, m in sent])
        assert frame.camera == case.expected and np.array_equal(frame.image, IMAGE)
    finally:
        images.close()
        listener.close()


@pytest.mark.parametrize(
    "case", [case for case in CASES if RECT not in case.topic], ids=lambda case: case.name)
def test_a_query_of_the_relocalizer_follows_the_same_rules(case):
    """It brings the camera_info of the image it sends, without a topic; depth may be missing."""
    color, depth, info = (without_k(case, m) for _, m in case.messages().values())
    if case.expected == "holds no measurement":
        assert frame_from_msgs(
            color, depth, info, require_depth=False, depth_unit_m=case.unit_m).depth_m is None
    elif isinstance(case.expected, str):
        with pytest.raises(DataError, match=case.expected):
            frame_from_msgs(
            color, depth, info, require_depth=False, depth_unit_m=case.unit_m)
    else:
        frame = frame_from_msgs(
            color, depth, info, require_depth=False, depth_unit_m=case.unit_m)
        assert frame.camera == case.expected


def test_color_alone_does_not_mind_the_unit_of_depth(tmp_path):
    """Who wants color alone is told of the depth, and gets the color."""
    case = next(c for c in CASES if c.name == "float depth in millimeters")
    source = open_source(write(case, tmp_path / "bag"), require_depth=False)
    assert source[0].depth_m is None and "look like millimeters" in source.skips.summary()


def test_the_advice_for_a_tum_folder_names_its_file(tmp_path):
    frame = open_source(write(PLAIN, tmp_path / "bag"))[0]
    write_tum_folder(tmp_path / "tum", [frame], None, PINHOLE, depth_scale=5000.0)
    file = tmp_path / "tum" / "camera.yaml"
    file.write_text(file.read_text().replace("5000.0", "5.0"))
    with pytest.raises(DataError, match="millimeters; depth_scale 5 .* what camera.yaml says"):
        open_source(tmp_path / "tum")[0]
