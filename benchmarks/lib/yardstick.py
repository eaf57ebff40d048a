"""A yardstick for times: what OpenCV's ORB takes on the same frames, on one thread, just then.

Times differ by half from hour to hour and from machine to machine; multiples of the yardstick do
so much less.
"""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ace_slam_ros.io.open_source import open_source

_FRAMES, _WARM_UP = 40, 5


def yardstick_ms(path: Path) -> float:
    """Return the median time of `ORB(1000).detectAndCompute` on frames of a recording.

    Args:
        path: TUM folder or bag.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        orb = cv2.ORB_create(1000)
        spent_ms = []
        for frame in islice(open_source(path), _FRAMES):
            start = time.perf_counter()
            orb.detectAndCompute(frame.gray, None)
            spent_ms.append((time.perf_counter() - start) * 1e3)
    finally:
        cv2.setNumThreads(threads)
    return float(np.median(spent_ms[_WARM_UP:]))
