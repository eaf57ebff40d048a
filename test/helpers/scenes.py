"""Worlds, their true depth and poses."""

import numpy as np

from ace_slam_ros.synth import World
from ace_slam_ros.synth.rendering.render import Facets, Visibility, pack
from ace_slam_ros.synth.worlds import RATE_HZ

SEED = 3


def unlit(world: World) -> Facets:
    """Facets without baked light: the same geometry, much quicker."""
    return pack(world.scene.surfaces, [s.albedo for s in world.scene.surfaces])


def depth_of(visibility: Visibility) -> np.ndarray:
    inverse = visibility.inverse_depth_HW
    return np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), 0).astype(np.float32)


def poses_of(world: World, every: int = 1) -> np.ndarray:
    path = world.path()
    return np.stack([path.pose(n / RATE_HZ) for n in range(0, world.default_frames, every)])
