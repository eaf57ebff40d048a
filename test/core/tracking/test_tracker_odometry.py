"""Odometry as a motion prior: its change since the last pose predicts the next one."""

import cv2
import numpy as np
import pytest
import torch

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import RefinedPose
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose
from ace_slam_ros.core.odometry import local_map
from ace_slam_ros.core.tracking.tracker import Tracker, TrackerState

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
MOVE = exp_se3(np.array([0.3, -0.1, 0.2, 0.0, 0.4, 0.1]))  # far more than a frame's usual motion
T_ODOM_CAM = exp_se3(np.array([4.0, -2.0, 0.0, 0.3, 0.2, 1.0]))


def make_frame(number):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    depth_m = np.full((240, 320), 2.0, np.float32)
    return Frame(10**9 + number * 33_000_000, image, depth_m, CAMERA)


@pytest.fixture
def tracker(monkeypatch):
    """A tracker after its first frame, whose refinement notes the poses it is started from."""
    config = SlamConfig().with_values({"device": "cpu"})
    made = Tracker(config, load_encoder(EncoderConfig(), torch.device("cpu")))
    made.set_odometry(T_ODOM_CAM)
    assert made.process(make_frame(0)).state is TrackerState.TRACKING
    made.predicted = []

    def refine(frame, T_map_cam, motion=None, **options):
        made.predicted.append(T_map_cam)

    monkeypatch.setattr(made._local, "refine", refine)
    return made


def test_odometry_predicts_the_motion(tracker):
    tracker.set_odometry(T_ODOM_CAM @ MOVE)
    tracker.process(make_frame(1))
    assert np.allclose(tracker.predicted[0], MOVE, atol=1e-9)


def test_a_camera_that_is_held_is_answered_before_the_head_runs(tracker, monkeypatch):
    held = RefinedPose(MOVE, np.eye(6), inliers=60, tracks=100)
    monkeypatch.setattr(tracker._local, "refine", lambda *a, **k: held)
    order, described = [], tracker._localizer.describe
    monkeypatch.setattr(tracker._localizer, "describe",
                        lambda frame: order.append("head") or described(frame))
    result = tracker.process(make_frame(1), lambda pose, _: order.append(pose))
    assert order[0] is MOVE and order[1] == "head" and len(order) == 2
    assert result.T_map_cam is MOVE and result.state is TrackerState.TRACKING


def test_a_camera_that_is_hardly_held_waits_for_the_head(tracker, monkeypatch):
    slipping = RefinedPose(MOVE, np.eye(6), inliers=40, tracks=100)
    monkeypatch.setattr(tracker._local, "refine", lambda *a, **k: slipping)
    answers = []
    result = tracker.process(make_frame(1), lambda *posed: answers.append(posed))
    assert not answers and result.T_map_cam is MOVE


def test_drift_of_the_odometry_frame_cancels(tracker):
    """Only the change since the last pose counts, wherever odometry believes the robot to be."""
    drift = exp_se3(np.array([10.0, 5.0, 0.0, 0.0, 0.0, 2.0]))
    tracker.clear_motion()
    tracker.set_odometry(drift @ T_ODOM_CAM)
    tracker._moved(make_frame(1).stamp_ns, MOVE)
    tracker.set_odometry(drift @ T_ODOM_CAM @ MOVE)
    tracker.process(make_frame(2))
    assert np.allclose(tracker.predicted[0], MOVE @ MOVE, atol=1e-9)


@pytest.mark.parametrize("gap", ["now", "before", "jump"])
def test_without_odometry_the_velocity_is_constant(tracker, gap):
    if gap == "now":
        tracker.set_odometry(None)
    elif gap == "before":
        tracker.set_odometry(None)
        tracker._moved(make_frame(0).stamp_ns, np.eye(4))
        tracker.set_odometry(T_ODOM_CAM @ MOVE)
    else:
        tracker.clear_motion()
        tracker.set_odometry(T_ODOM_CAM @ MOVE)
    tracker.process(make_frame(1))
    if gap == "jump":
        assert not tracker.predicted, "after a clock jump nothing is known"
    else:
        assert np.allclose(tracker.predicted[0], np.eye(4), atol=1e-9)


def test_a_guess_goes_before_odometry(tracker):
    guess = invert_pose(MOVE)
    tracker.set_odometry(T_ODOM_CAM @ MOVE)
    tracker.set_prior(guess)
    tracker.process(make_frame(1))
    assert np.allclose(tracker.predicted[0], guess)


def test_the_reference_of_a_new_keyframe_outlives_the_one_that_makes_room(monkeypatch):
    monkeypatch.setattr(local_map, "_MAX_KEYFRAMES", 12)
    config = SlamConfig().with_values({"device": "cpu", "tracker.window": 0})
    tracker = Tracker(config, load_encoder(EncoderConfig(), torch.device("cpu")))
    tracker.process(make_frame(0))
    # away from the first keyframe, and back to the place beside it: the two are the most alike
    ways_m = [0.5 * k for k in range(1, 12)] + [0.25]
    keyframes = []
    for number, way_m in enumerate(ways_m, start=1):
        pose = exp_se3(np.array([way_m, 0, 0, 0, 0, 0]))
        held = RefinedPose(pose, np.eye(6), inliers=60, tracks=100)
        monkeypatch.setattr(tracker._local, "refine", lambda *a, held=held, **k: held)
        keyframes += [tracker.process(make_frame(number)).keyframe]
    assert len(tracker._local) == 12 and None not in keyframes
    identifier, T_reference_cam = keyframes[-1].reference
    assert identifier == 0 and np.allclose(T_reference_cam, pose)
