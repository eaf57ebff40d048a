"""A robot around a node, for tests: camera mount and wheel odometry on TF, lifecycle calls."""

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from tf2_msgs.msg import TFMessage

from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose
from ace_slam_ros.ros.qos import latched_qos, reliable_qos
from ace_slam_ros.ros.tf.interface import StampedTransform
from helpers.node_processes import FRAME, Probe

T_BASE_CAM = make_pose(R_BODY_OPTICAL_33, np.array([0.15, -0.05, 0.4]))


class Robot(Probe):
    """A probe that also publishes the camera mount and wheel odometry.

    Args:
        namespace: of the node.
        managed: the node whose lifecycle calls are for.
        tf: the robot's topic of transforms; static ones go to the same name with `_static`.
        T_base_cam: (4, 4) where the camera sits.
    """

    def __init__(self, namespace, managed="tracker", tf="/tf", T_base_cam=T_BASE_CAM):
        super().__init__(namespace)
        self.managed = managed
        self.tf = self.node.create_publisher(TFMessage, tf, reliable_qos(100))
        self.mount = self.node.create_publisher(TFMessage, f"{tf}_static", latched_qos())
        self.heard, self.diagnostics = [], []
        self.node.create_subscription(TFMessage, tf, self._hear, reliable_qos(100))
        full = f"{namespace.strip('/')}/{managed}"
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics",
            lambda m: self.diagnostics.extend(s for s in m.status if s.name == full),
            reliable_qos())
        self.mount.publish(TFMessage(transforms=[
            StampedTransform("base_link", FRAME, 0, T_base_cam).to_msg()]))

    def _hear(self, message):
        self.heard += [t for t in message.transforms if t.header.frame_id == "map"]

    def drive(self, stamp_ns, T_odom_base):
        self.tf.publish(TFMessage(transforms=[
            StampedTransform("odom", "base_link", stamp_ns, T_odom_base).to_msg()]))

    def change(self, transition, managed=None):
        client = self.node.create_client(ChangeState, f"{managed or self.managed}/change_state")
        self.spin_until(client.service_is_ready, "change_state")
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self.spin_until(future.done, "the transition")
        return future.result().success

    def state(self):
        client = self.node.create_client(GetState, f"{self.managed}/get_state")
        self.spin_until(client.service_is_ready, "get_state")
        future = client.call_async(GetState.Request())
        self.spin_until(future.done, "the state")
        return future.result().current_state.id
