"""Odometry as a motion prior: its change since the last pose predicts the next one."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers.tracking import new_keyframe, process

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import AlignedPose, SubmapPose
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose
from ace_slam_ros.core.odometry import local_map
from ace_slam_ros.core.odometry.motion_model import MotionModel
from ace_slam_ros.core.tracking.result import TrackerState, TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
MOVE = exp_se3(np.array([0.3, -0.1, 0.2, 0.0, 0.4, 0.1]))  # far more than a frame's usual motion
T_ODOM_CAM = exp_se3(np.array([4.0, -2.0, 0.0, 0.3, 0.2, 1.0]))


def make_frame(number):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    image[0, 0] = number  # no two frames are one picture
    depth_m = np.full((240, 320), 2.0, np.float32)
    return Frame(10**9 + number * 33_000_000, image, depth_m, CAMERA)


@pytest.fixture
def tracker(monkeypatch):
    """A tracker after its first frame, whose refinement notes the poses it is started from."""
    config = SlamConfig().with_values({"device": "cpu"})
    made = Tracker(config, load_encoder(EncoderConfig(), torch.device("cpu")))
    first = TrackingHints(T_odom_cam=T_ODOM_CAM, T_map_cam_first=np.eye(4))
    assert process(made, make_frame(0), first).state is TrackerState.TRACKING
    made.predicted = []

    def align(frame, seed, motion=None, **options):
        made.predicted.append(seed.T_map_cam)

    monkeypatch.setattr(made._aligner, "align", align)
    return made


def odometry(T_odom_cam):
    return TrackingHints(T_odom_cam=T_odom_cam)


def test_odometry_predicts_the_motion(tracker):
    process(tracker, make_frame(1), odometry(T_ODOM_CAM @ MOVE))
    assert np.allclose(tracker.predicted[0], MOVE, atol=1e-9)


def test_a_camera_that_is_held_is_answered_before_the_head_looks(tracker, monkeypatch):
    held = AlignedPose(MOVE, np.eye(6), inliers=60, tracks=100)
    monkeypatch.setattr(tracker._aligner, "align", lambda *a, **k: held)
    process(tracker, make_frame(1))  # from here on it is held
    described = []
    monkeypatch.setattr(tracker._localizer, "describe", described.append)
    result = tracker.track(make_frame(2))
    assert result.T_map_cam is MOVE and result.state is TrackerState.TRACKING and not described
    assert "encode" in tracker.work().stages_ms, "it looks afterwards"


def test_a_camera_that_is_hardly_held_waits_for_the_head(tracker, monkeypatch):
    slipping = AlignedPose(MOVE, np.eye(6), inliers=40, tracks=100)
    monkeypatch.setattr(tracker._aligner, "align", lambda *a, **k: slipping)
    for number in (1, 2):
        result = tracker.track(make_frame(number))
        assert "encode" in result.stages_ms and result.T_map_cam is MOVE
        tracker.work()


def test_drift_of_the_odometry_frame_cancels(tracker, monkeypatch):
    """Only the change since the last pose counts, wherever odometry believes the robot to be."""
    drift = exp_se3(np.array([10.0, 5.0, 0.0, 0.0, 0.0, 2.0]))
    tracker.clear_motion()
    align = tracker._aligner.align
    held = AlignedPose(MOVE, np.eye(6), inliers=60, tracks=100)
    monkeypatch.setattr(tracker._aligner, "align", lambda *a, **k: held)
    guess = replace(odometry(drift @ T_ODOM_CAM), T_map_cam_prior=MOVE)
    assert process(tracker, make_frame(1), guess).T_map_cam is MOVE
    monkeypatch.setattr(tracker._aligner, "align", align)
    process(tracker, make_frame(2), odometry(drift @ T_ODOM_CAM @ MOVE))
    assert np.allclose(tracker.predicted[0], MOVE @ MOVE, atol=1e-9)


@pytest.mark.parametrize("now", [False, True])
def test_without_odometry_the_velocity_is_constant(now):
    """Also while odometry begins: it says something only from the second time on."""
    model = MotionModel(constant_velocity=True)
    for number in range(3):
        model.observe_odometry(None)
        step = exp_se3(np.array([0.02 * number, 0, 0, 0, 0, 0.01 * number]))
        model.moved(10**9 + number * 33_000_000, SubmapPose(step))
    model.observe_odometry(T_ODOM_CAM if now else None)
    expected = exp_se3(np.array([0.06, 0, 0, 0, 0, 0.03]))
    predicted = model.predict(10**9 + 3 * 33_000_000)
    assert np.allclose(predicted.T_map_cam, expected, atol=1e-3)


def test_after_a_clock_jump_nothing_is_predicted(tracker):
    tracker.clear_motion()
    process(tracker, make_frame(1), odometry(T_ODOM_CAM @ MOVE))
    assert not tracker.predicted


def test_a_guess_goes_before_odometry(tracker):
    guess = invert_pose(MOVE)
    process(tracker, make_frame(1), replace(odometry(T_ODOM_CAM @ MOVE), T_map_cam_prior=guess))
    assert np.allclose(tracker.predicted[0], guess)


def test_the_reference_of_a_new_keyframe_outlives_the_one_that_makes_room(monkeypatch):
    monkeypatch.setattr(local_map, "_MAX_KEYFRAMES", 12)
    config = SlamConfig().with_values({"device": "cpu", "tracker.window": 0})
    tracker = Tracker(config, load_encoder(EncoderConfig(), torch.device("cpu")))
    process(tracker, make_frame(0), TrackingHints(T_map_cam_first=np.eye(4)))
    # away from the first keyframe, and back to the place beside it: the two are the most alike
    ways_m = [0.5 * k for k in range(1, 12)] + [0.25]
    keyframes = []
    for number, way_m in enumerate(ways_m, start=1):
        pose = exp_se3(np.array([way_m, 0, 0, 0, 0, 0]))
        held = AlignedPose(pose, np.eye(6), inliers=60, tracks=100)
        monkeypatch.setattr(tracker._aligner, "align", lambda *a, held=held, **k: held)
        keyframes += [new_keyframe(process(tracker, make_frame(number)))]
    assert len(tracker._local) == 12 and None not in keyframes
    identifier, T_reference_cam = keyframes[-1].reference
    assert identifier == 0 and np.allclose(T_reference_cam, pose)
