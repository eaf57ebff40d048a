"""What the files in `launch/` share: their arguments, the nodes, packages that must be there.

Not below `ros`, which sets variables of the process as soon as it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

PACKAGE = "ace_slam_ros"
NODES = ("tracker", "mapper", "relocalizer")


class Argument(NamedTuple):
    """An argument of a launch file; without choices any text is taken."""

    description: str
    default: str = ""
    choices: tuple[str, ...] = ()


_YES_NO = ("true", "false")
#: Those of slam.launch.py; the files that include it declare what they read, or give, themselves.
ARGUMENTS = {
    "namespace": Argument("of all nodes, topics and services; two systems need two"),
    "params_file": Argument("ROS parameter file; `ace-slam dump-config` prints all parameters"),
    "use_sim_time": Argument(
        "follow /clock; a bag given here then publishes it", "false", _YES_NO),
    "mode": Argument("localization never changes the map; empty = as in params_file",
                     choices=("", "mapping", "localization")),
    "map": Argument("map folder: loaded when it exists, and where save_map writes"),
    "save_on_exit": Argument("write the map at the end; empty = as in params_file",
                             choices=("", *_YES_NO)),
    "map_frame": Argument("frame of the map; robots that share /tf need their own, such as "
                          "robot1/map; empty = as in params_file"),
    "odom_frame": Argument("frame of the robot's odometry; none = it has none; empty = as in "
                           "params_file"),
    "base_frame": Argument("frame of the robot; empty = as in params_file"),
    "map_jump_limit": Argument("m/s and rad/s by which map -> odom follows corrections; 0 = at "
                               "once; empty = as in params_file"),
    "rviz": Argument("open RViz with config/slam.rviz", "false", _YES_NO),
    "bag": Argument("bag or TUM folder to play; ends with it"),
    "bag_rate": Argument("speed of the bag", "1.0"),
    "bag_loop": Argument("times to play the bag; 0 = for ever", "1"),
    "bag_color": Argument("topic of the bag's color images; empty = chosen by what it holds"),
    "bag_depth": Argument("the same of its depth images"),
    "bag_info": Argument("the same of the color images' camera_info"),
    "camera": Argument("realsense: start realsense2_camera and listen to its topics", "none",
                       ("none", "realsense")),
    "log_level": Argument("least severe messages the nodes print", "info",
                          ("debug", "info", "warn", "error")),
    "respawn": Argument("restart a node that ends", "true", _YES_NO),
    "autostart": Argument("false: the nodes wait for a lifecycle manager", "true", _YES_NO),
}


def declare(names: Iterable[str] = tuple(ARGUMENTS), **defaults: str) -> list[Any]:
    """Return the declarations of some arguments for launch, with other defaults where given."""
    from launch.actions import DeclareLaunchArgument

    def declared(name: str) -> Any:
        argument = ARGUMENTS[name]
        return DeclareLaunchArgument(
            name, default_value=defaults.get(name, argument.default),
            description=argument.description, choices=argument.choices or None)

    return [declared(name) for name in names]


def share_of(package: str, *to_install: str) -> str:
    """Return the share folder of a package.

    Args:
        package: its name.
        to_install: packages of apt that bring it, without ros-DISTRIBUTION.

    Raises:
        RuntimeError: it is not installed; the message says how to install it.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        return str(get_package_share_directory(package))
    except PackageNotFoundError:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        packages = " ".join(f"ros-{distribution}-{name}" for name in to_install)
        raise RuntimeError(f"{package} is not installed: sudo apt install {packages}") from None
