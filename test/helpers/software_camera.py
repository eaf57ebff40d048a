"""A RealSense made of software, by the library's own means: it sees what it is given."""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import threading
from collections.abc import Iterable
from ctypes.util import find_library
from typing import Any, NamedTuple

import numpy as np
import pytest

from ace_slam_ros.core.data.camera import Camera

#: Of the first image, milliseconds of the camera's clock.
START_MS = 1_700_000_000_000.0


def needs_library() -> Any:
    """Return pyrealsense2; skip what asks for it where it is not installed.

    It wants libusb, of which a bare machine has none: then that of the package libusb-package is
    loaded first.
    """
    if find_library("usb-1.0") is None and importlib.util.find_spec("libusb_package"):
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    return pytest.importorskip("pyrealsense2", exc_type=ImportError)


class Offer(NamedTuple):
    """A stream that the camera offers, in every size and at every rate of these."""

    camera: Camera
    rate_hz: int = 30


class SoftwareCamera:
    """A D435 that shows what it is fed.

    Args:
        color, depth: what it streams; the first is the default.
        name, usb: as the driver tells.
        unit_m: meters per unit of depth.
        shift_m: of the color camera to the right of the depth camera.
    """

    def __init__(
        self, color: Offer, depth: Offer | None, *, name: str = "Intel RealSense D435",
        serial: str = "0123", usb: str = "3.2", unit_m: float = 0.001, shift_m: float = 0.0,
        imu: bool = False,
    ) -> None:
        import pyrealsense2 as rs

        self._rs, self.unit_m = rs, unit_m
        self._ended = threading.Event()
        self.handle = rs.software_device()
        info = rs.camera_info
        for what, text in ((info.name, name), (info.serial_number, serial),
                           (info.usb_type_descriptor, usb)):
            self.handle.register_info(what, text)
        self._color = self.handle.add_sensor("RGB Camera")
        self._color_profile = self._color.add_video_stream(
            self._stream(rs.stream.color, rs.format.rgb8, 2, 3, color))
        self._depth_profile = None
        if depth is not None:
            self._depth = self.handle.add_sensor("Stereo Module")
            self._depth.add_read_only_option(rs.option.depth_units, unit_m)
            self._depth_profile = self._depth.add_video_stream(
                self._stream(rs.stream.depth, rs.format.z16, 1, 2, depth))
            to_color = rs.extrinsics()
            to_color.rotation = np.eye(3).ravel().tolist()
            to_color.translation = [-shift_m, 0.0, 0.0]
            self._depth_profile.register_extrinsics_to(self._color_profile, to_color)
        if imu:
            motion = rs.motion_stream()
            motion.type, motion.index, motion.uid, motion.fps = rs.stream.gyro, 0, 3, 200
            motion.fmt = rs.format.motion_xyz32f
            self.handle.add_sensor("Motion Module").add_motion_stream(motion)
        self.handle.create_matcher(rs.matchers.default)

    def _stream(self, kind: object, form: object, uid: int, width: int, offer: Offer) -> object:
        stream = self._rs.video_stream()
        stream.type, stream.fmt, stream.index, stream.uid = kind, form, 0, uid
        camera = offer.camera
        stream.width, stream.height, stream.fps = camera.width, camera.height, offer.rate_hz
        stream.bpp, lens = width, self._rs.intrinsics()
        lens.width, lens.height = camera.width, camera.height
        lens.fx, lens.fy, lens.ppx, lens.ppy = camera.fx, camera.fy, camera.cx, camera.cy
        lens.model = self._rs.distortion.inverse_brown_conrady
        lens.coeffs = [*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0][:5]
        stream.intrinsics = lens
        return stream

    def show(self, number: int, image: np.ndarray, depth: np.ndarray | None) -> None:
        """Show one pair: (H, W, 3) RGB and (H, W) uint16 in units; None = no depth."""
        self._send(self._color, self._color_profile, number, np.ascontiguousarray(image), 3)
        if depth is not None:
            self._send(self._depth, self._depth_profile, number, np.ascontiguousarray(depth), 2)

    def _send(
        self, sensor: object, profile: object, number: int, pixels: np.ndarray, width: int
    ) -> None:
        frame = self._rs.software_video_frame()
        frame.pixels, frame.bpp, frame.stride = pixels, width, width * pixels.shape[1]
        frame.timestamp = START_MS + number * 100.0 / 3.0
        frame.domain = self._rs.timestamp_domain.global_time
        frame.frame_number, frame.profile = number, profile.as_video_stream_profile()
        if width == 2:
            frame.depth_units = self.unit_m
        sensor.on_video_frame(frame)

    def play(
        self, pairs: Iterable[tuple[np.ndarray, np.ndarray | None]], rate_hz: float = 30.0
    ) -> threading.Thread:
        """Show pairs at a rate in a thread of its own, and nothing after them."""

        def feed() -> None:
            for number, (image, depth) in enumerate(pairs):
                self.show(number, image, depth)
                if self._ended.wait(1.0 / rate_hz):
                    return

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        atexit.register(self._end, thread)
        return thread

    def _end(self, thread: threading.Thread) -> None:
        """End a thread that shows pairs: one that Python ends, within the library, aborts all."""
        self._ended.set()
        thread.join()
