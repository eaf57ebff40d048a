"""The library's own software camera, through its pipeline and syncer, becomes frames."""

import numpy as np
import pytest
from helpers.software_camera import START_MS, Offer, SoftwareCamera, needs_library
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import transform_points
from ace_slam_ros.io.realsense.devices import device_of
from ace_slam_ros.io.realsense.factory_calibration import pose_of
from ace_slam_ros.io.realsense.library import CameraError
from ace_slam_ros.io.realsense.source import RealSenseSource
from ace_slam_ros.io.source import LiveSource, ReadOptions, known_length

needs_library()

COLOR = Camera(160, 120, 130.0, 131.0, 79.5, 59.5)
DEPTH = Camera(212, 120, 130.0, 131.0, 105.5, 59.5)


def opened(camera, **options):
    return RealSenseSource(device_of(camera.handle), patience_s=0.3, **options)


def pairs(count, width=COLOR.width, stored=1500):
    for number in range(count):
        image = np.full((120, 160, 3), number, np.uint8)
        yield image, np.full((120, width), stored, np.uint16)


def test_frames_are_what_the_camera_showed_in_its_units():
    camera = SoftwareCamera(Offer(COLOR), Offer(COLOR), unit_m=0.0001)
    source = opened(camera)
    camera.play(pairs(8, stored=15000))
    frames = list(source)
    assert isinstance(source, LiveSource) and known_length(source) is None
    assert len(frames) >= 4 and len(source) == len(frames)  # the newest win on a busy machine
    for frame in frames:
        number = int(frame.image[0, 0, 0])
        assert frame.stamp_ns == round((START_MS + number * 100.0 / 3.0) * 1e6)
        np.testing.assert_allclose(frame.depth_m, 1.5, atol=1e-6)
    assert source.camera == COLOR and source.device_names == ("Intel RealSense D435",)
    assert "delivers no images" in source.trouble
    said = source.summary()
    assert said["depth_unit"] == {"m": 0.0001, "told_by": "the camera", "guessed": False}
    assert said["camera"]["serial"] == "0123" and said["camera"]["ended"] == source.trouble


def test_depth_of_another_size_and_place_is_aligned_to_color():
    camera = SoftwareCamera(Offer(COLOR), Offer(DEPTH), shift_m=0.05)
    source = opened(camera)
    near = np.zeros((120, DEPTH.width), np.uint16)
    near[:, 105:109] = 1000  # straight ahead of the depth camera
    camera.play((np.zeros((120, 160, 3), np.uint8), near) for _ in range(5))
    frame = next(iter(source))
    seen = np.flatnonzero(frame.depth_m[60] > 0.0)
    assert frame.depth_m.shape == (120, 160)
    expected = (105.0 - DEPTH.cx) + COLOR.cx - 0.05 * COLOR.fx
    assert abs(seen[0] - expected) <= 1.5 and np.allclose(frame.depth_m[60, seen], 1.0)


def test_it_ends_when_told_and_after_seconds():
    camera = SoftwareCamera(Offer(COLOR), Offer(COLOR), imu=True)
    source = opened(camera, seconds=0.15)
    camera.play(pairs(40))
    stamps = [frame.stamp_ns for frame in source]
    assert stamps[-1] - stamps[0] <= 0.15e9 and source.trouble == ""
    assert source.summary()["camera"]["unread"] == ["IMU"]
    assert "IMU not used" in source.choice["reason"]
    camera = SoftwareCamera(Offer(COLOR), Offer(COLOR))
    source = opened(camera)
    camera.play(pairs(40))
    for _ in source:
        source.stop()
    assert len(source) == 1 and source.trouble == ""
    with pytest.raises(DataError, match="open it again"):
        next(iter(source))
    with pytest.raises(DataError, match="no earlier frames"):
        source[0]


def test_color_without_depth_is_left_out_and_counted():
    camera = SoftwareCamera(Offer(COLOR), Offer(COLOR))
    source = opened(camera)
    holes = np.zeros((120, 160), np.uint16)
    camera.play([(np.zeros((120, 160, 3), np.uint8), holes)] * 3 + list(pairs(3)))
    frames = list(source)
    assert 1 <= len(frames) <= 3 and source.skips.counts.keys() == {"no usable depth"}


def test_what_cannot_be_used_is_said():
    with pytest.raises(CameraError, match="streams no depth"):
        opened(SoftwareCamera(Offer(COLOR), None))
    with pytest.raises(CameraError, match="no color and depth together|streams no"):
        opened(SoftwareCamera(Offer(COLOR, 30), Offer(COLOR, 15)))
    with pytest.raises(DataError, match="no topics"):
        opened(SoftwareCamera(Offer(COLOR), Offer(COLOR)), options=ReadOptions(color="/a"))
    silent = opened(SoftwareCamera(Offer(COLOR), Offer(COLOR)))
    with pytest.raises(CameraError, match="delivers no images for .* plug it in again"):
        list(silent)


def test_usb_2_is_slower_and_said():
    camera = SoftwareCamera(Offer(COLOR, 15), Offer(COLOR, 15), usb="2.1")
    source = opened(camera, options=ReadOptions(depth_unit_m=0.002))
    assert source.streams.color.rate_hz == 15
    assert "USB 3 port" in source.assumptions["USB"]
    assert source.summary()["depth_unit"]["m"] == 0.002
    source.stop()


def test_factory_calibration_is_read_as_the_library_means_it():
    rs = needs_library()
    told = rs.extrinsics()
    told.rotation = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix().ravel(
        ).tolist()
    told.translation = [0.1, 0.2, 0.3]
    moved = rs.rs2_transform_point_to_point(told, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(transform_points(pose_of(told), np.array([[1.0, 2.0, 3.0]]))[0],
                               moved, atol=1e-6)
