"""A small world with exact depth, drawn in milliseconds: a textured corner of two walls."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.geometry.se3 import invert_pose, make_pose

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
_TEXELS_PER_M = 250.0
#: Each wall: a point of it, its horizontal axis and its vertical axis; world = first camera.
_WALLS = [
    (np.array([-3.0, -2.0, 2.6]), np.array([0.9, 0.0, -0.43589]), np.array([0.0, 1.0, 0.0])),
    (np.array([-3.0, -2.0, 0.6]), np.array([0.8, 0.0, 0.6]), np.array([0.0, 1.0, 0.0])),
]


def _texture(seed: int) -> np.ndarray:
    """Random shapes and noise of several sizes: something to recognize everywhere."""
    rng = np.random.default_rng(seed)
    image = np.full((1000, 1750, 3), 128, np.uint8)
    for size in np.geomspace(250, 12, 1500):
        center = (int(rng.integers(0, 1750)), int(rng.integers(0, 1000)))
        axes = (int(size * rng.uniform(0.3, 1)) + 1, int(size * rng.uniform(0.3, 1)) + 1)
        color = tuple(int(c) for c in rng.integers(20, 235, 3))
        if rng.random() < 0.5:
            cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1)
        else:
            corner = (center[0] + axes[0], center[1] + axes[1])
            cv2.rectangle(image, center, corner, color, -1)
    noise = cv2.resize(rng.normal(0, 14, (500, 875, 3)).astype(np.float32), (1750, 1000))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


class Wall:
    """The world; `look` draws it from a pose."""

    def __init__(self, seed: int = 0) -> None:
        self._textures = [_texture(seed + i) for i in range(len(_WALLS))]
        self._rng = np.random.default_rng(seed)

    def look(self, T_world_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (RGB image, uint16 depth in millimeters)."""
        T_cam_world = invert_pose(T_world_cam)
        v, u = np.mgrid[0:CAMERA.height, 0:CAMERA.width].astype(np.float64)
        rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy,
                         np.ones_like(u)], axis=-1)
        depth = np.full(u.shape, np.inf)
        image = np.zeros((*u.shape, 3), np.uint8)
        for texture, (point, right, down) in zip(self._textures, _WALLS, strict=True):
            normal = T_cam_world[:3, :3] @ np.cross(right, down)
            origin = T_cam_world[:3, :3] @ point + T_cam_world[:3, 3]
            with np.errstate(divide="ignore"):
                z = (normal @ origin) / (rays @ normal)
            offset = rays * z[..., None] - origin
            s = (offset @ (T_cam_world[:3, :3] @ right) * _TEXELS_PER_M).astype(np.float32)
            t = (offset @ (T_cam_world[:3, :3] @ down) * _TEXELS_PER_M).astype(np.float32)
            inside = (s >= 0) & (t >= 0) & (s < texture.shape[1] - 1) & (t < texture.shape[0] - 1)
            nearer = inside & (z > 0.1) & (z < depth)
            colors = cv2.remap(texture, s, t, cv2.INTER_AREA)
            image[nearer], depth[nearer] = colors[nearer], z[nearer]
        depth[~np.isfinite(depth)] = 0.0
        return image, np.rint(depth * 1000.0).astype(np.uint16)


def wander(count: int) -> list[np.ndarray]:
    """Camera poses of a slow sweep that ends where it began; the first one is the identity."""
    poses = []
    for i in range(count):
        a = 2 * np.pi * i / count
        t = np.array([0.25 * np.sin(a), 0.08 * np.sin(2 * a), 0.15 * (1 - np.cos(a))])
        R = Rotation.from_euler("yx", [8 * np.sin(a), 4 * np.sin(2 * a)], degrees=True)
        poses.append(make_pose(R.as_matrix(), t))
    return poses
