"""Parameters for nav2: its own or the robot's, and over them what our map and obstacles need."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import ConfigError

#: Topics that config/nav2.yaml names; costmaps have a namespace of their own, so that relative
#: names would be below that.
_TOPICS = ("/map", "/obstacles", "/free_space", "/local_costmap/published_footprint")
#: A tree of yaml: mappings of names to mappings and values.
Tree = dict[str, Any]


@dataclass(frozen=True)
class Robot:
    """Names of a robot, as nav2 has to know them.

    Attributes:
        namespace: of all nodes; empty = none.
        map_frame, base_frame: frame ids.
        odom_frame: the same; empty where no wheels measure, nav2 then works in the map alone and
            takes the velocity from our topic odometry.
        camera_frame: optical frame of the camera, where rays begin.
    """

    namespace: str = ""
    map_frame: str = "map"
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    camera_frame: str = "camera_color_optical_frame"

    def names(self) -> dict[str, str]:
        """Return what each name that config/nav2.yaml uses is on this robot."""
        below = f"/{self.namespace.strip('/')}" if self.namespace.strip("/") else ""
        velocity = "odom" if self.odom_frame else "odometry"
        return {
            "map": self.map_frame, "odom": self.odom_frame or self.map_frame,
            "base_link": self.base_frame, "camera_color_optical_frame": self.camera_frame,
            "/odom": f"{below}/{velocity}",
            **{topic: below + topic for topic in _TOPICS}}


def renamed(tree: Tree, names: dict[str, str]) -> Tree:
    """Return a tree with every value that is one of `names` replaced."""
    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: of(inner) for key, inner in value.items()}
        return names.get(value, value) if isinstance(value, str) else value
    return {key: of(value) for key, value in tree.items()}


def overlaid(below: Tree, above: Tree) -> Tree:
    """Return `below` with the values of `above`, which may add any; lists are replaced whole."""
    found = dict(below)
    for key, value in above.items():
        inner = found.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            found[key] = overlaid(inner, value)
        else:
            found[key] = value
    return found


def nav2_parameters(theirs: Path, ours: Path | None, robot: Robot) -> Path:
    """Write the parameters that nav2 is started with.

    Args:
        theirs: nav2's parameter file, or the robot's.
        ours: config/nav2.yaml, or one like it; None = theirs is taken as it is.
        robot: whose names replace those in `ours`.

    Returns:
        The file, in the folder for temporary ones.

    Raises:
        ConfigError: a file is missing or no parameter file.
    """
    tree = _read(theirs)
    if ours is not None:
        tree = overlaid(tree, renamed(_read(ours), robot.names()))
    with tempfile.NamedTemporaryFile(
            "w", prefix="ace_slam_nav2_", suffix=".yaml", delete=False) as file:
        yaml.dump(tree, file, Dumper=_WithoutAliases)
    return Path(file.name)


class _WithoutAliases(yaml.SafeDumper):
    """Writes what is there twice twice: the parameter parser of ROS knows no aliases."""

    ignore_aliases: Callable[..., bool] = staticmethod(lambda *_: True)


def _read(path: Path) -> Tree:
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give nav2's parameter file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no yaml: {error}") from error
    if not isinstance(tree, dict) or "ros__parameters" not in str(tree):
        raise ConfigError(f"{path} is no parameter file of ROS: ros__parameters is missing")
    return tree
