"""Poses and exponentials against brute force."""

import numpy as np
import pytest
from helpers.strategies import twists
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.geometry.se3 import (
    R_BODY_OPTICAL_33,
    exp_se3,
    invert_pose,
    log_se3,
    pose_error,
    pose_from_quaternion,
    quaternion_from_pose,
    quaternion_of_rotation,
    rotation_angle_rad,
    rotation_of_quaternion,
    rotation_vector,
)


def hat(xi):
    W = np.zeros((4, 4))
    W[:3, :3] = [[0, -xi[5], xi[4]], [xi[5], 0, -xi[3]], [-xi[4], xi[3], 0]]
    W[:3, 3] = xi[:3]
    return W


@given(twists)
def test_exponential_equals_the_matrix_series(xi):
    assert np.allclose(exp_se3(xi), expm(hat(xi)), atol=1e-9)


@given(twists)
def test_logarithm_inverts_the_exponential(xi):
    assert np.allclose(log_se3(exp_se3(xi)), xi, atol=1e-6)


@given(twists)
def test_inverse_and_quaternion_round_trip(xi):
    T = exp_se3(xi)
    assert np.allclose(T @ invert_pose(T), np.eye(4), atol=1e-12)
    q = quaternion_from_pose(T)
    assert q[3] >= 0 and np.isclose(np.linalg.norm(q), 1)
    assert np.allclose(pose_from_quaternion(T[:3, 3], q), T, atol=1e-9)


@settings(max_examples=200)
@given(st.lists(st.floats(-6, 6), min_size=3, max_size=3))
def test_rotations_as_scipy_computes_them(vector):
    twin = Rotation.from_rotvec(vector)
    R_33, q_4 = twin.as_matrix(), np.array(twin.as_quat())
    found_4 = np.array(quaternion_of_rotation(R_33))
    assert found_4[3] >= 0.0
    assert min(np.abs(found_4 - q_4).max(), np.abs(found_4 + q_4).max()) < 1e-9
    assert np.allclose(rotation_of_quaternion(q_4), R_33, atol=1e-12)
    assert np.isclose(rotation_angle_rad(R_33), twin.magnitude(), atol=1e-7)
    if twin.magnitude() < 3.1:  # half a turn is to either side
        assert np.allclose(rotation_vector(R_33), twin.as_rotvec(), atol=1e-7)


@pytest.mark.parametrize("quaternion", [[0.0] * 4, [float("nan"), 0.0, 0.0, 1.0]])
def test_a_quaternion_without_direction_is_refused(quaternion):
    with pytest.raises(ValueError, match="no direction"):
        pose_from_quaternion(np.zeros(3), np.array(quaternion))


def test_body_frame_looks_along_x_with_z_up():
    assert np.allclose(R_BODY_OPTICAL_33 @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(R_BODY_OPTICAL_33 @ [0, -1, 0], [0, 0, 1])
    assert np.isclose(np.linalg.det(R_BODY_OPTICAL_33), 1)


@given(st.floats(0.0, 3.1))
def test_pose_error_measures_distance_and_angle(angle):
    T = exp_se3(np.array([0, 0, 0, 0, 0, angle]))
    T[:3, 3] = [0.3, 0.4, 0]
    trans, rot = pose_error(np.eye(4), T)
    assert np.isclose(trans, 0.5) and np.isclose(rot, angle, atol=1e-6)
    assert np.isclose(rotation_angle_rad(T[:3, :3]), angle, atol=1e-6)
