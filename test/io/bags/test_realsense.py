"""Recordings of realsense-viewer, as librealsense writes them, read as those of the ROS driver."""

import struct

import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore

from ace_slam_ros.core.config.cameras import for_camera
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.geometry.se3 import exp_se3, quaternion_from_pose
from ace_slam_ros.io import open_source
from ace_slam_ros.io.bags.file import TF, decode
from ace_slam_ros.io.bags.opening import open_bag
from ace_slam_ros.io.bags.realsense import TF_STATIC
from ace_slam_ros.ros.playback.playlist import open_playlist

ROS1 = get_typestore(Stores.ROS1_NOETIC)
TYPES = ROS1.types
SIZE = (48, 64)
RNG = np.random.default_rng(2)
COLOR = RNG.integers(0, 255, (4, *SIZE, 3)).astype(np.uint8)
DEPTH = RNG.integers(500, 4000, (4, *SIZE)).astype(np.uint16)
#: Points of the depth camera, which is the reference, to the color camera.
T_COLOR_DEPTH = exp_se3(np.array([0.015, 0.0002, 0.0003, 0.002, -0.004, 0.001]))
STAMPS = [1_700_000_000 * 10**9 + i * 33_000_000 for i in range(4)]


def header(stamp_ns):
    seconds, rest = divmod(stamp_ns, 10**9)
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
    return TYPES["std_msgs/msg/Header"](seq=1, stamp=stamp, frame_id="1")


def image(stamp_ns, pixels, encoding, unit_m):
    """An image with the unit behind it, which the definition does not know."""
    message = TYPES["sensor_msgs/msg/Image"](
        header=header(stamp_ns), height=SIZE[0], width=SIZE[1], encoding=encoding, is_bigendian=0,
        step=pixels.strides[0], data=pixels.reshape(-1).view(np.uint8))
    return bytes(ROS1.serialize_ros1(message, "sensor_msgs/msg/Image")) + struct.pack("<f", unit_m)


def info(f, model):
    k = np.array([f, 0, 31.5, 0, f, 23.5, 0, 0, 1], float)
    message = TYPES["sensor_msgs/msg/CameraInfo"](
        header=header(0), height=SIZE[0], width=SIZE[1], distortion_model=model, D=np.zeros(5),
        K=k, R=np.zeros(9), P=np.zeros(12), binning_x=0, binning_y=0,
        roi=TYPES["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False))
    return ROS1.serialize_ros1(message, "sensor_msgs/msg/CameraInfo")


def transform(T_44):
    x, y, z = T_44[:3, 3]
    qx, qy, qz, qw = quaternion_from_pose(T_44)
    return struct.pack("<7d", x, y, z, qx, qy, qz, qw)


def record(path, unit_m=0.001, f=40.0, T_color_depth=T_COLOR_DEPTH):
    streams = {"sensor_0/Depth_0": (DEPTH, "mono16", info(f, "Brown Conrady"), np.eye(4)),
               "sensor_1/Color_0": (COLOR, "rgb8", info(60.0, "Inverse Brown Conrady"),
                                    T_color_depth)}
    with Writer(path) as writer:
        def add(topic, kind):
            return writer.add_connection(f"/device_0/{topic}", kind, typestore=ROS1)

        named = add("info", "diagnostic_msgs/msg/KeyValue")
        for key, value in (("Name", "Intel RealSense L515"), ("Serial Number", "7")):
            writer.write(named, 1, b"".join(
                struct.pack("<I", len(text)) + text.encode() for text in (key, value)))
        unit = add("sensor_0/option/Depth_Units/value", "std_msgs/msg/Float32")
        writer.write(unit, 1, struct.pack("<f", unit_m))
        images = {}
        for name, (_, _, calibration, T_stream_reference) in streams.items():
            writer.write(add(f"{name}/info/camera_info", "sensor_msgs/msg/CameraInfo"), 1,
                         calibration)
            writer.write(add(f"{name}/tf/0", "geometry_msgs/msg/Transform"), 1,
                         transform(T_stream_reference))
            images[name] = add(f"{name}/image/data", "sensor_msgs/msg/Image")
        for i, stamp_ns in enumerate(STAMPS):
            for name, (pixels, encoding, _, _) in streams.items():
                writer.write(images[name], stamp_ns, image(stamp_ns, pixels[i], encoding, unit_m))
    return path


@pytest.mark.parametrize("unit_m", [0.001, 0.0001])
def test_a_recording_is_read_as_one_of_the_driver(tmp_path, unit_m):
    source = open_source(record(tmp_path / "viewer.bag", unit_m, f=60.0, T_color_depth=np.eye(4)))
    assert source.choice["color"] == "/device_0/color/image_raw"
    assert source.choice["depth"] == "/device_0/depth/image_raw"
    assert for_camera(SlamConfig(), source.device_names)[1].preset == "l515"
    assert source.raw_camera == Camera(64, 48, 60.0, 60.0, 31.5, 23.5, (0.0,) * 5)
    raw = list(source.raw_frames())
    assert [frame.stamp_ns for frame in raw] == STAMPS
    for i, frame in enumerate(raw):
        np.testing.assert_array_equal(frame.image(), COLOR[i])
        np.testing.assert_allclose(frame.depth_m(), DEPTH[i] * unit_m, rtol=1e-6)
        assert frame.depth_encoding == ("16UC1" if unit_m == 0.001 else "32FC1")


def test_the_factory_calibration_is_its_tf(tmp_path):
    with open_bag(record(tmp_path / "viewer.bag")) as bag:
        (topic, _, raw), = bag.messages([TF_STATIC])
        assert (topic, bag.types[topic]) == (TF_STATIC, TF)
        found = {t.child_frame_id: t for t in decode(raw, TF).transforms}
        _, _, color = next(bag.messages(["/device_0/color/image_raw"]))
        assert decode(color, "sensor_msgs/msg/Image").header.frame_id == (
            "device_0_color_optical_frame")
        assert [t for t, _, _ in bag.messages(["/device_0/color/camera_info", TF_STATIC])] == [
            TF_STATIC, "/device_0/color/camera_info"]
    assert set(found) == {"device_0_color_optical_frame", "device_0_depth_optical_frame"}
    told = found["device_0_color_optical_frame"]
    assert told.header.frame_id == "device_0_reference_0"
    t = told.transform.translation
    expected = np.linalg.inv(T_COLOR_DEPTH)  # the depth camera is the reference
    np.testing.assert_allclose([t.x, t.y, t.z], expected[:3, 3], atol=1e-9)


def test_depth_is_registered_with_the_factory_calibration_and_that_is_told(tmp_path, caplog):
    source = open_source(record(tmp_path / "viewer.bag"))
    assert "it is registered with both calibrations" in caplog.text
    assert "depth is in frame 'device_0_depth_optical_frame'" in (
        source.summary()["assumptions"]["registration of depth"])
    np.testing.assert_allclose(source.registration.T_color_depth, T_COLOR_DEPTH, atol=1e-9)
    played = [item.topic for item in open_playlist(tmp_path / "viewer.bag")]
    assert played.count("depth/camera_info") == played.count("/tf_static") == 1, "as nodes need it"
