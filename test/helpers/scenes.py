"""Worlds, their true depth and poses; rays and distances by brute force."""

from collections.abc import Sequence

import numpy as np

from ace_slam_ros.synth import World
from ace_slam_ros.synth.rendering.render import Facets, Visibility, pack
from ace_slam_ros.synth.rendering.scene import Scene
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


def clearance_m(scene: Scene, points_N3: np.ndarray) -> np.ndarray:
    """Return the distance (N,) from points to the nearest static box, 0 inside."""
    best = np.full(len(points_N3), np.inf)
    for box in scene.boxes:
        local = (points_N3 - box.T_world_box_44[:3, 3]) @ box.T_world_box_44[:3, :3]
        outside = np.maximum(np.abs(local) - box.half_3, 0.0)
        best = np.minimum(best, np.linalg.norm(outside, axis=1))
    return best


def cast_rays(
    corners: Sequence[np.ndarray], origin_3: np.ndarray, directions_N3: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intersect rays with facets by brute force: the slow reference of the renderer.

    Args:
        corners: one (K, 3) polygon per facet, counter-clockwise seen from the front.
        origin_3: ray origin, same frame as the corners.
        directions_N3: ray directions; distances are in units of their length.

    Returns:
        (distance (N,), inf where nothing is hit; facet index (N,), -1 where nothing is hit).
    """
    best = np.full(len(directions_N3), np.inf)
    index = np.full(len(directions_N3), -1, np.int64)
    for k, polygon in enumerate(corners):
        normal = np.cross(polygon[1] - polygon[0], polygon[2] - polygon[1])
        height = normal @ (origin_3 - polygon[0])
        if height <= 0:
            continue
        slope = directions_N3 @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(slope < 0, -height / slope, np.inf)
        inside = distance < best
        points = origin_3 + np.where(np.isfinite(distance), distance, 0)[:, None] * directions_N3
        for p, q in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            inside &= (points - p) @ np.cross(normal, q - p) >= 0
        best[inside] = distance[inside]
        index[inside] = k
    return best, index
