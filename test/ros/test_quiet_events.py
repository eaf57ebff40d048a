"""QoS events are told, but not waited for at every message."""

import time

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from ace_slam_ros.ros.quiet_events import EventGroup


def test_events_wait_until_somebody_looks(graph):
    make, executor = graph
    told, group = [], EventGroup()
    node = make("listener")
    node.create_subscription(
        Header, "topic", lambda message: None, QoSProfile(depth=1),
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=told.append))
    group.take_over(node)
    make("talker").create_publisher(
        Header, "topic", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))

    def spin(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not told:
            executor.spin_once(timeout_sec=0.02)

    spin(1.0)
    assert not told
    for _ in range(100):
        group.look()
        spin(0.1)
    assert len(told) == 1
