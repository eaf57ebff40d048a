"""Runs every part once on made-up pictures, so that the first frame of a camera waits for nothing.

Compiled loops are compiled then, or read from the disk; libraries choose their kernels and take
their memory.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .data.camera import Camera
from .data.frame import Frame
from .geometry.se3 import R_BODY_OPTICAL_33, make_pose
from .localization.relocalizer import Relocalizer
from .slam import Slam
from .tracking.result import TrackingHints

if TYPE_CHECKING:
    from .config.sections import SlamConfig
    from .encoders.base import Encoder

log = logging.getLogger(__name__)

_WIDTH, _HEIGHT, _FOCAL_PX = 320, 240, 260.0
_DEPTH_M = 1.0
_T_BASE_CAM = make_pose(R_BODY_OPTICAL_33, np.array([0.0, 0.0, 0.5]))
#: The camera moves by so many pixels from picture to picture, with a keyframe at every second.
_STEP_PX, _PICTURES = 16, 6
#: Longer means that loops were compiled, which is worth a line in the log.
_LONG_S = 3.0


def warm_up(
    config: SlamConfig, encoder: Encoder, width: int = 640, height: int = 480,
    queries: bool = False, maps: bool = True,
) -> None:
    """Track, map and localize a few pictures of a wall in a map that is thrown away.

    Args:
        config: all parameters; a map is made whatever `mode` says.
        encoder: the frozen encoder, which is also run on an image of the camera's size.
        width, height: of the camera's images.
        queries: also relocalize a picture in it, without depth and from other viewpoints.
        maps: also look for loops; without, the first keyframe alone is learned, all that a process
            needs that only tracks: a quarter of a second less after a crash.
    """
    started_s = time.process_time()  # the time of a busy machine says nothing
    encoder.warm_up(width, height)
    quiet = logging.getLogger("ace_slam_ros")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # of the map that is thrown away nobody wants to know
    try:
        config = config.with_values({"mode": "mapping", "sensor.mask": ""})
        slam, hints = Slam(config, encoder), TrackingHints(T_base_cam=_T_BASE_CAM)
        for n, frame in enumerate(_pictures()):
            if maps or not n:
                slam.process(frame, hints)
            else:
                slam.tracker.track(frame, hints)
                slam.tracker.work()
        if maps:
            slam.mapper.updated_grid()
        if queries:
            relocalizer = Relocalizer(config, encoder)
            relocalizer.set_head(slam.mapper.export_head(), 1)
            unseen = np.ascontiguousarray(frame.image[::-1])  # so that all views are tried
            for depth_m in (frame.depth_m, None):
                relocalizer.locate(Frame(frame.stamp_ns, unseen, depth_m, frame.camera))
    finally:
        quiet.setLevel(level)
    took_s = time.process_time() - started_s
    if took_s > _LONG_S:
        log.info("compiled what was not yet, in %.0f s; later starts find it on the disk", took_s)


def _pictures() -> list[Frame]:
    """Return what a camera sees that moves along a textured wall."""
    rng = np.random.default_rng(0)
    wall = np.zeros((_HEIGHT, _WIDTH + _STEP_PX * _PICTURES), np.float32)
    for blocks in (8, 24, 60):
        coarse = rng.uniform(0, 80, (blocks, 2 * blocks)).astype(np.float32)
        wall += cv2.resize(coarse, wall.shape[::-1], interpolation=cv2.INTER_NEAREST)
    camera = Camera(_WIDTH, _HEIGHT, _FOCAL_PX, _FOCAL_PX, _WIDTH / 2, _HEIGHT / 2)
    depth = np.full((_HEIGHT, _WIDTH), _DEPTH_M, np.float32)
    return [Frame(n * 33_000_000, np.ascontiguousarray(
                wall[:, n * _STEP_PX:n * _STEP_PX + _WIDTH], np.uint8), depth, camera,
                  depth_late_s=0.005)
            for n in range(_PICTURES)]
