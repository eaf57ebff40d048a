"""A small recorded sequence, and frames as a bag."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.io.bags.writer import BagWriter

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
COUNT = 20
PATIENCE_S = 90.0


def frames(count: int = COUNT) -> Iterator[Frame]:
    random = np.random.default_rng(5)
    image = random.integers(0, 255, (120, 160, 3), np.uint8)
    depth_m = np.full((120, 160), 1.5, np.float32)
    for number in range(count):
        stamp_ns = 1_000_000_000 + number * 50_000_000
        yield Frame(stamp_ns, np.roll(image, number, 1), depth_m, CAMERA)


def truth() -> Trajectory:
    stamps = np.array([f.stamp_ns for f in frames()])
    return Trajectory(stamps, np.tile(np.eye(4), (len(stamps), 1, 1)))


def wait_until(done: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.05)


def write_bag(
    out: Path, frames: Iterable[Frame], groundtruth: Trajectory | None, camera: Camera,
    **options: Any,
) -> int:
    """Write frames to a new bag; options as of `BagWriter`; return their number."""
    with BagWriter(out, camera, groundtruth, **options) as writer:
        for frame in frames:
            writer.add(frame.stamp_ns, frame.image, frame.depth_m)
    return writer.count
