"""Rigid-body geometry: poses as 4x4 float64 camera-to-map matrices, quaternions xyzw.

In closed forms of our own where SciPy has the same: it pays for arrays of rotations, ten times as
much for one, and a frame needs dozens. The tests compare the two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .arrays import Float64Array

#: Rotation from the optical frame (x right, y down, z forward) to the body frame of REP 103
#: (x forward, y left, z up): p_body = R_body_optical @ p_optical.
R_BODY_OPTICAL_33: Float64Array = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], np.float64)


def make_pose(R_33: Float64Array, t_3: Float64Array) -> Float64Array:
    """Return the 4x4 pose of a rotation matrix (3, 3) and a translation (3,) in meters."""
    T_44 = np.eye(4)
    T_44[:3, :3] = R_33
    T_44[:3, 3] = t_3
    return T_44


#: Pose of the optical frame in the body frame of the same camera: where nothing is known of its
#: place on a robot, this is its first pose in a map, so that the map's z axis points up.
T_BODY_OPTICAL: Float64Array = make_pose(R_BODY_OPTICAL_33, np.zeros(3))


def invert_pose(T_44: Float64Array) -> Float64Array:
    """Return the inverse of a rigid 4x4 pose."""
    R_33 = T_44[:3, :3].T
    return make_pose(R_33, -R_33 @ T_44[:3, 3])


def transform_points(T_44: Float64Array, points_N3: Float64Array) -> Float64Array:
    """Apply a 4x4 pose to points (N, 3)."""
    return points_N3 @ T_44[:3, :3].T + T_44[:3, 3]


def pose_from_quaternion(t_3: Float64Array, q_xyzw_4: Float64Array) -> Float64Array:
    """Return the 4x4 pose of a translation (3,) meters and a quaternion (4,) in xyzw order.

    Raises:
        ValueError: the quaternion is zero or not finite.
    """
    q_4 = np.asarray(q_xyzw_4, np.float64)
    norm = math.sqrt(float(q_4 @ q_4))
    if not (math.isfinite(norm) and norm > 0.0):
        raise ValueError(f"quaternion {q_4.tolist()} has no direction")
    return make_pose(rotation_of_quaternion(q_4 / norm), np.asarray(t_3, np.float64))


def rotation_of_quaternion(q_xyzw_4: Float64Array) -> Float64Array:
    """Return the rotation (3, 3) of a unit quaternion (4,) xyzw."""
    x, y, z, w = q_xyzw_4.tolist()
    return np.array([
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
        [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
        [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)]])


def quaternion_of_rotation(R_33: Float64Array) -> tuple[float, float, float, float]:
    """Return the unit quaternion xyzw, w >= 0, of a rotation (3, 3).

    Source: Shepperd, Quaternion from rotation matrix, 1978.
    """
    (a, b, c), (d, e, f), (g, h, i) = R_33.tolist()
    choices = (a - e - i, e - a - i, i - a - e, a + e + i)
    largest = choices.index(max(choices))
    q = (
        (1.0 + choices[0], b + d, c + g, h - f), (b + d, 1.0 + choices[1], f + h, c - g),
        (c + g, f + h, 1.0 + choices[2], d - b), (h - f, c - g, d - b, 1.0 + choices[3]),
    )[largest]
    norm = math.copysign(math.sqrt(sum(v * v for v in q)), q[3])
    return q[0] / norm, q[1] / norm, q[2] / norm, q[3] / norm


def quaternion_from_pose(T_44: Float64Array) -> Float64Array:
    """Return the unit quaternion (4,) xyzw, w >= 0, of a 4x4 pose."""
    return np.array(quaternion_of_rotation(T_44[:3, :3]))


def rotation_vector(R_33: Float64Array) -> Float64Array:
    """Return axis times angle (3,), radians in [0, pi], of a rotation (3, 3)."""
    x, y, z, w = quaternion_of_rotation(R_33)
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 * math.atan2(sine, w) / sine if sine > 1e-9 else 2.0
    return np.array([x * scale, y * scale, z * scale])


def exp_se3(xi_6: Float64Array) -> Float64Array:
    """Exponential of a twist (6,): translation part first (meters), then rotation (radians)."""
    omega = np.asarray(xi_6[3:], np.float64)
    angle = float(np.linalg.norm(omega))
    W = np.array([
        [0.0, -omega[2], omega[1]], [omega[2], 0.0, -omega[0]], [-omega[1], omega[0], 0.0]
    ])
    if angle < 1e-8:
        a, b, c = 1.0, 0.5, 1.0 / 6.0
    else:
        a = np.sin(angle) / angle
        b = (1.0 - np.cos(angle)) / angle**2
        c = (1.0 - a) / angle**2
    V_33 = np.eye(3) + b * W + c * (W @ W)
    return make_pose(np.eye(3) + a * W + b * (W @ W), V_33 @ np.asarray(xi_6[:3], np.float64))


def pose_errors_in_map(T_N44: Float64Array, T_true_N44: Float64Array) -> Float64Array:
    """Translation and rotation errors (N, 6) along and about the axes of the map."""
    rotation_N33 = T_N44[:, :3, :3] @ np.swapaxes(T_true_N44[:, :3, :3], 1, 2)
    turned_N3 = np.array([rotation_vector(R_33) for R_33 in rotation_N33]).reshape(-1, 3)
    return np.concatenate([T_N44[:, :3, 3] - T_true_N44[:, :3, 3], turned_N3], axis=1)


def log_se3(T_44: Float64Array) -> Float64Array:
    """Logarithm of a rigid pose: twist (6,), translation part first, inverse of `exp_se3`."""
    omega = rotation_vector(T_44[:3, :3])
    angle = math.sqrt(float(omega @ omega))
    # The coefficient tends to 1/12, which the formula cannot reach: 0/0.
    rest = (1.0 - 0.5 * angle / math.tan(0.5 * angle)) / angle**2 if angle > 1e-4 else 1.0 / 12.0
    t_3 = T_44[:3, 3]
    turned_3 = cross(omega, t_3)
    return np.concatenate([t_3 - 0.5 * turned_3 + rest * cross(omega, turned_3), omega])


def cross(a_3: Float64Array, b_3: Float64Array) -> Float64Array:
    """Cross product of two vectors (3,); NumPy's takes ten times as long."""
    (a, b, c), (d, e, f) = a_3.tolist(), b_3.tolist()
    return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


def cross_matrices(v_n3: Float64Array) -> Float64Array:
    """Return (n, 3, 3) matrices with M @ w = v x w."""
    M = np.zeros((len(v_n3), 3, 3))
    M[:, 0, 1], M[:, 0, 2] = -v_n3[:, 2], v_n3[:, 1]
    M[:, 1, 0], M[:, 1, 2] = v_n3[:, 2], -v_n3[:, 0]
    M[:, 2, 0], M[:, 2, 1] = -v_n3[:, 1], v_n3[:, 0]
    return M


def transport_covariance(covariance_66: Float64Array, arm_3: Float64Array) -> Float64Array:
    """Covariance (6, 6) of a pose that is rigidly joined to one `arm_3` meters before it.

    Both in map axes; a rotation error of the one moves the other across the arm.
    """
    J = np.eye(6)
    J[:3, 3:] = -cross_matrices(arm_3[None])[0]
    return np.asarray(J @ covariance_66 @ J.T)


def rotation_angle_rad(R_33: Float64Array) -> float:
    """Angle of a rotation matrix in radians, in [0, pi]."""
    x, y, z, w = quaternion_of_rotation(R_33)
    return 2.0 * math.atan2(math.sqrt(x * x + y * y + z * z), w)


def pose_error(T_a_44: Float64Array, T_b_44: Float64Array) -> tuple[float, float]:
    """Distance between two poses: (translation in meters, rotation in radians)."""
    translation_m = float(np.linalg.norm(T_a_44[:3, 3] - T_b_44[:3, 3]))
    return translation_m, rotation_angle_rad(T_a_44[:3, :3].T @ T_b_44[:3, :3])
