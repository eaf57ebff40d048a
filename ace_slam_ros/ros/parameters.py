"""ROS parameters generated from the configuration dataclasses, and read back from a node."""

from __future__ import annotations

import difflib
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from ..core.config.cameras import SensorChoice, for_camera
from ..core.config.fields import describe, flatten
from ..core.config.files import ROS_OWN
from .config import NodeConfig

_LARGEST_INT = 2**63 - 1
_LARGEST_FLOAT = 1.7e308


#: How a node is made that tells what it was started with: rclpy gives overrides away only as
#: parameters that it declares by itself.
TELLS_OVERRIDES: dict[str, Any] = {"automatically_declare_parameters_from_overrides": True}


def config_from_overrides(overrides: dict[str, Any]) -> tuple[NodeConfig, list[str]]:
    """Make the configuration of parameter overrides {dotted name: value}.

    Returns:
        (configuration, names that belong to another node: no section of ours, nothing similar).

    Raises:
        ConfigError: a value is refused, or a name is a misspelt parameter; the message names it.
    """
    known = flatten(NodeConfig())
    sections = {name.split(".")[0] for name in known}
    values: dict[str, Any] = {}
    foreign: list[str] = []
    for name, value in overrides.items():
        if name.split(".")[0] in ROS_OWN:
            continue
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name in known or name.split(".")[0] in sections or similar:
            values[name] = value
        else:
            foreign.append(name)
    return NodeConfig().with_values(values), foreign


def config_for_camera(node: Node, config: NodeConfig) -> tuple[NodeConfig, SensorChoice]:
    """Return the configuration with noise and range of the camera that the topics name, and why.

    All nodes of a system are given the same remappings, so they choose alike.

    Raises:
        ConfigError: see `for_camera`.
    """
    return for_camera(config, [
        node.resolve_topic_name(topic) for topic in ("rgb/image", "depth/image")])


def check_parameters(name: str) -> None:
    """Refuse at once what the node `name` would refuse when its libraries are loaded.

    Raises:
        ConfigError: see `config_from_overrides`.
    """
    node = rclpy.create_node(
        name, enable_rosout=False, start_parameter_services=False, **TELLS_OVERRIDES)
    try:
        config_from_overrides(_overrides(node))
    finally:
        node.destroy_node()


def _overrides(node: Node) -> dict[str, Any]:
    """Return what a node was started with."""
    return {name: node.get_parameter(name).value for name in node.get_parameters_by_prefix("")}


def make_descriptor(value: Any, note: dict[str, Any]) -> ParameterDescriptor:
    """Describe one parameter: meaning, unit, choices and range, fixed while the node runs."""
    unit = f" [{note['unit']}]" if note["unit"] else ""
    found = ParameterDescriptor(
        description=f"{note['doc']}{unit}", read_only=True,
        additional_constraints=(
            f"one of: {', '.join(note['choices'])}" if note["choices"] else ""),
    )
    low, high = note["low"], note["high"]
    if isinstance(value, bool) or (low is None and high is None):
        return found
    if isinstance(value, int):
        found.integer_range = [IntegerRange(
            from_value=-_LARGEST_INT if low is None else int(low),
            to_value=_LARGEST_INT if high is None else int(high), step=0 if low is None else 1,
        )]
    elif isinstance(value, float):
        found.floating_point_range = [FloatingPointRange(
            from_value=-_LARGEST_FLOAT if low is None else float(low),
            to_value=_LARGEST_FLOAT if high is None else float(high),
        )]
    return found


def declare_parameters(node: Node) -> NodeConfig:
    """Declare every parameter on `node` and return the configuration its overrides make.

    The parameters are read-only: they shape networks, buffers and threads made at start.

    Args:
        node: made with `TELLS_OVERRIDES`.

    Raises:
        ConfigError: an override is unknown or refused; the message names the parameter.
    """
    overrides = _overrides(node)
    config, foreign = config_from_overrides(overrides)
    for name in foreign:
        node.get_logger().warning(f"parameter '{name}' is not of this node and is ignored")
    notes = describe(config)
    for name, value in flatten(config).items():
        if name in overrides:
            node.undeclare_parameter(name)
        node.declare_parameter(
            name, value, make_descriptor(value, notes[name]), ignore_override=True)
    return config
