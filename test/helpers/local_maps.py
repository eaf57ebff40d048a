"""The parts of a tracker around its local map, put together as the tracker does it."""

import numpy as np

from ace_slam_ros.core.data.poses import AlignedPose, SubmapPose
from ace_slam_ros.core.odometry.frame_alignment import FrameAligner
from ace_slam_ros.core.odometry.local_map import LocalMap
from ace_slam_ros.core.odometry.local_window import LocalWindow
from ace_slam_ros.core.odometry.robot_parts import RobotParts
from ace_slam_ros.core.tracking.keyframing import KeyframeMaker
from ace_slam_ros.core.tracking.moving_objects import MovingObjects
from ace_slam_ros.core.tracking.pose_averaging import PoseAveraging


class LocalParts:
    """Local map, aligner, window and keyframe maker; `standing` tells what does not move."""

    def __init__(self, config, standing=None):
        self.local = LocalMap()
        self.aligner = FrameAligner(config.tracker, config.sensor, self.local, RobotParts())
        self.window = LocalWindow(config.tracker, config.sensor, self.local, self.aligner)
        self.moving = MovingObjects(config.sensor)
        if standing is not None:
            self.moving.standing = lambda submap: standing
        self._maker = KeyframeMaker(
            config, self.local, self.aligner, self.window, PoseAveraging(config, self.local),
            self.moving)

    def add(self, frame, T_map_cam, covariance_66=None):
        """Make a frame a keyframe; None when it cannot be one."""
        covariance_66 = np.zeros((6, 6)) if covariance_66 is None else covariance_66
        return self._maker.add(frame, AlignedPose(T_map_cam, covariance_66, 0, 0), None, True)

    def pose(self, identifier):
        return self.local[identifier].T_map_cam

    def nearest(self, T_map_cam):
        return self.local.nearest(SubmapPose(T_map_cam))[0][1]
