"""Corners that move by themselves are known, and not followed."""

import cv2
import numpy as np
from helpers.tracks import CAMERA, picture

from ace_slam_ros.core.config.sections import SensorConfig, TrackerConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    invert_pose,
    transform_points,
)
from ace_slam_ros.core.odometry.frame_alignment import LocalSight
from ace_slam_ros.core.odometry.local_map import LocalMap


def test_corners_that_move_are_known_by_where_they_go():
    """A third of the picture slides by two pixels a frame; its depth is that of the wall."""
    picture_HW = picture(np.random.default_rng(24))
    depth = np.full((480, 640), 2.0, np.float32)
    local = LocalMap(TrackerConfig(), SensorConfig())
    assert local.corner_motion(0) is None
    assert local.add(0, Frame(0, picture_HW, depth, CAMERA), np.eye(4), np.zeros((6, 6)))
    for n in range(1, 11):
        gray = picture_HW.copy()
        gray[100:380, 200 + 2 * n:420 + 2 * n] = picture_HW[100:380, 200:420]
        assert local.refine(Frame(n, gray, depth, CAMERA), np.eye(4)) is not None
    motion = local.corner_motion(0)
    assert motion is not None and (motion.followed_n <= 10).all()
    x, y = CAMERA.project(motion.points_cam_n3).T
    inside = (x > 230) & (x < 390) & (y > 120) & (y < 360)
    outside = (x < 180) | (x > 460) | (y < 80) | (y > 400)
    assert (motion.followed_n[outside] == 10).mean() > 0.9
    found = motion.moving_near(motion.points_cam_n3.astype(np.float32))
    assert found[inside].mean() > 0.9 and not found[outside].any()


def test_corners_on_what_moves_are_not_followed():
    rng = np.random.default_rng(23)
    gray = cv2.GaussianBlur(rng.integers(0, 255, (480, 640), np.uint8), (5, 5), 0)
    depth = np.full((480, 640), 3.0, np.float32)
    depth[:, 200:400] = 1.5
    frame, pose = Frame(0, gray, depth, CAMERA), exp_se3(np.array([0.3, 0, 0.1, 0, 0.4, 0]))

    def standing(points):
        return transform_points(invert_pose(pose), points)[:, 2] > 2.0

    nearest = []
    for tells in (None, standing):
        local = LocalMap(TrackerConfig(), SensorConfig())
        assert local.add(0, frame, pose, np.eye(6), standing=tells)
        nearest.append(local.nearest(pose, 1)[0][1].measured_m_n.min())
    assert nearest[0] < 2.0 < nearest[1]
    local = LocalMap(TrackerConfig(), SensorConfig())
    assert local.add(0, frame, pose, np.eye(6))
    local.leave_movers(pose, standing)  # known later
    keyframe = local.nearest(pose, 1)[0][1]
    sight = LocalSight(SensorConfig(), min_tracks=25)
    index, _ = sight.find(keyframe, sight.points(keyframe), frame, pose)
    assert len(index) > 150 and (local.nearest(pose, 1)[0][1].measured_m_n[index] > 2.0).all()
    local = LocalMap(TrackerConfig(), SensorConfig())
    assert not local.add(0, frame, pose, np.eye(6), standing=lambda p: np.zeros(len(p), bool))
