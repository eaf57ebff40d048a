"""Inputs that are too large are refused by their headers, with the limit named."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.depth import encode_compressed_depth
from ace_slam_ros.ros.messages import limits
from ace_slam_ros.ros.messages.conversions import (
    byte_array,
    camera_to_msg,
    frame_from_msgs,
    image_to_msg,
    keyframe_from_msg,
    keyframe_to_msg,
)

CAMERA = Camera(32, 24, 30.0, 31.0, 15.5, 11.5)
INFO = camera_to_msg(CAMERA, 5, "cam")
GRAY, DEPTH = np.full((24, 32), 90, np.uint8), np.full((24, 32), 900, np.uint16)
COLOR, DEPTH_MSG = image_to_msg(GRAY, 5, "cam"), image_to_msg(DEPTH, 5, "cam")


def huge(data=b""):
    """48 megapixels, as its header says; whether the bytes are there is not looked at."""
    return Image(width=8000, height=6000, encoding="mono8", step=8000, data=byte_array(data))


def compressed(data, kind="jpeg"):
    return CompressedImage(format=kind, data=byte_array(data))


@pytest.mark.parametrize(("color", "depth", "info", "what"), [
    (huge(), None, INFO, "color image of 8000x6000"),
    (COLOR, huge(), INFO, "depth image of 8000x6000"),
    (COLOR, None, CameraInfo(width=2**32 - 1, height=1), "calibration of"),
    (COLOR, None, CameraInfo(width=4097, height=3072), "calibration of 4097x3072"),
])
def test_images_beyond_the_largest_camera_are_refused(color, depth, info, what):
    with pytest.raises(DataError, match=f"{what}.* larger than the 4096x3072.*lower resolution"):
        frame_from_msgs(color, depth, info)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images_are_refused_before_they_are_decoded(suffix, monkeypatch):
    small, wide = (cv2.imencode(suffix, np.zeros(shape, np.uint8))[1].tobytes()
                   for shape in ((24, 32), (1, 20_000)))
    assert limits.encoded_size(small) == (32, 24)
    assert limits.encoded_size(small[:12]) is None
    assert frame_from_msgs(compressed(small), None, INFO, require_depth=False).image.size == 768
    monkeypatch.setattr(limits, "LARGEST_PIXELS", 10_000)
    with pytest.raises(DataError, match="color image of 20000x1 is larger"):
        frame_from_msgs(compressed(wide), None, INFO)


def test_compressed_depth_and_too_many_bytes(monkeypatch):
    payload, kind = encode_compressed_depth(DEPTH, "16UC1")
    assert limits.encoded_size(payload) == (32, 24)
    depth = compressed(payload, kind)
    assert frame_from_msgs(COLOR, depth, INFO).depth_m is not None
    monkeypatch.setattr(limits, "LARGEST_COMPRESSED", len(payload) - 1)
    with pytest.raises(DataError, match="depth image has .* bytes, more than"):
        frame_from_msgs(COLOR, depth, INFO)


def message(**changes):
    """A keyframe of three features with some fields changed."""
    pixels = changes.pop("pixels", [[1, 2], [3, 4], [30, 20]])
    points = changes.pop("points", [[0, 0, 1], [1, 0, 2], [0, 1, 3]])
    T_map_cam = np.eye(4)
    T_map_cam[0, 3] = changes.pop("x", 0.0)
    msg = keyframe_to_msg(Keyframe(
        1, 5, T_map_cam, np.zeros((3, 8), np.int8), np.array(pixels, np.float32),
        np.array(points, np.float32), CAMERA), "map", "hash", "map")
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(("changes", "words"), [
    ({"count": 4097}, "4097 features .* at most 4096"),
    ({"dimension": 1025}, "dimension 1025, at most"),
    ({"width": 100_000, "height": 100_000}, "larger than the 4096x3072"),
    ({"pixels": [[1, 2], [3, 4], [500, 20]]}, "outside of its image of 32x24"),
    ({"pixels": [[-1e30, 2], [3, 4], [5, 20]]}, "outside of its image"),
    ({"points": [[0, 0, 1], [1e6, 0, 2], [0, 1, 3]]}, "more than 1000 m from the camera"),
])
def test_keyframes_that_no_camera_makes_are_refused(changes, words):
    assert keyframe_from_msg(message()).id == 1
    with pytest.raises(DataError, match=f"keyframe 1.*{words}"):
        keyframe_from_msg(message(**changes))


def test_a_camera_far_from_its_map_is_refused():
    """As any pose is: a guess of 1e300 m overflowed in the tracker."""
    assert keyframe_from_msg(message(x=9e7)).id == 1
    with pytest.raises(DataError, match="more than 1e\\+08 m from the origin"):
        keyframe_from_msg(message(x=-1e9))


def test_more_features_may_be_asked_for():
    with pytest.raises(DataError, match="do not hold 4097 features"):
        keyframe_from_msg(message(count=4097), most=5000)
