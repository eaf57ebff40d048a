"""Whether depth is registered to color, in recordings and live, and what is done if not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...core.data.camera import Camera, nearest_map
from ...core.geometry.frame_names import frame_name
from .warp import register_depth

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float32Image, Float64Array

#: Calibrations of one image differ by less: shares of the focal length and of the width.
_SAME_FOCAL, _SAME_CENTER = 0.01, 0.01
#: Cameras nearer to each other than this, and turned by less, see the same: meters, radians.
_SAME_PLACE_M, _SAME_PLACE_RAD = 1e-3, 1e-3
ALIGN = "let the driver align depth to color (align_depth.enable:=true, depth_registration)"


@dataclass(frozen=True)
class View:
    """From where images are taken: optical frame, and camera where it is known."""

    frame: str
    camera: Camera | None = None


@dataclass(frozen=True)
class Registration:
    """How depth comes into the color image.

    Attributes:
        depth_camera: as its images are, with distortion.
        color_camera: without distortion.
        T_color_depth: (4, 4) pose of the depth camera in the color camera.
    """

    depth_camera: Camera
    color_camera: Camera
    T_color_depth: Float64Array

    def apply(self, depth_m: Float32Image) -> Float32Image:
        """Return depth (H, W) in meters as the color camera sees it, rectified."""
        if self.depth_camera.is_distorted:
            depth_m = np.asarray(cv2.remap(  # type: ignore[call-overload]
                depth_m, nearest_map(self.depth_camera), None, cv2.INTER_NEAREST), np.float32)
        return register_depth(depth_m, self.depth_camera.without_distortion(),
                              self.color_camera, self.T_color_depth)


def registration_of(
    color: View, depth: View, T_color_depth: Float64Array | None
) -> tuple[Registration | None, str]:
    """Judge whether depth must be moved to the color image, and whether that can be done.

    Args:
        color: its frame, and its camera.
        depth: its frame, and its camera where its own camera_info is known.
        T_color_depth: (4, 4) pose of the depth camera in the color camera, None if unknown.

    Returns:
        (the registration, what is said of it): (None, "") when depth is registered already as
        far as is known; (None, text) when it is not and stays so.
    """
    apart = frames_apart(color.frame, depth.frame)
    if apart and T_color_depth is not None and _same_place(T_color_depth):
        apart = ""
    other = depth.camera is not None and color.camera is not None and not _same_camera(
        color.camera, depth.camera)
    if not apart and not other:
        return None, ""
    why = apart or "depth and color have other intrinsics"
    if color.camera is None or depth.camera is None:
        return None, (f"depth is not registered to color: {why}, and the camera_info of the depth "
                      f"image is unknown; {ALIGN}, or send depth/camera_info")
    if apart and T_color_depth is None:
        return None, (f"depth is not registered to color: {why}, and TF does not know the way "
                      f"between them; {ALIGN}, or send its TF")
    T_44 = np.eye(4) if T_color_depth is None else T_color_depth
    moved_m = float(np.linalg.norm(T_44[:3, 3]))
    return Registration(depth.camera, color.camera.without_distortion(), T_44), (
        f"{why}: it is registered with both calibrations and TF, {100 * moved_m:.1f} cm apart")


def frames_apart(color_frame: str, depth_frame: str) -> str:
    """Say that two images are in different frames; empty where they are not, or do not say."""
    color, depth = frame_name(color_frame), frame_name(depth_frame)
    if not (color and depth) or color == depth:
        return ""
    return f"depth is in frame '{depth}', color in '{color}'"


def _same_place(T_44: Float64Array) -> bool:
    angle = np.arccos(np.clip((np.trace(T_44[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))
    return bool(np.linalg.norm(T_44[:3, 3]) < _SAME_PLACE_M and angle < _SAME_PLACE_RAD)


def _same_camera(a: Camera, b: Camera) -> bool:
    """Tell whether two calibrations are of one image; of another size they never are."""
    if (a.width, a.height) != (b.width, b.height):
        return False
    focal = max(abs(a.fx - b.fx) / a.fx, abs(a.fy - b.fy) / a.fy)
    center = max(abs(a.cx - b.cx), abs(a.cy - b.cy)) / a.width
    return focal < _SAME_FOCAL and center < _SAME_CENTER
