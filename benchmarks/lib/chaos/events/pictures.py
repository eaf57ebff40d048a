"""A camera that sends rubbish, nothing, or from another time."""

from __future__ import annotations

import dataclasses
import time
from random import Random

import numpy as np

from ace_slam_ros.core.data.camera import Camera

from ..camera import Change, Shot
from ..system import StormSystem

_NS = 1_000_000_000


def _blind(system: StormSystem, rng: Random, change: Change, longest_s: float = 1.5) -> None:
    """Let the camera be of no use for a while."""
    with system.excuses.during("blind", 1.0), system.camera.changed(change):
        time.sleep(rng.uniform(0.2, longest_s))


def nan_depth(system: StormSystem, rng: Random) -> None:
    """Depth in meters that is NaN everywhere."""
    _blind(system, rng, lambda shot: dataclasses.replace(
        shot, depth=np.full(shot.depth.shape, np.nan, np.float32)))


def full_depth(system: StormSystem, rng: Random) -> None:
    """Depth of 65535 everywhere: what some cameras send for none."""
    _blind(system, rng, lambda shot: dataclasses.replace(
        shot, depth=np.full(shot.depth.shape, 65535, np.uint16)))


def holes_in_depth(system: StormSystem, rng: Random) -> None:
    """NaN, infinity and negative numbers in the left third of the depth; the rest is good."""
    def change(shot: Shot) -> Shot:
        depth_m = shot.depth.astype(np.float32) * 1e-3
        third = depth_m[:, :depth_m.shape[1] // 3]
        third[0::3], third[1::3], third[2::3] = np.nan, np.inf, -1.0
        return dataclasses.replace(shot, depth=depth_m)

    with system.camera.changed(change):
        time.sleep(rng.uniform(0.2, 1.5))


def covered(system: StormSystem, rng: Random) -> None:
    """Black pictures without depth."""
    _blind(system, rng, lambda shot: dataclasses.replace(
        shot, image=np.zeros_like(shot.image), depth=np.zeros_like(shot.depth)))


def tiny_images(system: StormSystem, rng: Random) -> None:
    """Images of a few pixels, with a calibration that fits."""
    side = rng.choice((1, 7, 15))
    _blind(system, rng, lambda shot: Shot(
        np.ascontiguousarray(shot.image[:side, :side]),
        np.ascontiguousarray(shot.depth[:side, :side]),
        Camera(side, side, 10.0, 10.0, side / 2.0, side / 2.0), shot.T_world_cam))


def huge_images(system: StormSystem, rng: Random) -> None:
    """Images beyond the largest that are taken; two of them, 40 MB each."""
    size = (3200, 4200)
    huge = Shot(np.full(size, 90, np.uint8), np.full(size, 2000, np.uint16),
                Camera(size[1], size[0], 3000.0, 3000.0, 2100.0, 1600.0), np.eye(4))
    left = [huge] * 2
    _blind(system, rng, lambda shot: left.pop() if left else None, 1.0)


def sizes_that_disagree(system: StormSystem, rng: Random) -> None:
    """Color of half the size that depth and calibration have."""
    _blind(system, rng, lambda shot: dataclasses.replace(
        shot, image=np.ascontiguousarray(shot.image[::2, ::2])))


def silence(system: StormSystem, rng: Random) -> None:
    """No picture at all."""
    _blind(system, rng, lambda shot: None, 3.0)


def bag_loop(system: StormSystem, rng: Random) -> None:
    """The recording begins anew, with its stamps."""
    system.excuses.now(1.0)
    system.camera.begin_anew()


def clock_forward(system: StormSystem, rng: Random) -> None:
    """Stamps jump into the future."""
    system.excuses.now(1.0)
    system.camera.jump_clock(round(rng.uniform(1.0, 4000.0) * _NS))


def clock_back(system: StormSystem, rng: Random) -> None:
    """Stamps go back."""
    system.excuses.now(1.0)
    system.camera.jump_clock(-round(rng.uniform(0.1, 900.0) * _NS))


EVENTS = (nan_depth, full_depth, holes_in_depth, covered, tiny_images, huge_images,
          sizes_that_disagree, silence, bag_loop, clock_forward, clock_back)
