"""Reading a parameter file; one file serves the commands without ROS and the nodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..errors import ConfigError
from .sections import NODE_SECTIONS, SlamConfig, current_names, is_for_nodes

#: First part of the names that ROS gives to every node: no parameters of ours.
ROS_OWN = ("use_sim_time", "qos_overrides", "start_type_description_service")

Config = TypeVar("Config", bound=SlamConfig)


def load_config(
    path: Path | None, kind: type[Config] = SlamConfig  # type: ignore[assignment]
) -> Config:
    """Read a yaml file, plain nested sections or a ROS parameter file (`/**: ros__parameters:`).

    Args:
        path: the file; None = all defaults.
        kind: `SlamConfig`, which leaves the nodes' own sections aside, or `ros.config.NodeConfig`.

    Raises:
        ConfigError: the file is missing, not yaml, or holds an unknown or refused parameter.
    """
    values: dict[str, Any] = {}
    for key, value in _read(path).items():
        if isinstance(value, dict):
            values.update({f"{key}.{name}": v for name, v in value.items()})
        else:
            values[key] = value
    try:
        known = current_names({k: v for k, v in values.items() if not _is_ros_own(k)})
        if not {field.name for field in dataclasses.fields(kind)} & set(NODE_SECTIONS):
            known = {k: v for k, v in known.items() if not is_for_nodes(k)}
        return kind().with_values(known)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def load_ros_own(path: Path | None) -> dict[str, Any]:
    """Return the entries of the same file that are of ROS, such as `qos_overrides`.

    `use_sim_time` is left out: launch and `ace-slam up` have an option for it that counts.

    Raises:
        ConfigError: the file is missing or not yaml.
    """
    return {key: value for key, value in _read(path).items()
            if _is_ros_own(key) and key != "use_sim_time"}


def _is_ros_own(name: str) -> bool:
    return name.split(".")[0] in ROS_OWN


def _read(path: Path | None) -> dict[str, Any]:
    """Return the parameters of a file as they are nested in it."""
    if path is None:
        return {}
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read config {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not yaml: {error}") from error
    tree = {} if tree is None else tree
    single = [name for name, part in tree.items() if name != "/**" and isinstance(part, dict)
              and "ros__parameters" in part] if isinstance(tree, dict) else []
    if single:
        raise ConfigError(
            f"{path}: the section '{single[0]}' is for one node, but the nodes must agree: put "
            "its parameters below `/**: ros__parameters:`")
    if isinstance(tree, dict) and "/**" in tree:
        section = tree["/**"] or {}
        tree = (section.get("ros__parameters") or {}) if isinstance(section, dict) else section
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected sections like `tracker:` with parameters below")
    return {str(key): value for key, value in tree.items()}
