"""Poses, covariances and velocities as messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import exp_se3, make_pose
from ace_slam_ros.ros.messages.poses import (
    UNKNOWN_VARIANCE,
    base_covariance,
    body_velocity,
    covariance_to_msg,
    pose_from_msg,
    pose_to_msg,
    transform_from_msg,
    transform_to_msg,
)

rng = np.random.default_rng(7)


@settings(max_examples=50)
@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_poses_round_trip(xi):
    T_44 = exp_se3(np.array(xi))
    for back in (pose_from_msg(pose_to_msg(T_44)), transform_from_msg(transform_to_msg(T_44))):
        assert np.allclose(back, T_44, atol=1e-9)


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_velocity_is_of_the_moving_frame(xi):
    T_44 = exp_se3(np.array(xi))
    assert np.allclose(body_velocity(T_44, T_44 @ exp_se3(0.5 * np.array(xi[::-1])), 0.5),
                       xi[::-1], atol=1e-6)


def test_impossible_poses_are_refused():
    for field, value in (("x", float("nan")), ("y", float("inf"))):
        msg = pose_to_msg(np.eye(4))
        setattr(msg.position, field, value)
        with pytest.raises(DataError):
            pose_from_msg(msg)
    msg = pose_to_msg(np.eye(4))
    msg.orientation.w = 0.0
    with pytest.raises(DataError):
        pose_from_msg(msg)


def test_covariance_is_never_zero_and_unknown_is_large():
    assert np.diag(np.reshape(covariance_to_msg(None), (6, 6))).tolist() == [UNKNOWN_VARIANCE] * 6
    assert min(np.diag(np.reshape(covariance_to_msg(np.zeros((6, 6))), (6, 6)))) > 0
    broken = np.eye(6)
    broken[0, 0] = np.nan
    assert covariance_to_msg(broken)[0] == UNKNOWN_VARIANCE


def test_base_covariance_like_sampling():
    """Perturb the camera's pose in the map frame and look how far the base moves."""
    T_map_cam = exp_se3(np.array([0.3, -0.2, 0.5, 0.4, 0.9, -0.3]))
    T_map_base = T_map_cam @ exp_se3(np.array([0.5, 0.1, -0.4, 0.2, 0.1, 1.0]))
    A = rng.normal(size=(6, 6)) * 1e-3
    covariance_66 = A @ A.T
    noise = rng.multivariate_normal(np.zeros(6), covariance_66, 40000)
    lever = T_map_base[:3, 3] - T_map_cam[:3, 3]
    turned = Rotation.from_rotvec(noise[:, 3:]).apply(lever)
    moved = np.hstack([noise[:, :3] + turned - lever, noise[:, 3:]])
    found = base_covariance(covariance_66, T_map_cam, T_map_base)
    assert np.allclose(found, np.cov(moved.T), rtol=0.0, atol=3e-7)
    assert base_covariance(None, T_map_cam, T_map_base) is None


def test_velocity_of_a_turning_drive():
    """A circle of radius 2 m at 1 m/s, x forward: 1 m/s forward and 0.5 rad/s to the left."""
    def on_circle(t):
        R = Rotation.from_euler("z", 0.5 * t).as_matrix()
        return make_pose(R, np.array([2 * np.sin(0.5 * t), 2 - 2 * np.cos(0.5 * t), 0.0]))

    velocity = body_velocity(on_circle(3.0), on_circle(3.1), 0.1)
    assert np.allclose(velocity, [1, 0, 0, 0, 0, 0.5], atol=1e-9)
