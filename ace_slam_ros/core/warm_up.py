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
from .geometry.se3 import R_BODY_OPTICAL_33, make_pose, transform_points
from .heads.affine.head import HEAD_TYPE, constant_experts
from .heads.payload import HeadInfo, pack_head
from .localization.relocalizer import Relocalizer
from .tracking.result import TrackingHints
from .tracking.tracker import Tracker

if TYPE_CHECKING:
    from .config.sections import SlamConfig
    from .data.keyframe import Keyframe
    from .encoders.base import Encoder

log = logging.getLogger(__name__)

_WIDTH, _HEIGHT, _FOCAL_PX = 320, 240, 260.0
_DEPTH_M = 1.0
_HINTS = TrackingHints(T_base_cam=make_pose(R_BODY_OPTICAL_33, np.array([0.0, 0.0, 0.5])))
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
        maps: also learn and look for loops; without, a head is made up, all that a process needs
            that only tracks: after a crash it is back a second earlier.
    """
    started_s = time.process_time()  # the time of a busy machine says nothing
    encoder.warm_up(width, height)
    quiet = logging.getLogger("ace_slam_ros")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # of the map that is thrown away nobody wants to know
    try:
        config = config.with_values({"mode": "mapping", "sensor.mask": ""})
        if maps or queries or config.head.type != HEAD_TYPE:
            head = _map(config, encoder)
            if queries:
                _ask(config, encoder, head)
        else:
            _track(config, encoder)
    finally:
        quiet.setLevel(level)
    took_s = time.process_time() - started_s
    if took_s > _LONG_S:
        log.info("compiled what was not yet, in %.0f s; later starts find it on the disk", took_s)


def _map(config: SlamConfig, encoder: Encoder) -> bytes:
    """Track and map; returns the head that was learned."""
    from .slam import Slam  # and torch with it

    slam = Slam(config, encoder)
    for frame in _pictures():
        slam.process(frame, _HINTS)
    slam.mapper.updated_grid()
    return slam.mapper.export_head()


def _track(config: SlamConfig, encoder: Encoder) -> None:
    """Track in a head made of the first keyframe."""
    tracker = Tracker(config, encoder)
    for n, frame in enumerate(_pictures()):
        result = tracker.track(frame, _HINTS)
        result = result.with_work(tracker.work())
        if n == 0:
            tracker.set_head(_head_of(result.keyframes[0], encoder, result.map_id), 1)


def _head_of(keyframe: Keyframe, encoder: Encoder, map_id: str) -> bytes:
    codebook = encoder.codebook
    words_N = codebook.nearest(keyframe.descriptors_ND, 1)[:, 0]
    points_N3 = transform_points(
        keyframe.T_map_cam, keyframe.points_cam_N3.astype(np.float64))
    return pack_head(constant_experts(words_N, points_N3, len(codebook.words_KD)), HeadInfo(
        map_id, encoder.hash, HEAD_TYPE, keyframes=1, next_keyframe=keyframe.id + 1))


def _ask(config: SlamConfig, encoder: Encoder, head: bytes) -> None:
    """Relocalize a picture that the head does not know, so that all views are tried."""
    relocalizer = Relocalizer(config, encoder)
    relocalizer.set_head(head, 1)
    frame = _pictures()[-1]
    unseen = np.ascontiguousarray(frame.image[::-1])
    for depth_m in (frame.depth_m, None):
        relocalizer.locate(Frame(frame.stamp_ns, unseen, depth_m, frame.camera))


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
