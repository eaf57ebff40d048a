"""A query image as other cameras would see it: rolled about the optical axis, or from the side.

Descriptors know a place from the side and the way up from which it was mapped. A query from
elsewhere is therefore shown to the encoder as it would look from there: rolled exactly, which
needs no depth, or with its own depth from a camera that has moved around what it looks at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...data.camera import Camera
from ...data.features import Features
from ...data.frame import Frame
from ...geometry.se3 import make_pose
from .synthesis import see_from

if TYPE_CHECKING:
    from ...geometry.arrays import Float64Array

#: Angles about the optical axis that cover a whole turn, likeliest first: people and robots hold
#: cameras upright. Descriptors bear half a step without loss.
ROLLS_RAD = tuple(math.radians(a) for a in (
    0, 30, -30, 60, -60, 90, -90, 180, 120, -120, 150, -150))
#: Yaw and pitch around what is seen, for queries with depth that no roll can place.
ORBITS_RAD = tuple((math.radians(yaw), math.radians(pitch)) for yaw, pitch in (
    (35, 0), (-35, 0), (0, 30), (0, -30)))
#: Image sides are multiples of this, so that a few sizes serve all angles.
_SIDE_PX = 8
#: Side of the middle of an image, as a share of its shorter one. Most of what the rest of it shows
#: leaves the image when it is turned.
_MIDDLE = 0.8
#: Rolls from which the image is taken into a square.
_SQUARE_FROM_RAD = math.radians(20.0)


@dataclass(frozen=True)
class QueryView:
    """What a camera beside the real one sees.

    Attributes:
        frame: its image and depth; `frame.mask` is 0 where the real camera did not look.
        T_cam_view: (4, 4) its pose in the frame of the real camera.
    """

    frame: Frame
    T_cam_view: Float64Array

    def in_camera(self, features: Features, camera: Camera) -> Features:
        """Return features of the view as features of the real camera, pixels and points."""
        R_33, t_3 = self.T_cam_view[:3, :3], self.T_cam_view[:3, 3]
        points_N3 = features.points_cam_N3.astype(np.float64) @ R_33.T + t_3
        seen_N3 = points_N3
        if self.frame.depth_m is None:  # then it has rolled in place, and only rays are known
            rays_N3 = self.frame.camera.unproject(
                features.pixels_N2.astype(np.float64), np.ones(len(features)))
            seen_N3 = rays_N3 @ R_33.T
        return Features(features.descriptors_ND, camera.project(seen_N3).astype(np.float32),
                        points_N3.astype(np.float32))


def rolled(frame: Frame, angle_rad: float, middle: bool = False) -> QueryView:
    """Return what a camera in the same place sees that is rolled by an angle (right-handed).

    Args:
        frame: image, and depth if there is any.
        angle_rad: about the optical axis; the image turns the other way.
        middle: only a square in the middle of it, which is described in half of the time.
    """
    camera = frame.camera
    width, height = (_middle_px(camera),) * 2 if middle else _canvas(camera, angle_rad)
    focal = math.sqrt(camera.fx * camera.fy)
    R_33 = _rotation((0.0, 0.0, angle_rad))
    # the center of the image stays in the center
    center_3 = np.array([((camera.width - 1) / 2 - camera.cx) / camera.fx,
                         ((camera.height - 1) / 2 - camera.cy) / camera.fy, 1.0]) @ R_33
    seen = Camera(width, height, focal, focal, (width - 1) / 2 - focal * center_3[0],
                  (height - 1) / 2 - focal * center_3[1])
    to_source_33 = camera.K_33 @ R_33 @ np.linalg.inv(seen.K_33)
    flags, size = cv2.WARP_INVERSE_MAP, (width, height)
    image = cv2.warpAffine(frame.gray, to_source_33[:2], size, flags=flags | cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REFLECT_101)
    depth_m = None if frame.depth_m is None else np.asarray(cv2.warpAffine(
        frame.depth_m, to_source_33[:2], size, flags=flags | cv2.INTER_NEAREST), np.float32)
    mask = cv2.warpAffine(
        np.full((camera.height, camera.width), 255, np.uint8), to_source_33[:2], size,
        flags=flags | cv2.INTER_NEAREST)
    return QueryView(
        Frame(frame.stamp_ns, np.asarray(image, np.uint8), depth_m, seen,
              np.asarray(mask, np.uint8)),
        make_pose(R_33, np.zeros(3)))


def orbited(
    frame: Frame, yaw_rad: float, pitch_rad: float, middle: bool = False
) -> QueryView | None:
    """Return what a camera sees that has moved around what this one looks at.

    Args:
        frame: with depth, of which the median is the distance of what it looks at.
        yaw_rad, pitch_rad: turn of the camera about the vertical and the horizontal axis of the
            image through that point.
        middle: only a square in the middle of it.

    Returns:
        The view; None without depth.
    """
    if frame.depth_m is None:
        return None
    measured = frame.depth_m[::4, ::4]
    measured = measured[np.isfinite(measured) & (measured > 0.0)]
    if len(measured) == 0:
        return None
    center_3 = np.array([0.0, 0.0, float(np.median(measured))])
    turn_33 = _rotation((0.0, yaw_rad, 0.0)) @ _rotation((pitch_rad, 0.0, 0.0))
    T_cam_view = make_pose(turn_33, center_3 - turn_33 @ center_3)
    seen = frame.camera.without_distortion()
    if middle:
        seen = _middle_of(seen)
    image, depth_m = see_from(frame, T_cam_view, seen)
    return QueryView(Frame(frame.stamp_ns, image, depth_m, seen), T_cam_view)


def _canvas(camera: Camera, angle_rad: float) -> tuple[int, int]:
    """Width and height of a rolled image: one of two, as encoders prepare for each size.

    Corners are cut off where a square as wide as the image does not hold them: a tenth of it,
    which costs less than a square that holds all would.
    """
    if abs(math.remainder(angle_rad, math.pi)) < _SQUARE_FROM_RAD:
        return camera.width, camera.height
    side = _SIDE_PX * math.ceil(max(camera.width, camera.height) / _SIDE_PX)
    return side, side


def _middle_px(camera: Camera) -> int:
    """Side of the square that is the middle of an image."""
    return int(_MIDDLE * min(camera.width, camera.height)) // _SIDE_PX * _SIDE_PX


def _middle_of(camera: Camera) -> Camera:
    """Return the camera that sees only that square."""
    side = _middle_px(camera)
    left, top = (camera.width - side) // 2, (camera.height - side) // 2
    return Camera(side, side, camera.fx, camera.fy, camera.cx - left, camera.cy - top)


def _rotation(vector_3: tuple[float, float, float]) -> Float64Array:
    R_33, _ = cv2.Rodrigues(np.array(vector_3))
    return np.asarray(R_33, np.float64)
