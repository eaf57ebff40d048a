"""Poses, exponentials and rigid alignment against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.optimize import minimize

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import CalibrationError
from ace_slam_ros.core.geometry.rigid_alignment import kabsch, kabsch_batch
from ace_slam_ros.core.geometry.se3 import (
    R_BODY_OPTICAL_33,
    exp_se3,
    invert_pose,
    log_se3,
    pose_error,
    pose_from_quaternion,
    quaternion_from_pose,
    rotation_angle_rad,
    transform_points,
)

small = st.floats(-1.5, 1.5)
twists = st.tuples(small, small, small, small, small, small).map(np.array)


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


@given(twists, st.integers(0, 1000))
def test_kabsch_recovers_a_pose_exactly(xi, seed):
    rng = np.random.default_rng(seed)
    T = exp_se3(xi)
    points = rng.normal(size=(12, 3))
    found = kabsch(points, transform_points(T, points), rng.uniform(0.1, 1, 12))
    assert np.allclose(found, T, atol=1e-8)
    assert np.isclose(np.linalg.det(found[:3, :3]), 1)


def test_weighted_kabsch_reaches_the_minimum_that_a_search_finds():
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(2, 9, 3))
    weights = rng.uniform(0.1, 2.0, 9)

    def cost(T):
        return float(weights @ np.square(target - transform_points(T, source)).sum(axis=1))

    found = kabsch(source, target, weights)
    searched = min(
        minimize(lambda xi: cost(exp_se3(xi)), rng.normal(size=6), method="BFGS").fun
        for _ in range(8))
    assert cost(found) <= searched + 1e-6


def test_batched_kabsch_equals_one_by_one():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 40, 3, 3))
    for T, s, t in zip(kabsch_batch(a, b), a, b, strict=True):
        assert np.allclose(T, kabsch(s, t), atol=1e-7)


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


@given(st.floats(0.3, 5), st.floats(0, 639), st.floats(0, 479))
def test_unprojection_inverts_projection(depth, u, v):
    camera = Camera(640, 480, 520, 521, 319, 241)
    point = camera.unproject(np.array([[u, v]]), np.array([depth]))
    assert np.allclose(camera.project(point), [[u, v]], atol=1e-9)
    assert point[0, 2] == depth


def test_impossible_cameras_are_refused_with_the_fix():
    with pytest.raises(CalibrationError, match="calibrate"):
        Camera(640, 480, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(CalibrationError, match="unknown distortion"):
        Camera(640, 480, 500, 500, 320, 240, (0.1,), "magic")
    with pytest.raises(CalibrationError, match="positive"):
        Camera(0, 480, 500, 500, 320, 240)
