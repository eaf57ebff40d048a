"""What the tracker publishes while TRACKING: pose, odometry, path, TF. Nothing while LOST."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import (
    PoseWithCovariance,
    PoseWithCovarianceStamped,
    Twist,
    TwistWithCovariance,
    Vector3,
)
from nav_msgs.msg import Odometry, Path
from rclpy.node import Node

from ...core.data.submaps import MAIN_SUBMAP
from ...core.geometry.se3 import invert_pose
from ...core.tracking.result import TrackerState
from ..messages.conversions import make_header
from ..messages.poses import (
    UNKNOWN_VARIANCE,
    base_covariance,
    body_velocity,
    covariance_to_msg,
    pose_to_msg,
)
from ..qos import latched_qos, reliable_qos
from ..tf.map_transform import MapTransform
from .path_topic import PosePath

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ...core.tracking.result import TrackResult
    from ..config import RosConfig
    from ..tf.interface import Transforms

_NS = 1_000_000_000
#: Poses further apart than this say nothing about the velocity between them.
_LONGEST_STEP_NS = _NS // 2
_PATH_PERIOD_S = 0.5


class PoseOutput:
    """Publishes tracked poses of the base in the map, as topics and through `tf`."""

    def __init__(self, node: Node, config: RosConfig, transforms: Transforms) -> None:
        self._node, self._config = node, config
        self._pose = node.create_publisher(PoseWithCovarianceStamped, "pose", latched_qos())
        self._odometry = node.create_publisher(Odometry, "odometry", reliable_qos())
        self._path = node.create_publisher(Path, "path", latched_qos())
        self._poses = PosePath()
        self._path_due_s = 0.0
        self._previous: tuple[int, Float64Array, Float64Array | None] | None = None
        self._frame = config.map_frame
        self.tf = MapTransform(node, config, transforms)

    def show(self, result: TrackResult, T_base_cam: Float64Array) -> None:
        """Publish the pose of the base that a tracked camera gives, or stop when it is lost."""
        if result.T_map_cam is not None:
            T_map_base = result.T_map_cam @ invert_pose(T_base_cam)
            covariance_66 = base_covariance(result.covariance_66, result.T_map_cam, T_map_base)
            self.publish(result.stamp_ns, T_map_base, covariance_66, result.submap)
        elif result.state is TrackerState.LOST:
            self.interrupt()

    def publish(
        self, stamp_ns: int, T_map_base: Float64Array, covariance_66: Float64Array | None,
        submap: int = MAIN_SUBMAP,
    ) -> None:
        """Publish one tracked pose of the base with its covariance (ROS order, map axes).

        In an unjoined submap the place in the map is unknown: the odometry goes on alone. Its
        velocity is as good as any; its pose is in a frame that no TF knows, so that nobody takes
        it for one in the map.
        """
        unjoined = submap != MAIN_SUBMAP
        frame = self._config.map_frame + (f"_submap_{submap}" if unjoined else "")
        if frame != self._frame:  # the step between two frames is no motion
            self._frame, self._previous = frame, None
        header = make_header(stamp_ns, frame)
        pose = PoseWithCovariance(
            pose=pose_to_msg(T_map_base), covariance=covariance_to_msg(covariance_66))
        if self._odometry.get_subscription_count():  # nobody can hear an old one later
            self._odometry.publish(Odometry(
                header=header, child_frame_id=self._config.base_frame, pose=pose,
                twist=self._twist(stamp_ns, T_map_base, covariance_66)))
        self._previous = (stamp_ns, T_map_base, covariance_66)
        if unjoined:
            self.tf.interrupt()
            return
        self._pose.publish(PoseWithCovarianceStamped(header=header, pose=pose))
        self._poses.add(header, pose.pose)
        if time.monotonic() >= self._path_due_s:
            self._path_due_s = time.monotonic() + _PATH_PERIOD_S
            self._path.publish(self._poses.serialized(header))
        self.tf.show(stamp_ns, T_map_base)

    def _twist(
        self, stamp_ns: int, T_map_base: Float64Array, covariance_66: Float64Array | None
    ) -> TwistWithCovariance:
        """Velocity in the base frame from the last two poses; unknown after a gap."""
        velocity, variance_66 = np.zeros(6), None
        previous = self._previous  # a time jump clears it from the executor's thread
        if previous is not None:
            before_ns, T_before, covariance_before_66 = previous
            if 0 < stamp_ns - before_ns < _LONGEST_STEP_NS:
                dt_s = (stamp_ns - before_ns) / _NS
                velocity = body_velocity(T_before, T_map_base, dt_s)
                if covariance_66 is not None and covariance_before_66 is not None:
                    R_66 = np.zeros((6, 6))
                    R_66[:3, :3] = R_66[3:, 3:] = T_map_base[:3, :3].T
                    total_66 = covariance_66 + covariance_before_66
                    variance_66 = R_66 @ total_66 @ R_66.T / dt_s**2
                else:
                    variance_66 = np.eye(6) * UNKNOWN_VARIANCE
        vx, vy, vz, wx, wy, wz = velocity.tolist()
        return TwistWithCovariance(
            twist=Twist(linear=Vector3(x=vx, y=vy, z=vz), angular=Vector3(x=wx, y=wy, z=wz)),
            covariance=covariance_to_msg(variance_66))

    def values(self) -> dict[str, object]:
        """Return what diagnostics show."""
        lag_s = self.tf.odometry.lag_s()
        return {"tf": self.tf.mode, "odometry_used": self.tf.odometry_used,
                "odometry_lag_s": "unknown" if lag_s is None else lag_s,
                "map_jump_left_m": self.tf.slew.left_m}

    def interrupt(self) -> None:
        """Stop repeating TF and forget the velocity: LOST, paused, or a time jump."""
        self._previous = None
        self.tf.interrupt()

    def map_moved(self) -> None:
        """Forget the velocity: the step to the next pose holds a correction of the map as well.

        The robot did not move, so that odom -> base goes on; map -> odom takes the correction.
        """
        self._previous = None

    def new_map(self) -> None:
        """Forget the path as well."""
        self.interrupt()
        self._poses.clear()

    def close(self) -> None:
        """Drop publishers and the transform."""
        self.tf.close()
        for publisher in (self._pose, self._odometry, self._path):
            self._node.destroy_publisher(publisher)
