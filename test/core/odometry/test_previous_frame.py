"""A camera is held by the frame before: blurred, without depth, after a step that was not seen."""

import cv2
import numpy as np
import pytest
from helpers.local_maps import LocalParts

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import AlignedPose, SubmapPose
from ace_slam_ros.core.data.submaps import SubmapMotion
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.odometry.motion_model import Motion
from ace_slam_ros.core.odometry.previous_frame import PreviousFrame
from ace_slam_ros.io.open_source import open_source

pytestmark = pytest.mark.render


@pytest.fixture(scope="module")
def poses(room):
    """True poses of the room's frames."""
    return open_source(room).groundtruth.T_map_cam_N44


def previous(config=None):
    config = config or SlamConfig()
    return PreviousFrame(config.tracker, config.sensor, LocalParts(config).aligner)


def known(T_map_cam):
    return AlignedPose(T_map_cam, np.eye(6) * 1e-6, 100, 100)


def blurred(frame):
    return Frame(frame.stamp_ns, cv2.blur(frame.gray, (25, 3)), frame.depth_m, frame.camera)


def bare(frame):
    """Depth in a tenth of the image only."""
    depth = np.zeros_like(frame.depth_m)
    depth[:, :64] = frame.depth_m[:, :64]
    return Frame(frame.stamp_ns, frame.gray, depth, frame.camera)


@pytest.mark.parametrize(("change", "limit_m", "limit_deg"), [
    (lambda frame: frame, 0.003, 0.1), (blurred, 0.01, 0.4), (bare, 0.02, 0.7)])
def test_it_holds_the_camera(room_frames, poses, change, limit_m, limit_deg):
    held = previous()
    for n in (10, 30, 50):
        held.remember(change(room_frames[n]), known(poses[n]), None)
        found = held.align(change(room_frames[n + 1]), SubmapPose(poses[n]), None)
        off_m, off_rad = pose_error(found.T_map_cam, poses[n + 1])
        assert found.held_well and off_m < limit_m and np.rad2deg(off_rad) < limit_deg
        assert np.linalg.eigvalsh(found.covariance_66)[0] > 0


def test_a_frame_that_was_not_held_is_a_step_to_the_next(room_frames, poses):
    held = previous()
    held.remember(room_frames[20], known(poses[20]), None)
    held.bridge(room_frames[22], Motion(poses[20], 2 / 30, poses[22]))
    found = held.align(room_frames[23], SubmapPose(poses[22]), None)
    off_m, _ = pose_error(found.T_map_cam, poses[23])
    assert off_m < 0.005
    assert found.covariance_66[0, 0] > 0.02**2, "how little is known of the step stays in it"


def test_it_follows_a_correction_of_the_map(room_frames, poses):
    move, held = exp_se3(np.array([0.3, -0.2, 0.1, 0.0, 0.2, 0.4])), previous()
    held.remember(room_frames[40], known(poses[40]), None)
    held.correct({0: SubmapMotion(move, 0)})
    found = held.align(room_frames[41], SubmapPose(move @ poses[40]), None)
    assert pose_error(found.T_map_cam, move @ poses[41])[0] < 0.003


def test_it_says_nothing_of_another_camera_or_submap(room_frames, poses):
    held = previous()
    assert held.align(room_frames[0], SubmapPose(poses[0]), None) is None
    held.remember(room_frames[0], known(poses[0]), None)
    assert held.align(room_frames[1], SubmapPose(poses[0], submap=2), None) is None
    assert held.align(room_frames[1].half, SubmapPose(poses[0]), None) is None
    held.clear()
    assert held.align(room_frames[1], SubmapPose(poses[0]), None) is None
