"""Starts the nodes and nav2 on their map, obstacles and transforms: no other SLAM, no map_server.

    ros2 launch ace_slam_ros navigation.launch.py camera:=realsense base_frame:=base_link
    ros2 launch ace_slam_ros navigation.launch.py mode:=localization map:=/data/office_map
    ros2 launch ace_slam_ros navigation.launch.py nav2_params_file:=my_robot.yaml

A robot needs TF from its base to the camera's optical frame, and odometry (odom_frame:=none where
it has none). The other arguments are those of slam.launch.py, which this file includes.
docs/navigation.md tells more.
"""

import importlib.util
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace, SetRemap

from ace_slam_ros.launch_files import NODES, PACKAGE, declare, share_of

#: How long nav2's manager may hear no heartbeat; 0 where the messages for one are missing.
BOND_TIMEOUT_S = 4.0


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; what they start is decided when they are known."""
    share = Path(get_package_share_directory(PACKAGE))
    arguments = [
        *declare(
            ["namespace", "params_file", "use_sim_time", "map_frame", "odom_frame", "base_frame",
             "map_jump_limit", "log_level"],
            params_file=str(share / "config" / "slam.yaml"), map_jump_limit="0.3"),
        DeclareLaunchArgument(
            "nav2_params_file", default_value="",
            description="parameters of nav2 on this robot; empty = those of nav2_bringup"),
        DeclareLaunchArgument(
            "nav2_overlay", default_value=str(share / "config" / "nav2.yaml"),
            description="put over nav2_params_file: our map and obstacles; none = nothing is"),
        DeclareLaunchArgument(
            "camera_frame", default_value="camera_color_optical_frame",
            description="optical frame of the camera, from which costmaps draw rays"),
        DeclareLaunchArgument(
            "managed", default_value="false", choices=["true", "false"],
            description="our nodes too are started by a lifecycle manager of nav2, instead of by "
            "themselves"),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_start)])


def _start(context) -> list:
    """Return what the arguments of this launch start."""
    def get(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    nav2 = Path(share_of("nav2_bringup", "navigation2", "nav2-bringup"))
    managed = get("managed") == "true"
    own = Path(get_package_share_directory(PACKAGE)) / "launch" / "slam.launch.py"
    slam = GroupAction([
        # nav2 has the transforms of a robot in its namespace.
        SetRemap("/tf", "tf"), SetRemap("/tf_static", "tf_static"),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(own)),
            launch_arguments={
                "params_file": get("params_file"), "map_jump_limit": get("map_jump_limit"),
                "autostart": "false" if managed else "true"}.items())])
    navigation = GroupAction([
        PushRosNamespace(get("namespace")),  # as nav2's own bringup_launch.py does
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(nav2 / "launch" / "navigation_launch.py")),
            launch_arguments={
                "namespace": get("namespace"), "use_sim_time": get("use_sim_time"),
                "params_file": _parameters(get, nav2), "autostart": "true",
                "log_level": get("log_level")}.items())])
    return [slam, navigation, *([_manager(get)] if managed else [])]


def _parameters(get, nav2: Path) -> str:
    """Return nav2's parameter file for this robot."""
    from ace_slam_ros.core.config.files import load_config
    from ace_slam_ros.ros.config import NodeConfig
    from ace_slam_ros.ros.nav2 import Robot, nav2_parameters

    ros = load_config(Path(get("params_file")), NodeConfig).ros
    odom_frame = {"": ros.odom_frame, "none": ""}.get(get("odom_frame"), get("odom_frame"))
    robot = Robot(
        namespace=get("namespace"), map_frame=get("map_frame") or ros.map_frame,
        odom_frame=odom_frame, base_frame=get("base_frame") or ros.base_frame,
        camera_frame=get("camera_frame"))
    theirs = get("nav2_params_file") or str(nav2 / "params" / "nav2_params.yaml")
    ours = None if get("nav2_overlay") in ("", "none") else Path(get("nav2_overlay"))
    return str(nav2_parameters(Path(theirs).expanduser(), ours, robot))


def _manager(get) -> Node:
    """Return a lifecycle manager of our nodes.

    With heartbeats it restarts all of them when one ends. Without (the package `bond` is missing)
    a node that is started again waits until somebody calls the manager.
    """
    bond = importlib.util.find_spec("bond") is not None
    return Node(
        package="nav2_lifecycle_manager", executable="lifecycle_manager",
        name="lifecycle_manager_slam", namespace=get("namespace"), output="screen",
        parameters=[{
            "autostart": True, "node_names": list(NODES),
            "use_sim_time": get("use_sim_time") == "true",
            "bond_timeout": BOND_TIMEOUT_S if bond else 0.0}])
