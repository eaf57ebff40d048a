"""Messages to core types and back, with the damage that real messages have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.errors import CalibrationError, DataError
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.io.calibration import camera_from_message
from ace_slam_ros.io.depth import encode_compressed_depth
from ace_slam_ros.io.images import encode_png
from ace_slam_ros.ros.messages.clouds import cloud_to_msg
from ace_slam_ros.ros.messages.conversions import (
    byte_array,
    camera_to_msg,
    depth_from_msg,
    frame_from_msgs,
    image_from_msg,
    image_to_msg,
    keyframe_from_msg,
    keyframe_to_msg,
    ns_to_stamp,
    stamp_to_ns,
)

CAMERA = Camera(32, 24, 30.0, 31.0, 15.5, 11.5)
LENS = Camera(32, 24, 30.0, 31.0, 15.5, 11.5, (-0.3, 0.1, 0.0, 0.0, 0.0))
rng = np.random.default_rng(7)
IMAGE = rng.integers(0, 255, (24, 32, 3)).astype(np.uint8)
DEPTH_MM = rng.integers(400, 5000, (24, 32)).astype(np.uint16)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "mono8", "yuyv"])
def test_gray_alone_is_the_gray_of_the_color_image(encoding):
    channels = {"rgba8": 4, "bgra8": 4, "mono8": 1, "yuyv": 2}.get(encoding, 3)
    pixels = rng.integers(0, 255, (24, 32, channels)).astype(np.uint8)
    msg = Image(height=24, width=32, encoding=encoding, step=32 * channels,
                data=byte_array(pixels))
    depth = image_to_msg(DEPTH_MM, 5, "cam")
    for camera in (CAMERA, LENS):
        info = camera_to_msg(camera, 5, "cam")
        full, lean = (frame_from_msgs(msg, depth, info, gray=g) for g in (False, True))
        off = np.abs(full.gray.astype(int) - lean.gray)
        assert off.max() <= (1 if camera is LENS else 0)
        assert np.array_equal(full.depth_m, lean.depth_m) and full.camera == lean.camera


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_keep_every_nanosecond(stamp_ns):
    assert stamp_to_ns(ns_to_stamp(stamp_ns)) == stamp_ns


@pytest.mark.parametrize("image", [IMAGE, IMAGE[..., 0], np.asfortranarray(IMAGE), IMAGE[:, ::2]])
def test_color_round_trip(image):
    msg = image_to_msg(image, 123456789012, "cam")
    assert np.array_equal(image_from_msg(msg), image)
    assert (stamp_to_ns(msg.header.stamp), msg.header.frame_id) == (123456789012, "cam")


def test_padded_rows_and_bgr():
    msg = image_to_msg(IMAGE, 1, "cam")
    padded = np.zeros((24, 32 * 3 + 8), np.uint8)
    padded[:, :96] = IMAGE[..., ::-1].reshape(24, 96)
    msg.encoding, msg.step, msg.data = "bgr8", 104, byte_array(padded)
    assert np.array_equal(image_from_msg(msg), IMAGE)


def test_depth_encodings():
    expected = DEPTH_MM.astype(np.float32) / 1000
    assert np.array_equal(depth_from_msg(image_to_msg(DEPTH_MM, 1, "cam")), expected)
    meters = expected.copy()
    meters[0, :3] = [np.nan, np.inf, -1.0]
    found = depth_from_msg(image_to_msg(meters, 1, "cam"))
    assert not found[0, :3].any() and np.array_equal(found[1:], expected[1:])
    big = image_to_msg(DEPTH_MM, 1, "cam")
    big.is_bigendian, big.data = 1, byte_array(DEPTH_MM.byteswap())
    assert np.array_equal(depth_from_msg(big), expected)
    with pytest.raises(DataError, match="depth encoding"):
        depth_from_msg(image_to_msg(IMAGE, 1, "cam"))


def test_compressed_transports():
    data, format = encode_compressed_depth(DEPTH_MM, "16UC1")
    depth = CompressedImage(format=format, data=byte_array(data))
    assert np.array_equal(depth_from_msg(depth), DEPTH_MM.astype(np.float32) / 1000)
    color = CompressedImage(format="rgb8; png compressed bgr8", data=byte_array(encode_png(IMAGE)))
    assert np.array_equal(image_from_msg(color), IMAGE)
    color.data = color.data[:-20]
    with pytest.raises(DataError, match="truncated"):
        image_from_msg(color)


def test_camera_round_trip_with_crop_and_binning():
    msg = camera_to_msg(LENS, 1, "cam")
    assert camera_from_message(msg) == LENS
    msg.binning_x = msg.binning_y = 2
    msg.roi.x_offset, msg.roi.y_offset, msg.roi.width, msg.roi.height = 4, 6, 16, 12
    found = camera_from_message(msg)
    assert (found.width, found.height, found.fx, found.fy) == (8, 6, 15.0, 15.5)
    assert (found.cx, found.cy) == ((15.5 - 4 + 0.5) / 2 - 0.5, (11.5 - 6 + 0.5) / 2 - 0.5)
    msg.k = np.zeros(9)
    with pytest.raises(CalibrationError):
        camera_from_message(msg)


def test_frames_are_rectified_or_refused():
    color, depth = image_to_msg(IMAGE, 5, "cam"), image_to_msg(DEPTH_MM, 5, "cam")
    plain = frame_from_msgs(color, depth, camera_to_msg(CAMERA, 5, "cam"))
    assert np.array_equal(plain.image, IMAGE) and plain.stamp_ns == 5
    bent = frame_from_msgs(color, depth, camera_to_msg(LENS, 5, "cam"))
    assert not bent.camera.is_distorted and not np.array_equal(bent.image, IMAGE)
    assert frame_from_msgs(
        color, None, camera_to_msg(CAMERA, 5, "cam"), require_depth=False).depth_m is None
    later = image_to_msg(DEPTH_MM, 12_000_005, "cam")
    for camera in (CAMERA, LENS):
        found = frame_from_msgs(color, later, camera_to_msg(camera, 5, "cam"))
        assert found.stamp_ns == 5 and found.depth_late_s == pytest.approx(0.012)
    empty = image_to_msg(np.zeros_like(DEPTH_MM), 5, "cam")
    with pytest.raises(DataError, match="no measurement"):
        frame_from_msgs(color, empty, camera_to_msg(CAMERA, 5, "cam"))
    with pytest.raises(DataError, match="register depth"):
        frame_from_msgs(
            color, image_to_msg(DEPTH_MM[:10], 5, "cam"), camera_to_msg(LENS, 5, "cam"))


def test_keyframe_round_trip_and_damage():
    features = Features(
        rng.normal(size=(50, 64)).astype(np.float32),
        rng.uniform(0, 30, (50, 2)).astype(np.float32),
        rng.normal(size=(50, 3)).astype(np.float32))
    T_map_cam = exp_se3(np.array([1, 2, 3, 0.1, 0.2, 0.3]))
    keyframe = Keyframe.from_features(7, 123, T_map_cam, features, CAMERA)
    msg = keyframe_to_msg(keyframe, "m1", "hash", "map")
    back = keyframe_from_msg(msg)
    assert (back.id, back.stamp_ns, msg.map_id, msg.encoder_hash) == (7, 123, "m1", "hash")
    assert np.array_equal(back.descriptors_i8_ND, keyframe.descriptors_i8_ND)
    assert np.array_equal(back.pixels_N2, keyframe.pixels_N2)
    assert np.array_equal(back.points_cam_N3, keyframe.points_cam_N3)
    assert pose_error(back.T_map_cam, T_map_cam)[0] < 1e-9
    assert (back.camera.fx, back.camera.width) == (30.0, 32)
    msg.points = msg.points[:-1]
    with pytest.raises(DataError, match="do not hold 50"):
        keyframe_from_msg(msg)
    msg.points = byte_array(np.full((50, 3), np.nan, np.float32))
    with pytest.raises(DataError, match="not finite"):
        keyframe_from_msg(msg)


def test_cloud_bytes():
    points = rng.normal(size=(20, 3)).astype(np.float32)
    msg = cloud_to_msg(points, 5, "map")
    assert msg.width * msg.point_step == len(msg.data) == msg.row_step
    assert np.array_equal(np.frombuffer(msg.data, np.float32).reshape(-1, 3), points)


@pytest.mark.parametrize(("depth", "words"), [
    (np.linspace(1400.0, 1600.0, 768, dtype=np.float32).reshape(24, 32), "look like millimeters"),
    (np.full((24, 32), 1500.0, np.float32), "far plane is in sight, or the unit is wrong"),
    (np.full((24, 32), 2, np.uint16), "look like meters"),
])
def test_depth_of_another_unit_is_refused(depth, words):
    color, info = image_to_msg(IMAGE, 1, "c"), camera_to_msg(CAMERA, 1, "c")
    with pytest.raises(DataError, match=words):
        frame_from_msgs(color, image_to_msg(depth, 1, "c"), info)
