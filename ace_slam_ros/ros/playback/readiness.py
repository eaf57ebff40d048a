"""Waits until managed nodes are active, before the first message of a recording is sent.

A node subscribes before it can use what it hears: a mapper that still loads gets none of a short
bag. What listens is therefore not enough to know.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from lifecycle_msgs.srv import GetState
from rclpy.executors import SingleThreadedExecutor

from ...core.errors import AceSlamError

log = logging.getLogger(__name__)
_ACTIVE = "active"
#: A question to a node that was killed meanwhile is never answered: it is asked again.
_ASK_AGAIN_S = 1.0
_TELL_EVERY_S = 5.0


class NotReadyError(AceSlamError):
    """The nodes did not become active."""


class NodeStates:
    """Asks managed nodes for their state.

    Args:
        node: rclpy node that asks, in whose namespace they are.
        names: of the nodes.

    Attributes:
        states: by name; `not started` and `loading` for nodes that cannot answer yet.
    """

    def __init__(self, node: Any, names: Sequence[str]) -> None:
        self._node = node
        self._clients = {n: node.create_client(GetState, f"{n}/get_state") for n in names}
        self._asked: dict[str, tuple[Any, float]] = {}
        self.states = dict.fromkeys(names, "not started")

    @property
    def missing(self) -> dict[str, str]:
        """Nodes that are not active, with their states."""
        return {n: state for n, state in self.states.items() if state != _ACTIVE}

    def ask(self) -> None:
        """Take answers, and ask again who was not active; never waits."""
        for name in self.missing:
            client = self._clients[name]
            future, since_s = self._asked.get(name, (None, 0.0))
            if future is not None and future.done():
                self.states[name] = future.result().current_state.label
                future = None
            elif not client.service_is_ready():
                self.states[name] = "not started"
            elif self.states[name] == "not started":
                self.states[name] = "loading"
            if future is not None and time.monotonic() - since_s > _ASK_AGAIN_S:
                client.remove_pending_request(future)
                future = None
            if future is None and name in self.missing and client.service_is_ready():
                self._asked[name] = client.call_async(GetState.Request()), time.monotonic()

    def close(self) -> None:
        """Drop the clients."""
        for client in self._clients.values():
            self._node.destroy_client(client)


def wait_until_active(
    node: Any, names: Sequence[str], timeout_s: float, stop: threading.Event
) -> None:
    """Wait until all nodes are active, or `stop` is set; says for whom it waits.

    Raises:
        NotReadyError: they are not within `timeout_s`; each is named with its state.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    states, begin_s, told_s = NodeStates(node, names), time.monotonic(), 0.0
    try:
        while not stop.is_set():
            states.ask()
            if not states.missing:
                return
            waiting = ", ".join(f"{name} ({state})" for name, state in states.missing.items())
            now_s = time.monotonic()
            if now_s - begin_s > timeout_s:
                raise NotReadyError(
                    f"not active within {timeout_s:g} s: {waiting}; start or activate them, check "
                    "--namespace and ROS_DOMAIN_ID, or give --wait more seconds")
            if now_s - max(told_s, begin_s) > (_TELL_EVERY_S if told_s else _ASK_AGAIN_S):
                log.info("waiting for %s", waiting)
                told_s = now_s
            executor.spin_once(timeout_sec=0.05)
    finally:
        executor.remove_node(node)
        executor.shutdown()
        states.close()
