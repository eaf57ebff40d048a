"""The motion model: a correction is no motion, and a place is remembered for a second."""

import numpy as np
import pytest

from ace_slam_ros.core.data.poses import AlignedPose, SubmapPose
from ace_slam_ros.core.data.submaps import SubmapMotion
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.odometry.motion_model import Motion, MotionModel

MOVE = exp_se3(np.array([0.3, -0.1, 0.2, 0.0, 0.4, 0.1]))  # far more than a frame's usual motion


def test_a_correction_is_no_motion():
    model = MotionModel(constant_velocity=True)
    model.moved(0, SubmapPose(np.eye(4)))
    model.moved(100_000_000, SubmapPose(exp_se3(np.array([0.01, 0, 0, 0, 0, 0]))))
    far = SubmapPose(exp_se3(np.array([5.0, 0, 0, 0, 0, 0])))
    model.moved(200_000_000, far, corrected=True)
    assert np.allclose(model.predict(300_000_000).T_map_cam[:3, 3], [5.01, 0, 0])
    assert model.traveled_m == pytest.approx(0.01)


def test_where_a_camera_was_lost_is_known_for_a_second_and_follows_corrections():
    model = MotionModel(constant_velocity=True)
    model.moved(0, SubmapPose(np.eye(4)))
    model.lose()
    assert model.last is None and model.predict(10**8) is None
    model.correct({0: SubmapMotion(MOVE, 2), 1: SubmapMotion(np.eye(4), 0)})
    near = model.nearby(10**9)
    assert np.allclose(near.T_map_cam, MOVE) and near.submap == 2
    assert model.nearby(10**9 + 1) is None and model.nearby(-1) is None
    model.clear()
    assert model.nearby(10**8) is None


def test_a_pose_held_by_little_is_weighed_against_the_motion_before():
    """The more it doubts itself the less it counts; the way before goes on by a part."""
    predicted = exp_se3(np.array([0.02, 0.0, 0.0, 0.0, 0.05, 0.0]))
    motion = Motion(np.eye(4), 1 / 30, predicted)
    found = exp_se3(np.array([0.3, 0.0, 0.0, 0.0, 0.05, 0.0]))
    x = [motion.steady(AlignedPose(found, np.eye(6) * sigma**2, 30, 60)).T_map_cam[0, 3]
         for sigma in (1e-6, 1e-3, 1e-2, 1.0)]
    assert x[0] == pytest.approx(found[0, 3], abs=1e-3)
    assert x == sorted(x, reverse=True) and x[1] - x[2] > 0.1
    assert x[3] == pytest.approx(0.8 * predicted[0, 3], abs=1e-3)
    turned = motion.steady(AlignedPose(found, np.eye(6) * 1e-12, 30, 60)).T_map_cam
    assert np.allclose(turned[:3, :3], found[:3, :3], atol=1e-6)


def test_the_longer_ago_the_less_is_known_of_where_a_camera_went():
    short, long = (Motion(np.eye(4), s, np.eye(4)).sigma_6 for s in (1 / 30, 0.1))
    assert np.allclose(long, 9 * short) and short[0] == pytest.approx(0.006)


def test_a_moving_camera_is_less_sure_along_its_motion_alone():
    """In map axes, whatever way the camera looks; one that stands still, or just came, is not."""
    model = MotionModel(constant_velocity=True, stamp_sigma_s=0.02)
    covariance = np.diag([1e-6, 2e-6, 3e-6, 1e-7, 2e-7, 3e-7])
    assert np.array_equal(model.reported(covariance), covariance)
    looks = exp_se3(np.array([1.0, 2.0, 3.0, 0.0, np.pi / 2, 0.0]))  # its z axis is the map's x
    model.moved(0, SubmapPose(looks))
    assert np.array_equal(model.reported(covariance), covariance)
    step = exp_se3(np.array([0.0, 0.0, 0.05, 0.03, 0.0, 0.0]))  # 0.5 m/s ahead, 0.3 rad/s about x
    model.moved(100_000_000, SubmapPose(looks @ step))
    added = model.reported(covariance) - covariance
    expected = 0.02 * np.array([0.5, 0.0, 0.0, 0.0, 0.0, -0.3])
    assert np.allclose(np.sqrt(np.diag(added)), np.abs(expected), atol=3e-4)
    assert np.linalg.matrix_rank(added, tol=1e-12) == 1 and added[0, 5] < 0.0
    assert np.linalg.eigvalsh(model.reported(covariance))[0] > 0.0
    model.moved(200_000_000, SubmapPose(looks @ step))
    assert np.allclose(model.reported(covariance), covariance)
