"""A camera that can be disturbed: publishes recorded pairs in real time, to and fro."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.ros.messages.conversions import camera_to_msg, image_to_msg
from ace_slam_ros.ros.qos import sensor_qos

FRAME = "camera_color_optical_frame"
_NS = 1_000_000_000
_PERIOD_NS = _NS // 30


@dataclass(frozen=True)
class Shot:
    """One pair of a recording and where it was taken.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) uint16 millimeters or float32 meters.
        camera: intrinsics of both.
        T_world_cam: ground truth, (4, 4).
    """

    image: Any
    depth: Any
    camera: Camera
    T_world_cam: Any


#: What a disturbance makes of a shot; None = nothing is sent.
Change = Callable[[Shot], "Shot | None"]


def load_shots(folder: Path, count: int) -> list[Shot]:
    """Return the first pairs of a sequence that have ground truth.

    Raises:
        ValueError: it has no ground truth, or not enough of it.
    """
    source = open_source(folder)
    if source.groundtruth is None:
        raise ValueError(f"{folder} has no ground truth: wrong poses could not be told")
    shots = []
    for frame in source:
        poses, valid = source.groundtruth.at(np.array([frame.stamp_ns]))
        if valid[0] and frame.depth_m is not None:
            depth_mm = np.rint(frame.depth_m * 1e3).astype(np.uint16)
            shots.append(Shot(frame.image, depth_mm, frame.camera, poses[0]))
        if len(shots) == count:
            break
    if len(shots) < 30:
        raise ValueError(f"{folder} has only {len(shots)} pairs with ground truth, 30 are needed")
    return shots


def to_and_fro(count: int) -> Iterator[int]:
    """Yield 0 1 .. count-1 .. 1 0 1 ..: the camera never jumps."""
    return itertools.cycle([*range(count), *range(count - 2, 0, -1)])


class PairPublisher:
    """Publishers of the three topics of a camera, and frame id of what goes out.

    Args:
        node: rclpy node that owns them.
        frame_id: of the images.
    """

    def __init__(self, node: Any, frame_id: str = FRAME) -> None:
        self._frame_id = frame_id
        self._publishers = [node.create_publisher(kind, name, sensor_qos(5)) for kind, name in (
            (CameraInfo, "rgb/camera_info"), (Image, "rgb/image"), (Image, "depth/image"))]

    def publish(self, shot: Shot, stamp_ns: int) -> None:
        """Publish a pair and its calibration."""
        for publisher, message in zip(self._publishers, (
                camera_to_msg(shot.camera, stamp_ns, self._frame_id),
                image_to_msg(shot.image, stamp_ns, self._frame_id),
                image_to_msg(shot.depth, stamp_ns, self._frame_id)), strict=True):
            publisher.publish(message)


class StormCamera:
    """Publishes shots at 30 Hz from a thread of its own.

    Args:
        node: rclpy node that owns the publishers.
        shots: what is shown, to and fro.

    Attributes:
        sent: stamp (ns) -> number of the shot; of every pair that was ever sent.
    """

    def __init__(self, node: Any, shots: list[Shot]) -> None:
        self.shots, self.sent = shots, dict[int, int]()
        self._out = PairPublisher(node)
        self._order = to_and_fro(len(shots))
        self._stamp_ns, self._jumps = 30_000 * _PERIOD_NS, 0
        self._changes: list[Change] = []
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopping.wait(max(due_s - time.monotonic(), 0.0)):
            due_s = max(due_s + _PERIOD_NS / _NS, time.monotonic() - 0.1)
            with self._lock:
                self._stamp_ns += _PERIOD_NS
                stamp_ns, number, changes = self._stamp_ns, next(self._order), [*self._changes]
            shot: Shot | None = self.shots[number]
            for change in changes:
                shot = None if shot is None else change(shot)
            if shot is not None:
                self.sent[stamp_ns] = number
                self._out.publish(shot, stamp_ns)

    @contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        """Let `change` make something else of every shot for the length of the block."""
        with self._lock:
            self._changes.append(change)
        try:
            yield
        finally:
            with self._lock:
                self._changes.remove(change)

    @property
    def now_ns(self) -> int:
        """Stamp of the newest pair."""
        return self._stamp_ns

    def jump_clock(self, step_ns: int) -> None:
        """Let the stamps that follow be so much later, or earlier; none comes twice."""
        with self._lock:
            self._jumps += 1  # stamps are so many nanoseconds beside the grid, and so unlike all
            periods = max((self._stamp_ns + step_ns) // _PERIOD_NS, 30)
            self._stamp_ns = periods * _PERIOD_NS + self._jumps

    def begin_anew(self) -> None:
        """Show the recording from its beginning, with stamps that go back: a looped bag."""
        with self._lock:
            self._order = to_and_fro(len(self.shots))
        self.jump_clock(-len(self.shots) * _PERIOD_NS)

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
