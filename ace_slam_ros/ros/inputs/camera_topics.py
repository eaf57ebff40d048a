"""Subscriptions to the camera's topics, and what goes wrong with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ...core.errors import ConfigError
from ...io.calibration import info_of_stream
from ..messages.conversions import depth_late_s
from ..qos import sensor_qos
from .publishers import GIVES_INFO, FirstPublishers, publication_number
from .synchronizer import ImagePair, Synchronizer

if TYPE_CHECKING:
    from ..config import RosConfig

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # its name in ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


_QOS_EXAMPLE = "{reliability: reliable, history: keep_last, depth: 5}"
CLOCK_GAP_NS = 10_000_000_000
FUTURE_NS = 100_000_000
#: A published topic of which nothing came for so long is subscribed to anew, at most so often.
_UNHEARD_S, _RENEWALS = 0.9, 2


class ImageInputs:
    """Subscribes to color, depth and camera_info and pairs them; QoS can be overridden.

    Args:
        on_pair, on_jump: see `Synchronizer`; called in the executor's thread.
        tells_unused: log QoS overrides that change nothing here.
    """

    def __init__(
        self, node: Node, config: RosConfig, on_pair: Callable[[ImagePair], None],
        on_jump: Callable[[], None] | None = None, tells_unused: bool = True,
    ) -> None:
        self._node = node
        self._by_arrival, self._on_pair = config.stamps == "arrival", on_pair
        self._depth_late_s = 0.0
        self.synchronizer = Synchronizer(round(config.slop_s * 1e9), self._pass_on, on_jump)
        color, depth = (node.resolve_topic_name(n) for n in ("rgb/image", "depth/image"))
        color += "/compressed" if config.color_transport == "compressed" else ""
        depth += "/compressedDepth" if config.depth_transport == "compressedDepth" else ""
        self.topics = {
            "color": color, "depth": depth, "info": node.resolve_topic_name("rgb/camera_info")}
        self._kinds: dict[str, Any] = {
            "color": CompressedImage if config.color_transport != "raw" else Image,
            "depth": CompressedImage if config.depth_transport != "raw" else Image,
            "info": CameraInfo,
        }
        self._receive = {
            "color": self.synchronizer.add_color, "depth": self.synchronizer.add_depth,
            "info": lambda m: self.synchronizer.add_info(info_of_stream(m, color)),
        }
        self.incompatible: dict[str, str] = {}
        self._publishers = FirstPublishers(self.topics, node.count_publishers)
        self._told = ""
        self._subscriptions: dict[str, Any] = {}
        self._made_s = time.monotonic()
        self._renewals_left = _RENEWALS
        overrides = self._take_overrides()
        for name in self.topics:
            self._subscribe(name)
        if tells_unused:
            self._tell_unused([name for name in overrides if not node.has_parameter(name)])

    def _pass_on(self, pair: ImagePair) -> None:
        """Hand a pair on; when they arrived does not tell which image was taken first."""
        if self._by_arrival:
            pair.depth.header.stamp = pair.color.header.stamp
        self._depth_late_s = depth_late_s(pair.color, pair.depth)
        self._on_pair(pair)

    def _subscribe(self, name: str) -> None:
        topic = self.topics[name]
        try:
            self._subscriptions[name] = self._node.create_subscription(
                self._kinds[name], topic, self._receiver(name), sensor_qos(),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                event_callbacks=SubscriptionEventCallbacks(
                    incompatible_qos=self._refused(name)))
        except (RuntimeError, TypeError, ParameterException) as error:
            self.close()
            raise ConfigError(
                f"qos_overrides.{topic}.subscription: {error}; write {_QOS_EXAMPLE}") from error

    def _receiver(self, name: str) -> Callable[..., None]:
        def take(msg: Any, number: int | None = None) -> None:
            self.incompatible.pop(name, None)  # somebody who fits publishes now
            if self._publishers.admits(name, msg, number):
                if self._by_arrival:
                    msg.header.stamp = self._node.get_clock().now().to_msg()
                self._receive[name](msg)
            elif not self._told:
                self._node.get_logger().error(self.several())

        def take_numbered(msg: Any, info: dict[str, Any]) -> None:
            take(msg, publication_number(info))

        return take_numbered if GIVES_INFO else lambda msg: take(msg)

    def renew_unheard(self) -> None:
        """Subscribe anew to topics that are published but not heard.

        The middleware repeats an announcement of a subscription that got lost only every three
        seconds. To be called once a second.
        """
        if not self._renewals_left or time.monotonic() - self._made_s < _UNHEARD_S:
            return
        unheard = [n for n, topic in self.topics.items()
                   if not self.synchronizer.streams[n].count and n not in self.incompatible
                   and self._node.count_publishers(topic)]
        if not unheard:
            return
        self._renewals_left -= 1
        self._made_s = time.monotonic()
        for name in unheard:
            self._node.destroy_subscription(self._subscriptions.pop(name))
            self._subscribe(name)
        names = ", ".join(self.topics[n] for n in unheard)
        self._node.get_logger().info(f"subscribed anew: {names} is published, but nothing came")

    def _take_overrides(self) -> list[str]:
        """Return the QoS overrides the node was started with; subscriptions declare theirs."""
        found = [
            f"qos_overrides.{n}" for n in self._node.get_parameters_by_prefix("qos_overrides")]
        for name in found:
            if not self._node.describe_parameter(name).read_only:  # a subscription made it before
                self._node.undeclare_parameter(name)
        return found

    def _tell_unused(self, unused: list[str]) -> None:
        """Warn of QoS overrides that change nothing here: another topic, another policy."""
        if unused:
            self._node.get_logger().warning(
                f"no effect on the images of this node: {', '.join(unused)}; its topics are "
                f"{', '.join(self.topics.values())}, each with a subscription {_QOS_EXAMPLE}")

    def _refused(self, name: str) -> Callable[[Any], None]:
        def remember(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            topic = self.topics[name]
            offers = ", ".join(
                f"{i.node_namespace.rstrip('/')}/{i.node_name} offers "
                f"{i.qos_profile.reliability.name}/{i.qos_profile.durability.name}"
                for i in self._node.get_publishers_info_by_topic(topic))
            mine = self._subscriptions[name].qos_profile
            asks = f"{mine.reliability.name}/{mine.durability.name} ({policy} does not fit)"
            text = (
                f"{topic}: {offers or 'a publisher'}, but "
                f"{self._node.get_fully_qualified_name()} asks for {asks}: set "
                f"qos_overrides.{topic}.subscription.* or the publisher's QoS")
            if text != self.incompatible.get(name):
                self._node.get_logger().error(text)
            self.incompatible[name] = text
        return remember

    def several(self) -> str:
        """Say that another camera publishes on the same topics; empty when none does."""
        self._told = self._publishers.problem(self._node)
        return self._told

    def problem(self, patience_s: float = 5.0) -> str:
        """Say why no pairs arrive; empty when they do, or when silence has not lasted so long."""
        silence = self.synchronizer.explain(self.topics, patience_s)
        return silence and (self.several() or silence)

    def clock_problem(self, now_ns: int) -> str:
        """Say that stamps and the node's clock differ; empty when they do not."""
        newest = self.synchronizer.streams["color"].last_stamp_ns
        if newest and abs(now_ns - newest) > CLOCK_GAP_NS:
            return ("image stamps are more than 10 s from the clock: synchronize the clocks, or "
                    "play bags with --clock and set use_sim_time")
        if newest and newest - now_ns > FUTURE_NS:
            return (f"image stamps lie {(newest - now_ns) * 1e-9:.2f} s in the future: the "
                    "camera's clock is ahead; synchronize the clocks")
        return ""

    def values(self, now_ns: int) -> dict[str, Any]:
        """Return rates and counts for diagnostics."""
        found: dict[str, Any] = {}
        for name, statistics in self.synchronizer.streams.items():
            found[f"{name}_hz"] = statistics.rate_hz(now_ns)
            found[f"{name}_received"] = statistics.count
        gap_s = self.synchronizer.nearest_gap_s()
        found |= {"pairs": self.synchronizer.pairs, "time_jumps": self.synchronizer.jumps,
                  "nearest_gap_s": "unknown" if gap_s is None else gap_s,
                  "depth_late_s": self._depth_late_s}
        return found

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
