"""`ace-slam doctor` on a machine with ROS: image loss, the live camera, the nodes, TF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ..io.calibration import info_of_stream
from ..ros.outputs.diagnostics import ERROR, OK
from ..ros.tf.factory import make_transforms
from .findings import Finding, good, note, problem
from .image_loss import check_delivery
from .topic_checks import pairing, stream_findings
from .topic_listener import COLOR, DEPTH, INFO, LiveSystem, listen, wanted_types
from .transform_checks import ParentsHeard, transform_findings

if TYPE_CHECKING:
    from ..ros.config import NodeConfig

_NODES = ("tracker", "mapper", "relocalizer")
_NAMES = {COLOR: "rgb/image", DEPTH: "depth/image", INFO: "rgb/camera_info"}


def check_ros(
    config: NodeConfig, environment: Mapping[str, str], figures: dict[str, Any], *,
    namespace: str = "", topics: Mapping[str, str] | None = None, seconds: float = 3.0,
    loopback: bool = True, live: bool | None = None,
) -> list[Finding]:
    """Check what needs rclpy.

    Args:
        config: transports, frames and slop.
        environment: of the shell, before this package changed anything.
        figures: gets measured values.
        namespace: of the nodes.
        topics: stream (color, depth, info) -> topic, for cameras that are not remapped yet.
        seconds: how long to send and to listen.
        loopback: measure image loss.
        live: look at the camera and the nodes; None = when there are any.
    """
    # One context for everything: FastDDS gives the next one of a process the same identity, and
    # nodes that still remember the first do not talk to the second.
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("doctor", namespace=namespace.strip("/"), context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        found = []
        if loopback:
            found += check_delivery(node, executor, environment, seconds, figures)
        if live is not False:
            found += check_live(
                node, executor, config, figures, topics=topics or {}, seconds=seconds,
                required=live is True or bool(topics))
        return found
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def check_live(
    node: Node, executor: Executor, config: NodeConfig, figures: dict[str, Any], *,
    topics: Mapping[str, str], seconds: float, required: bool,
) -> list[Finding]:
    """Listen to the running system in the namespace of `node` and judge it."""
    namespace = node.get_namespace()
    transforms = make_transforms(node)
    parents = transforms.watcher = ParentsHeard()
    try:
        names = _topic_names(node, config, topics)
        wanted = wanted_types(config.ros.color_transport, config.ros.depth_transport)
        system = listen(node, executor, names, wanted, seconds)
        if (info := system.heard[INFO].last) is not None:
            info_of_stream(info, names[COLOR])
        figures["topics"] = {
            h.topic: {"rate_hz": round(h.rate_hz, 2), "messages": len(h.stamps_ns)}
            for h in system.heard.values()}
        idle = not any(h.publishers for h in system.heard.values())
        running = _running(system, namespace)
        if idle and not running and not required and not system.image_topics:
            return [note("live system", "no camera and no nodes of this package are running here",
                         "start the camera driver and the nodes, then ace-slam doctor --live")]
        found = [f for s, h in system.heard.items() for f in stream_findings(
            s, h, system, config.sensor.depth_unit_m)]
        found += pairing(system.heard, config.ros.slop_s)
        found += node_findings(system, namespace)
        return found + transform_findings(config, system.heard[COLOR], transforms, parents)
    finally:
        transforms.close()


def _topic_names(node: Any, config: NodeConfig, topics: Mapping[str, str]) -> dict[str, str]:
    names = {s: node.resolve_topic_name(topics.get(s, name)) for s, name in _NAMES.items()}
    if config.ros.color_transport == "compressed" and COLOR not in topics:
        names[COLOR] += "/compressed"
    if config.ros.depth_transport == "compressedDepth" and DEPTH not in topics:
        names[DEPTH] += "/compressedDepth"
    return names


def _running(system: LiveSystem, namespace: str) -> list[str]:
    prefix = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
    return [name for name in _NODES if f"{prefix}/{name}" in system.nodes]


def node_findings(system: LiveSystem, namespace: str) -> list[Finding]:
    """Pass on what the running nodes say about themselves."""
    running = _running(system, namespace)
    if not running:
        return [note("nodes", "none of this package is running in namespace "
                     f"'/{namespace.strip('/')}'",
                     "ace-slam up, or ros2 launch ace_slam_ros slam.launch.py")]
    found = []
    for name in _NODES:
        if name not in running:
            found.append(problem(name, "is not running beside the others",
                                 "start all three nodes: ace-slam up restarts what ends"))
    for name, (level, message) in sorted(system.diagnostics.items()):
        if level == OK:
            found.append(good(name, message))
        elif level < ERROR:
            found.append(note(name, message))
        else:
            found.append(problem(name, message, "see the sentence above; /diagnostics has more"))
    silent = [n for n in running if not any(d.endswith(n) for d in system.diagnostics)]
    found += [problem(n, "sends no diagnostics", "see its log; restart it") for n in silent]
    return found
