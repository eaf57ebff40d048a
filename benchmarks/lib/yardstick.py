"""A yardstick for times: what OpenCV's ORB takes on the same frames, on one thread, just then.

Times differ by half from hour to hour and from machine to machine; multiples of the yardstick do
so much less.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.io.open_source import open_source

_FRAMES, _WARM_UP = 40, 5


@dataclass(frozen=True)
class Yardstick:
    """Median time of `ORB(1000).detectAndCompute` for a frame, in milliseconds.

    Attributes:
        wall_ms: by the clock, to compare latencies with.
        cpu_ms: of the processor, to compare CPU times with.
    """

    wall_ms: float
    cpu_ms: float

    def mean(self, other: Yardstick) -> Yardstick:
        """Return the mean of those taken before and after a run."""
        return Yardstick((self.wall_ms + other.wall_ms) / 2, (self.cpu_ms + other.cpu_ms) / 2)


def take_yardstick(path: Path) -> Yardstick:
    """Measure on the first frames of a recording.

    Args:
        path: TUM folder or bag.
    """
    return yardstick_of(open_source(path))


def yardstick_of(frames: Iterable[Frame]) -> Yardstick:
    """Measure on the first of some frames."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        orb = cv2.ORB_create(1000)
        spent_s = []
        for frame in islice(frames, _FRAMES):
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            orb.detectAndCompute(frame.gray, None)
            spent_s.append((time.perf_counter() - wall_s, time.thread_time() - cpu_s))
    finally:
        cv2.setNumThreads(threads)
    wall_ms, cpu_ms = np.median(spent_s[_WARM_UP:], axis=0) * 1e3
    return Yardstick(float(wall_ms), float(cpu_ms))
