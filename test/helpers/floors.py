"""Depth images of boxes on a floor, by ray casting, for what navigation needs."""

import numpy as np

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
#: The same view in fewer pixels, for tests that look around.
SMALL = CAMERA.scaled(0.5)
#: Of a hall of 8 x 6 m around the origin.
WALLS = [((-4.1, -3.1, 0.0), (-4.0, 3.1, 2.5)), ((4.0, -3.1, 0.0), (4.1, 3.1, 2.5)),
         ((-4.1, -3.1, 0.0), (4.1, -3.0, 2.5)), ((-4.1, 3.0, 0.0), (4.1, 3.1, 2.5))]
FLOOR = ((-50.0, -50.0, -1.0), (50.0, 50.0, 0.0))


def camera_at(x_m=0.0, y_m=0.0, height_m=0.5, yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0):
    """T_world_cam of a camera; a positive pitch looks down."""
    def turn(axis, degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        i, j = (axis + 1) % 3, (axis + 2) % 3
        R = np.eye(3)
        R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
        return R

    R = turn(2, yaw_deg) @ turn(1, pitch_deg) @ turn(0, roll_deg)
    return make_pose(R @ R_BODY_OPTICAL_33, np.array([x_m, y_m, height_m]))


def look(T_world_cam, boxes=(), noise=0.0, stamp_ns=0, floor=True, camera=CAMERA):
    """The frame of a camera among boxes, each two opposite corners; depth noise in sigmas."""
    v, u = np.mgrid[0:camera.height, 0:camera.width].reshape(2, -1).astype(float)
    rays = camera.unproject(np.stack([u, v], 1), np.ones(len(u))) @ T_world_cam[:3, :3].T
    with np.errstate(divide="ignore"):
        inverse = 1.0 / rays
    depth = np.full(len(rays), np.inf)
    for box in [*boxes, *([FLOOR] if floor else [])]:
        low, high = ((np.array(corner) - T_world_cam[:3, 3]) * inverse for corner in box)
        near, far = np.minimum(low, high).max(axis=1), np.maximum(low, high).min(axis=1)
        depth = np.where((near <= far) & (near > 0.05) & (near < depth), near, depth)
    rng = np.random.default_rng(stamp_ns)
    depth += noise * rng.normal(size=len(depth)) * (0.001 + 0.0025 * np.minimum(depth, 20.0) ** 2)
    depth = np.where(depth < 10.0, depth, 0.0).reshape(camera.height, camera.width)
    return Frame(stamp_ns, np.zeros(depth.shape, np.uint8), depth.astype(np.float32), camera)
