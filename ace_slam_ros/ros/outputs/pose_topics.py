"""What the tracker publishes while TRACKING: pose, odometry, path, TF. Nothing while LOST."""

from __future__ import annotations

import time
from enum import Enum
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
from rclpy.clock import Clock, ClockType
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
from ..tf.factory import others_publish_tf
from ..tf.guard import TfGuard
from ..tf.interface import StampedTransform, Transforms
from .path_topic import PosePath

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ...core.tracking.result import TrackResult
    from ..config import RosConfig

_NS = 1_000_000_000
#: Poses further apart than this say nothing about the velocity between them.
_LONGEST_STEP_NS = _NS // 2
_PATH_PERIOD_S = 0.5
#: How long to wait at start for odometry before map -> base is broadcast.
_ODOMETRY_WAIT_S = 3.0
_REPEAT_S = 1.0 / 30.0
_TF_TOLERANCE_NS = _NS // 10


class TfMode(Enum):
    """Which transform is broadcast."""

    UNDECIDED = "undecided"  #: odometry may still come up
    ODOM = "odom"  #: map -> odom
    BASE = "base"  #: map -> base


class PoseOutput:
    """Publishes tracked poses of the base in the map."""

    def __init__(self, node: Node, config: RosConfig, transforms: Transforms) -> None:
        self._node, self._config, self._transforms = node, config, transforms
        self._pose = node.create_publisher(PoseWithCovarianceStamped, "pose", latched_qos())
        self._odometry = node.create_publisher(Odometry, "odometry", reliable_qos())
        self._path = node.create_publisher(Path, "path", latched_qos())
        self._poses = PosePath()
        self._path_due_s = 0.0
        self._previous: tuple[int, Float64Array, Float64Array | None] | None = None
        self._frame = config.map_frame
        self._T_map_odom: Float64Array | None = None
        self._started_s = time.monotonic()
        self.tf_mode = TfMode.UNDECIDED
        self.odometry_used = 0
        self._guard = TfGuard(node, config)
        transforms.watcher = self._guard
        self._timer = None
        if config.publish_tf and transforms.available:
            # Odometry moves on between frames, also while simulated time stands still.
            self._timer = node.create_timer(
                _REPEAT_S, self.repeat_tf, clock=Clock(clock_type=ClockType.STEADY_TIME))

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
            self._T_map_odom = None
            return
        self._pose.publish(PoseWithCovarianceStamped(header=header, pose=pose))
        self._poses.add(header, pose.pose)
        if time.monotonic() >= self._path_due_s:
            self._path_due_s = time.monotonic() + _PATH_PERIOD_S
            self._path.publish(self._poses.serialized(header))
        if self._config.publish_tf and self._transforms.available:
            self._send_tf(stamp_ns, T_map_base)

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

    def _send_tf(self, stamp_ns: int, T_map_base: Float64Array) -> None:
        """Broadcast map -> odom when the robot has odometry, else map -> base.

        Odometry may come up late; from then on map -> base would give the base two parents.
        """
        config = self._config
        T_odom_base = None
        if config.odom_frame:
            T_odom_base = self._transforms.lookup(config.odom_frame, config.base_frame, stamp_ns)
        if T_odom_base is not None:
            if self.tf_mode is TfMode.BASE:
                self._node.get_logger().info(
                    f"TF knows {config.odom_frame} -> {config.base_frame} now: broadcasting "
                    f"{config.map_frame} -> {config.odom_frame} instead of -> "
                    f"{config.base_frame}")
            self.tf_mode = TfMode.ODOM
            self._T_map_odom = T_map_base @ invert_pose(T_odom_base)
        elif self.tf_mode is TfMode.UNDECIDED:
            waited_s = time.monotonic() - self._started_s
            if (config.odom_frame and waited_s < _ODOMETRY_WAIT_S
                    and others_publish_tf(self._node, self._transforms)):
                return
            self.tf_mode = TfMode.BASE
        if self.tf_mode is TfMode.BASE and not self._guard.blocks(config.base_frame):
            self._transforms.send(
                [StampedTransform(config.map_frame, config.base_frame, stamp_ns, T_map_base)])

    def repeat_tf(self) -> None:
        """Send map -> odom again, valid a little into the future."""
        T_map_odom = self._T_map_odom
        if self.tf_mode is not TfMode.ODOM or T_map_odom is None or self._guard.blocks(
                self._config.odom_frame):
            return
        stamp_ns = self._node.get_clock().now().nanoseconds + _TF_TOLERANCE_NS
        self._transforms.send([StampedTransform(
            self._config.map_frame, self._config.odom_frame, stamp_ns, T_map_odom)])

    def camera_in_odometry(
        self, stamp_ns: int, T_base_cam: Float64Array
    ) -> Float64Array | None:
        """Return the camera's pose in the odometry frame at a stamp; None without odometry."""
        config = self._config
        if not (config.odom_frame and config.use_odometry):
            return None
        T_odom_base = self._transforms.lookup(config.odom_frame, config.base_frame, stamp_ns)
        self.odometry_used += T_odom_base is not None
        return None if T_odom_base is None else T_odom_base @ T_base_cam

    def problem(self) -> str:
        """Say that somebody else broadcasts our transform; empty when nobody does."""
        return self._guard.problem()

    def values(self) -> dict[str, object]:
        """Return what diagnostics show."""
        return {"tf": self.tf_mode, "odometry_used": self.odometry_used}

    def interrupt(self) -> None:
        """Stop repeating TF and forget the velocity: LOST, paused, or a time jump."""
        self._previous = None
        self._T_map_odom = None

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
        """Drop publishers and timer."""
        self._transforms.watcher = None
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        for publisher in (self._pose, self._odometry, self._path):
            self._node.destroy_publisher(publisher)
