"""Starts a RealSense camera with aligned depth, and the nodes with its frames and noise.

    ros2 launch ace_slam_ros realsense.launch.py rviz:=true
    ros2 launch ace_slam_ros realsense.launch.py map:=/data/office_map

For a camera in the hand or on a mast: poses are of `camera_link`. On a robot that has a
`base_link` use slam.launch.py with camera:=realsense. The other arguments are those of
slam.launch.py, which this file includes.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from ace_slam_ros.launch_files import declare


def generate_launch_description() -> LaunchDescription:
    """Include slam.launch.py with the camera and its parameters."""
    share = Path(get_package_share_directory("ace_slam_ros"))
    arguments = declare(["params_file"], params_file=str(share / "config" / "realsense.yaml"))
    slam = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "slam.launch.py")),
        launch_arguments={
            "camera": "realsense",
            "params_file": LaunchConfiguration("params_file"),
        }.items())
    return LaunchDescription([*arguments, slam])
