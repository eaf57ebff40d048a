"""Quality-of-service profiles, one per purpose."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

#: Calls of a service that may wait in the middleware until the node takes or refuses them.
_CALLS = 500


def sensor_qos(depth: int = 2) -> QoSProfile:
    """Images in: best effort (a reliable subscriber gets nothing from a sensor), short queue."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def reliable_qos(depth: int = 10) -> QoSProfile:
    """Results out: reliable, kept for no late joiner."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )


def keyframe_qos() -> QoSProfile:
    """Keyframes: a mapper that starts late or again still gets the last fifty."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def latched_qos() -> QoSProfile:
    """Results out: a late joiner gets the last message."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def service_qos() -> QoSProfile:
    """Services: no call is pushed out by later ones, of which ROS's default keeps ten.

    A client that has more than ten calls under way needs it as well, for its answers.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=_CALLS, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )
