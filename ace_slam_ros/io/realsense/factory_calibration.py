"""Calibration of librealsense in the terms of ROS, recorded and live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.data.camera import Camera
from ...core.geometry.se3 import make_pose

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

#: Names of lens models, as the ROS driver translates them.
_MODELS = {
    "none": "plumb_bob", "brown conrady": "plumb_bob", "modified brown conrady": "plumb_bob",
    "inverse brown conrady": "plumb_bob", "kannala brandt4": "equidistant"}


def ros_lens_model(name: str) -> str:
    """Return what ROS calls a lens model of librealsense; an unknown one keeps its name."""
    return _MODELS.get(name.replace("_", " ").lower(), name)


def camera_of(intrinsics: Any) -> Camera:
    """Return the camera of `rs.intrinsics`.

    Raises:
        CalibrationError: they are not usable.
    """
    model = str(intrinsics.model).rpartition(".")[2]
    return Camera(
        int(intrinsics.width), int(intrinsics.height), float(intrinsics.fx), float(intrinsics.fy),
        float(intrinsics.ppx), float(intrinsics.ppy), tuple(float(c) for c in intrinsics.coeffs),
        ros_lens_model(model))


def pose_of(extrinsics: Any) -> Float64Array:
    """Return T_b_a (4, 4) of the `rs.extrinsics` from stream a to stream b.

    The library keeps rotations column by column.
    """
    R_33 = np.array(extrinsics.rotation, np.float64).reshape(3, 3).T
    return make_pose(R_33, np.array(extrinsics.translation, np.float64))
