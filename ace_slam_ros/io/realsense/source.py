"""Frames of a RealSense camera: color, and depth aligned to it by its own calibration."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import CalibrationError, DataError
from ..datasets.depth_unit import DepthUnit
from ..pairs import PairReader, PairSource
from ..registration.rule import View, registration_of
from ..source import ReadOptions
from .devices import NAME, Device
from .factory_calibration import camera_of, pose_of
from .library import CameraError, explained, import_library
from .streams import SLOW_RATE_HZ, Choice, Mode, choices, is_slow

if TYPE_CHECKING:
    from ...core.data.frame import Frame

log = logging.getLogger(__name__)

#: How long the library is waited for at a time: `stop` takes effect after it.
_WAIT_MS = 100
#: A camera that says nothing for longer than this is not coming back by itself.
_PATIENCE_S = 5.0
_OPTION = "sensor.depth_unit_m"


class RealSenseSource(PairSource):
    """A live camera; frames that nobody waits for are dropped, the newest is delivered.

    It streams from its construction until its frames are no longer iterated over. It ends when
    `stop` is called, after `seconds`, or by itself (`trouble` says why).

    Args:
        device: the camera.
        require_depth: leave out frames without usable depth.
        options: the unit of depth, if not as the camera says; a camera has no topics.
        seconds: end after so much time; None = when told.
        patience_s: time without any image after which the camera counts as gone.

    Attributes: those of `PairSource`, and
        device: the camera.
        streams: what it was asked for.
        trouble: why it ended by itself; empty when it did not.

    Raises:
        CameraError: the camera is in use, or does not stream color and depth.
        CalibrationError: its calibration is not usable.
        DataError: a topic is named.
    """

    is_live = True

    def __init__(
        self, device: Device, *, require_depth: bool = True, options: ReadOptions | None = None,
        seconds: float | None = None, patience_s: float = _PATIENCE_S,
    ) -> None:
        super().__init__(Path(f"{NAME}:{device.serial}"), require_depth)
        options = options or ReadOptions()
        if options.names_topics:
            raise DataError(f"{NAME} has no topics: leave out --color, --depth, --info")
        self.name, self.device, self.trouble = NAME, device, ""
        self.device_names = (device.name,)
        self.groundtruth, self.groundtruth_dropped = None, {}
        self.stamps_ns = np.empty(0, np.int64)
        self._seconds, self._patience_s, self._delivered = seconds, patience_s, 0
        self._rs = import_library()
        self._pipeline, self._stopped = self._rs.pipeline(), threading.Event()
        self._unread: list[str] = []
        self.streams, profile = self._start()
        unread = f", {' and '.join(self._unread)} not used" if self._unread else ""
        self.choice = {"camera": str(device), "reason": f"color {self.streams.color}, depth "
                       f"{self.streams.depth} aligned to color{unread}"}
        try:
            self._describe(profile, options.depth_unit_m)
        except (CalibrationError, RuntimeError):
            self._pipeline.stop()
            raise

    def stop(self) -> None:
        """End the frames; may be called from another thread or a signal handler."""
        self._stopped.set()

    def summary(self) -> dict[str, Any]:
        """Return what a summary says of a live camera."""
        return super().summary() | {"camera": {
            "name": self.device.name, "serial": self.device.serial, "usb": self.device.usb,
            "color": str(self.streams.color), "depth": str(self.streams.depth),
            "unread": list(self._unread), "ended": self.trouble or "as told"}}

    def __len__(self) -> int:
        """Return how many pairs have come so far."""
        return self._delivered

    def __getitem__(self, index: int) -> Frame:
        """Refuse: what a camera has shown is gone."""
        raise DataError(f"{self.path}: a live camera has no earlier frames: iterate over it")

    def _start(self) -> tuple[Choice, Any]:
        """Start the best streams that the camera can deliver together."""
        rs, device = self._rs, self.device
        offered = self._offered()
        if not offered["color"] or not offered["depth"]:
            lacks = " and ".join(kind for kind in ("color", "depth") if not offered[kind])
            raise CameraError(f"{device} streams no {lacks}: use a camera that has both")
        try:
            self._pipeline.set_device(device.handle)
            for choice in choices(offered["color"], offered["depth"], device.usb):
                config = rs.config()
                config.enable_stream(rs.stream.color, *choice.color[:2], rs.format.rgb8,
                                     choice.color.rate_hz)
                config.enable_stream(rs.stream.depth, *choice.depth[:2], rs.format.z16,
                                     choice.depth.rate_hz)
                if config.can_resolve(rs.pipeline_wrapper(self._pipeline)):
                    return choice, self._pipeline.start(config)
        except RuntimeError as error:
            raise CameraError(f"{device} cannot be started: {explained(error)}") from error
        raise CameraError(
            f"{device} offers no color and depth together: plug it into a USB 3 port")

    def _offered(self) -> dict[str, list[Mode]]:
        """Return the modes of color and depth, and note the streams that nothing is done with."""
        rs = self._rs
        wanted = {(rs.stream.color, rs.format.rgb8): "color", (rs.stream.depth, rs.format.z16):
                  "depth"}
        found: dict[str, list[Mode]] = {"color": [], "depth": []}
        for sensor in self.device.handle.query_sensors():
            for profile in sensor.get_stream_profiles():
                kind = wanted.get((profile.stream_type(), profile.format()))
                if kind:
                    video = profile.as_video_stream_profile()
                    found[kind].append(Mode(video.width(), video.height(), profile.fps()))
                elif profile.stream_type() in (rs.stream.accel, rs.stream.gyro):
                    self._unread = ["IMU"]  # nothing here would use it
        return found

    def _describe(self, profile: Any, unit_m: float) -> None:
        """Take calibration and unit as the camera tells, and say what is not as usual."""
        color = profile.get_stream(self._rs.stream.color).as_video_stream_profile()
        self.raw_camera = camera_of(color.get_intrinsics())
        self.camera = self.raw_camera.without_distortion()
        depth = profile.get_stream(self._rs.stream.depth).as_video_stream_profile()
        self.registration, _ = registration_of(
            View("color", self.raw_camera), View("depth", camera_of(depth.get_intrinsics())),
            pose_of(depth.get_extrinsics_to(color)))
        told = _depth_scale(self.device.handle, self._rs)
        self._set_unit(DepthUnit(1.0 / unit_m, _OPTION) if unit_m else DepthUnit(
            1.0 / told, "the camera"))
        if is_slow(self.device.usb):
            self.assume("USB", f"the camera is plugged in at USB {self.device.usb}, so it streams "
                        f"at {SLOW_RATE_HZ} Hz: use a USB 3 port and cable for 30 Hz")

    def _readers(self, start: int, stop: int) -> Iterator[PairReader]:
        """Yield the newest pair again and again; the range is that of recordings."""
        if self._stopped.is_set():
            raise DataError(f"{self.path}: the camera has been stopped: open it again")
        try:
            yield from self._pairs()
        finally:
            self.stop()
            self._pipeline.stop()
        if self.trouble and not self._delivered:
            raise CameraError(self.trouble)

    def _pairs(self) -> Iterator[PairReader]:
        heard_s, first_ns, last_ns = time.monotonic(), None, 0
        while not self._stopped.is_set():
            frames = self._next()
            if frames is None:
                self.trouble = self.trouble or self._silent(time.monotonic() - heard_s)
                if self.trouble:
                    log.warning("%s", self.trouble)
                    return
                continue
            heard_s = time.monotonic()
            pair = self._pair(frames)
            if pair is None or pair.stamp_ns <= last_ns:
                continue  # depth has come with a color image that was delivered before
            last_ns = pair.stamp_ns
            first_ns = last_ns if first_ns is None else first_ns
            if self._seconds is not None and last_ns - first_ns > self._seconds * 1e9:
                return
            self._delivered += 1
            yield pair

    def _next(self) -> Any:
        """Return the newest frames; None when there are none yet, or never will be."""
        try:
            there, frames = self._pipeline.try_wait_for_frames(_WAIT_MS)
            return frames if there else None
        except RuntimeError as error:
            self.trouble = f"{self.device}: {explained(error)}"
            return None

    def _silent(self, waited_s: float) -> str:
        """Say why no images come; empty while they still may."""
        if not self.device.handle.is_connected():
            return f"{self.device} was unplugged"
        if waited_s > self._patience_s:
            return (f"{self.device} delivers no images for {waited_s:.1f} s: plug it in again, "
                    "into a USB 3 port of its own")
        return ""

    def _pair(self, frames: Any) -> PairReader | None:
        color, depth = frames.get_color_frame(), frames.get_depth_frame()
        if not color:
            return None
        stamp_ns = _stamp_ns(color)
        if not depth:
            self.skips.add("color without depth", f"{self.path}: a color image without depth",
                           stamp_ns, logging.INFO)
            return None
        # The library uses its buffers again.
        image, stored = np.array(color.get_data()), np.array(depth.get_data())
        read_depth: Callable[[], Any] = lambda: stored  # noqa: E731
        return PairReader(stamp_ns, _stamp_ns(depth), lambda: (image, ""), read_depth)


def _stamp_ns(frame: Any) -> int:
    """Stamp of a frame, which the library gives in milliseconds."""
    return round(float(frame.get_timestamp()) * 1e6)


def _depth_scale(handle: Any, rs: Any) -> float:
    """Meters per unit of depth, as the sensor says."""
    for sensor in handle.query_sensors():
        if sensor.supports(rs.option.depth_units):
            return round(float(sensor.get_option(rs.option.depth_units)), 9)  # single precision
    raise CalibrationError("the camera does not tell its unit of depth: set "
                           f"{_OPTION}, 0.001 = millimeters")
