"""A tracker's keyframes carry scans, made after the pose, where the floor is known."""

import cv2
import numpy as np
import pytest
import torch
from helpers.floors import CAMERA

from ace_slam_ros.core.config.navigation import GridConfig
from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose
from ace_slam_ros.core.tracking.result import TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker

MOUNT = make_pose(R_BODY_OPTICAL_33, np.array([0.1, 0.0, 0.5]))


def scans(hints, values=None):
    """The scans of the first keyframe before a wall two meters ahead."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    frame = Frame(10**9, image, np.full((240, 320), 2.0, np.float32), CAMERA)
    config = SlamConfig().with_values({"device": "cpu"} | (values or {}))
    tracker = Tracker(config, load_encoder(EncoderConfig(), torch.device("cpu")))
    assert not tracker.track(frame, hints).keyframes
    return [k.scan for k in tracker.work().keyframes]


def test_a_mounted_camera_scans_at_once():
    (scan,) = scans(TrackingHints(T_map_cam_first=MOUNT, T_base_cam=MOUNT))
    ahead = scan.ranges_mm_K * np.cos(scan.bearings_K)
    assert np.abs(ahead - 2000).max() < 5 and scan.floor_4[3] == pytest.approx(0.5)
    assert scan.bearings_K[0] == pytest.approx(-scan.bearings_K[-1], abs=0.01)


@pytest.mark.parametrize(("hints", "values"), [
    (TrackingHints(), {}), (TrackingHints(T_base_cam=MOUNT), {"grid.enabled": False})])
def test_no_floor_or_no_wish_is_no_scan(hints, values):
    assert scans(hints, values) == [None]


def test_heights_that_exclude_everything_are_refused():
    with pytest.raises(ConfigError, match=r"grid.highest_m=0.3 is not above grid.lowest_m=0.4"):
        GridConfig(lowest_m=0.4, highest_m=0.3)
