"""Listens to the camera's topics for some seconds, with a QoS that fits any publisher."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.executors import Executor
from rclpy.node import Node

from ..ros.inputs.publishers import GIVES_INFO, publication_number
from ..ros.messages.conversions import stamp_to_ns
from ..ros.qos import sensor_qos

COLOR, DEPTH, INFO = "color", "depth", "info"
_DISCOVERY_S = 2.0
#: How long the first message of a topic may take; connecting is slow on a busy machine.
_FIRST_S = 3.0


@dataclass(frozen=True)
class Endpoint:
    """One publisher or subscription of a topic."""

    node: str
    kind: str
    reliability: str
    durability: str


@dataclass
class Heard:
    """What one topic delivered.

    Attributes:
        stamps_ns, arrivals_ns: of each message; arrivals on the system's clock.
        numbers: how many messages each publisher had sent, where the middleware tells.
        frames: frame ids and how often; last: the newest message.
    """

    topic: str
    wanted: str
    publishers: list[Endpoint] = field(default_factory=list)
    subscriptions: list[Endpoint] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    arrivals_ns: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    frames: Counter[str] = field(default_factory=Counter)
    last: Any = None

    def add(self, message: Any) -> None:
        """Count one message."""
        self.stamps_ns.append(stamp_to_ns(message.header.stamp))
        self.arrivals_ns.append(time.time_ns())
        self.frames[message.header.frame_id] += 1
        self.last = message

    def add_numbered(self, message: Any, info: dict[str, Any]) -> None:
        """Count one message that comes with what the middleware knows about it."""
        number = publication_number(info)
        if number is not None:
            self.numbers.append(number)
        self.add(message)

    def lost(self) -> int | None:
        """Messages of the only publisher that did not arrive; None when nobody counts them."""
        if len(self.publishers) != 1 or len(self.numbers) != len(self.stamps_ns):
            return None
        return max(max(self.numbers) - min(self.numbers) + 1 - len(self.numbers), 0)

    @property
    def rate_hz(self) -> float:
        """Messages per second between the first and the last."""
        if len(self.arrivals_ns) < 2:
            return 0.0
        span_ns = max(self.arrivals_ns[-1] - self.arrivals_ns[0], 1)
        return (len(self.arrivals_ns) - 1) * 1e9 / span_ns


@dataclass
class LiveSystem:
    """What is there besides the camera's topics.

    Attributes:
        image_topics: topic -> type of every image topic that somebody publishes.
        nodes: full names in the graph.
        has_clock: somebody publishes /clock.
        clock_ns: newest simulated time, 0 without.
        diagnostics: node -> (level, message) of its newest diagnostics.
    """

    heard: dict[str, Heard]
    image_topics: dict[str, str]
    nodes: list[str]
    has_clock: bool = False
    clock_ns: int = 0
    diagnostics: dict[str, tuple[int, str]] = field(default_factory=dict)


def wanted_types(color_transport: str, depth_transport: str) -> dict[str, str]:
    """Return stream -> message type for transports as the parameters name them."""
    image, compressed = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
    return {
        COLOR: image if color_transport == "raw" else compressed,
        DEPTH: image if depth_transport == "raw" else compressed,
        INFO: "sensor_msgs/msg/CameraInfo"}


def listen(
    node: Node, executor: Executor, topics: dict[str, str], wanted: dict[str, str],
    seconds: float,
) -> LiveSystem:
    """Find publishers, subscribe to what they send, and collect for `seconds`.

    Args:
        node: a node that `executor` spins.
        topics: stream -> full topic name; wanted: stream -> message type.
    """
    _spin(executor, _DISCOVERY_S, lambda: _all_published(node, topics))
    system = LiveSystem(
        {s: Heard(t, wanted[s]) for s, t in topics.items()}, {}, [],
        node.count_publishers("/clock") > 0)
    awaited = []
    for heard in system.heard.values():
        if node.count_publishers(heard.topic):
            kinds = {i.topic_type for i in node.get_publishers_info_by_topic(heard.topic)}
            if heard.wanted in kinds:
                # Humble's callbacks are given the message alone.
                receive: Callable[..., None] = heard.add_numbered if GIVES_INFO else heard.add
                node.create_subscription(
                    _message_type(heard.wanted), heard.topic, receive, sensor_qos(10))
                awaited.append(heard)
    _listen_besides(node, system)
    _spin(executor, _FIRST_S, lambda: all(heard.stamps_ns for heard in awaited))
    _spin(executor, seconds, lambda: False)
    for heard in system.heard.values():
        heard.publishers = _endpoints(node.get_publishers_info_by_topic(heard.topic))
        heard.subscriptions = [
            e for e in _endpoints(node.get_subscriptions_info_by_topic(heard.topic))
            if e.node != node.get_fully_qualified_name()]
    for topic, types in node.get_topic_names_and_types():
        if node.count_publishers(topic) and any("Image" in kind for kind in types):
            system.image_topics[topic] = types[0]
    system.nodes = sorted({
        f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()})
    return system


def _listen_besides(node: Node, system: LiveSystem) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    def diagnose(message: Any) -> None:
        for status in message.status:
            if status.hardware_id == "ace_slam_ros":
                system.diagnostics[status.name] = (
                    int.from_bytes(status.level, "little"), status.message)

    node.create_subscription(DiagnosticArray, "/diagnostics", diagnose, 20)
    if system.has_clock:
        from rosgraph_msgs.msg import Clock

        def tick(message: Any) -> None:
            system.clock_ns = stamp_to_ns(message.clock)

        node.create_subscription(Clock, "/clock", tick, sensor_qos())


def _all_published(node: Node, topics: dict[str, str]) -> bool:
    return all(node.count_publishers(topic) for topic in topics.values())


def _spin(executor: Executor, seconds: float, done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s and not done():
        executor.spin_once(timeout_sec=0.05)


def _message_type(kind: str) -> Any:
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def _endpoints(infos: list[Any]) -> list[Endpoint]:
    return [Endpoint(
        f"{i.node_namespace.rstrip('/')}/{i.node_name}", i.topic_type,
        i.qos_profile.reliability.name, i.qos_profile.durability.name) for i in infos]
