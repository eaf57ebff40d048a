"""Poses, covariances and velocities between ROS messages and 4x4 matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3

from ...core.errors import DataError
from ...core.geometry.se3 import (
    invert_pose,
    log_se3,
    make_pose,
    quaternion_of_rotation,
    rotation_of_quaternion,
    transport_covariance,
)
from .compat import TF_TRANSFORMATIONS
from .limits import FARTHEST_POSE_M

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

#: Variance written where nothing is known: filters ignore it, unlike 0, which they take as exact.
UNKNOWN_VARIANCE = 1e3
_LEAST_VARIANCE = 1e-9


def pose_to_msg(T_44: Float64Array) -> Pose:
    """Return a 4x4 pose as a message."""
    x, y, z = T_44[:3, 3].tolist()
    qx, qy, qz, qw = _to_quaternion(T_44)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def pose_from_msg(msg: Pose) -> Float64Array:
    """Return a pose message as 4x4.

    Raises:
        DataError: a number is not finite, the position beyond all limits, or the quaternion zero.
    """
    p, q = msg.position, msg.orientation
    return _checked_pose((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def transform_to_msg(T_44: Float64Array) -> Transform:
    """Return a 4x4 pose as a transform message."""
    pose = pose_to_msg(T_44)
    p = pose.position
    return Transform(translation=Vector3(x=p.x, y=p.y, z=p.z), rotation=pose.orientation)


def transform_from_msg(msg: Transform) -> Float64Array:
    """Return a transform message as 4x4.

    Raises:
        DataError: a number is not finite, the position beyond all limits, or the quaternion zero.
    """
    t, q = msg.translation, msg.rotation
    return _checked_pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def _checked_pose(t: tuple[float, ...], q: tuple[float, ...]) -> Float64Array:
    norm = math.sqrt(sum(v * v for v in q))
    if not all(math.isfinite(v) for v in (*t, *q)) or norm < 1e-6:
        raise DataError(f"pose with position {t} and quaternion {q} is no rigid pose")
    if max(abs(v) for v in t) > FARTHEST_POSE_M:
        raise DataError(f"pose with position {t} lies more than {FARTHEST_POSE_M:g} m from the "
                        "origin of its frame")
    return _from_quaternion(np.array(t), np.array(q) / norm)


def _to_quaternion(T_44: Float64Array) -> tuple[float, ...]:
    """Return the unit quaternion xyzw of a 4x4 pose."""
    return TF_TRANSFORMATIONS.answer(
        lambda library: tuple(float(q) for q in library.quaternion_from_matrix(T_44)),
        lambda: quaternion_of_rotation(T_44[:3, :3]))


def _from_quaternion(t_3: Float64Array, q_xyzw_4: Float64Array) -> Float64Array:
    """Return the 4x4 pose of a translation (meters) and a unit quaternion."""
    return TF_TRANSFORMATIONS.answer(
        lambda library: make_pose(
            np.asarray(library.quaternion_matrix(q_xyzw_4), np.float64)[:3, :3], t_3),
        lambda: make_pose(rotation_of_quaternion(q_xyzw_4), t_3))


def covariance_to_msg(covariance_66: Float64Array | None) -> list[float]:
    """Return 36 numbers, symmetric, never zero on the diagonal; unknown = large."""
    if covariance_66 is None or not np.isfinite(covariance_66).all():
        return (np.eye(6) * UNKNOWN_VARIANCE).ravel().tolist()  # type: ignore[no-any-return]
    symmetric = 0.5 * (covariance_66 + covariance_66.T)
    diagonal = np.clip(np.diag(symmetric), _LEAST_VARIANCE, UNKNOWN_VARIANCE)
    np.fill_diagonal(symmetric, diagonal)
    return symmetric.ravel().tolist()  # type: ignore[no-any-return]


def base_covariance(
    covariance_66: Float64Array | None, T_map_cam: Float64Array, T_map_base: Float64Array
) -> Float64Array | None:
    """Move a camera covariance to the base: a rotation error moves the base by the lever arm.

    Args:
        covariance_66: of the camera, axes x y z rx ry rz of the map frame.
        T_map_cam, T_map_base: the two poses.
    """
    if covariance_66 is None:
        return None
    return transport_covariance(covariance_66, T_map_base[:3, 3] - T_map_cam[:3, 3])


def body_velocity(
    T_previous: Float64Array, T_now: Float64Array, dt_s: float
) -> Float64Array:
    """Mean velocity (6,) between two poses in the moving frame: linear m/s, angular rad/s."""
    return log_se3(invert_pose(T_previous) @ T_now) / dt_s
