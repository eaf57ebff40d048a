"""The heartbeat that nav2's lifecycle manager wants of a node it manages.

Only the messages of the package `bond` are needed, which is there wherever nav2 is; its Python
library is not. Where they are missing there is no heartbeat, and the manager needs
`bond_timeout: 0.0`.
"""

from __future__ import annotations

import importlib
import uuid
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType

from ..qos import reliable_qos

if TYPE_CHECKING:
    from rclpy.node import Node

#: As nav2's own nodes: ten heartbeats a second, and how long a manager may hear none.
PERIOD_S, TIMEOUT_S = 0.1, 4.0


def bond_status() -> Any | None:
    """Return the class of bond's message, None where it is not installed."""
    try:
        return importlib.import_module("bond.msg").Status
    except ImportError:
        return None


class Bond:
    """Says that an active node lives, on the topic `bond`, under the node's name.

    A manager that hears nothing any more takes the node for dead; one that hears `active` false
    knows that it was deactivated. What the manager says is not listened to: a node goes on without
    a manager.
    """

    def __init__(self, node: Node, status: Any) -> None:
        """Begin; `status` is bond's message, see `bond_status`."""
        self._node, self._status = node, status
        self._instance = str(uuid.uuid4())
        self._publisher = node.create_publisher(status, "bond", reliable_qos(5))
        self._timer = node.create_timer(
            PERIOD_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._beat()

    def _beat(self, active: bool = True) -> None:
        message = self._status()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.id, message.instance_id = self._node.get_name(), self._instance
        message.active = active
        message.heartbeat_timeout, message.heartbeat_period = TIMEOUT_S, PERIOD_S
        self._publisher.publish(message)

    def end(self) -> None:
        """Say that the node is no longer active."""
        self._node.destroy_timer(self._timer)
        self._beat(active=False)
        self._node.destroy_publisher(self._publisher)
