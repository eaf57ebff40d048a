"""Starts the nodes in a saved map that is never changed.

    ros2 launch ace_slam_ros localization.launch.py map:=/data/office_map
    ros2 launch ace_slam_ros localization.launch.py map:=/data/office_map camera:=realsense

The other arguments are those of slam.launch.py, which this file includes.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from ace_slam_ros.launch_files import declare


def generate_launch_description() -> LaunchDescription:
    """Include slam.launch.py with the map and the parameters of localization."""
    share = Path(get_package_share_directory("ace_slam_ros"))
    arguments = [
        DeclareLaunchArgument("map", description="map folder to localize in (required)"),
        *declare(["params_file"], params_file=str(share / "config" / "localization.yaml")),
    ]
    slam = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "slam.launch.py")),
        launch_arguments={
            "mode": "localization",
            "map": LaunchConfiguration("map"),
            "params_file": LaunchConfiguration("params_file"),
        }.items())
    return LaunchDescription([*arguments, slam])
