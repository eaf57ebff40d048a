"""Starts tracker, mapper and relocalizer; optionally a RealSense, a bag player and RViz.

    ros2 launch ace_slam_ros slam.launch.py camera:=realsense rviz:=true
    ros2 launch ace_slam_ros slam.launch.py bag:=/data/office.mcap
    ros2 launch ace_slam_ros slam.launch.py mode:=localization map:=/data/office_map

Parameters come from `params_file` (config/slam.yaml by default); arguments left empty do not
override it. Machines without launch use `ace-slam up`, which takes the same file.
"""

import json
import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

from ace_slam_ros.launch_files import NODES, PACKAGE, declare, share_of

#: Exit code of a node that cannot start as it is configured.
BAD_PARAMETERS = 2
#: Nodes compile for the machine when they start for the first time, which takes a minute or two.
READY_WITHIN_S = 300

#: Our relative topic -> topic of realsense2_camera with its default names.
REALSENSE_TOPICS = {
    "rgb/image": "/camera/camera/color/image_raw",
    "rgb/camera_info": "/camera/camera/color/camera_info",
    "depth/image": "/camera/camera/aligned_depth_to_color/image_raw",
}
#: image_transport appends these; a remapping does not follow them by itself.
TRANSPORTS = {"rgb/image": "compressed", "depth/image": "compressedDepth"}
REALSENSE_ARGUMENTS = {
    "align_depth.enable": "true", "enable_sync": "true",
    "rgb_camera.color_profile": "640x480x30", "depth_module.depth_profile": "640x480x30",
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; what they start is decided when they are known."""
    share = Path(get_package_share_directory(PACKAGE))
    arguments = declare(params_file=str(share / "config" / "slam.yaml"))
    return LaunchDescription(
        [*arguments, *_environment(share), OpaqueFunction(function=_start)])


def _environment(share: Path) -> list:
    """Set what the caller has not: the camera driver and the bag player need the profile too."""
    wanted = {
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(share / "config" / "fastdds.xml"),
    }
    return [
        SetEnvironmentVariable(name, value)
        for name, value in wanted.items() if name not in os.environ]


def _start(context) -> list:
    """Return the processes for the arguments of this launch."""
    def get(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    if not Path(get("params_file")).is_file():  # launch_ros would go on without it
        raise RuntimeError(f"params_file {get('params_file')} does not exist")
    overrides = {
        "use_sim_time": get("use_sim_time") == "true",
        "ros.parent_pid": os.getpid(),  # nodes end with the launch process, however it ends
        "ros.autostart": get("autostart") == "true",
    }
    if get("mode"):
        overrides["mode"] = get("mode")
    if get("map"):
        overrides["ros.map_dir"] = str(Path(get("map")).expanduser().resolve())
    if get("save_on_exit"):
        overrides["ros.save_on_exit"] = get("save_on_exit") == "true"
    if get("map_jump_limit"):
        overrides["ros.map_jump_limit"] = float(get("map_jump_limit"))
    frames = {"ros.map_frame": get("map_frame"), "ros.odom_frame": get("odom_frame"),
              "ros.base_frame": get("base_frame")}
    overrides.update({n: "" if frame == "none" else frame for n, frame in frames.items() if frame})
    if get("bag"):
        overrides.update(_transports(get))
    topics = _remappings() if get("camera") == "realsense" else []
    ended = _refuse_hopeless(_saves(get("params_file"), overrides))
    nodes = [
        Node(
            package=PACKAGE, executable=f"{name}_node", name=name, namespace=get("namespace"),
            parameters=[ParameterFile(get("params_file")), overrides], remappings=topics,
            arguments=["--ros-args", "--log-level", get("log_level")], output="screen",
            respawn=get("respawn") == "true", respawn_delay=0.1, on_exit=ended)
        for name in NODES]
    if get("camera") == "realsense":
        nodes.append(_realsense())
    if get("bag"):
        nodes.append(_player(get))
    if get("rviz") == "true":
        share_of("rviz2", "rviz2")
        config = Path(get_package_share_directory(PACKAGE)) / "config" / "slam.rviz"
        nodes.append(Node(
            package="rviz2", executable="rviz2", arguments=["-d", str(config)], output="log",
            namespace=get("namespace"), parameters=[{"use_sim_time": overrides["use_sim_time"]}]))
    return nodes


def _saves(params_file: str, overrides: dict) -> bool:
    """Tell whether the mapper is to save its map at its end."""
    from ace_slam_ros.ros.process.early_stop import lost_by_early_stop

    given = [text for name, value in overrides.items()
             for text in ("-p", f"{name}:={json.dumps(value)}")]
    return bool(lost_by_early_stop("mapper", ["--params-file", params_file, *given]))


def _refuse_hopeless(saves: bool):
    """Return what ends the launch when a node refuses its parameters: it would refuse them again.

    A run that was to save its map and did not is no clean end either, whatever ended its mapper.
    """
    def ended(event, context) -> None:
        if saves and event.returncode and context.is_shutdown and "mapper" in event.process_name:
            why = ("its last line above says why" if event.returncode > 0
                   else f"signal {-event.returncode} ended it before it could")
            raise RuntimeError(f"the map is not saved by the mapper: {why}")
        if event.returncode == BAD_PARAMETERS and not context.is_shutdown:
            raise RuntimeError(f"{event.process_name} cannot start, its last line above says why")

    return ended


def _end_with_the_bag(event, context) -> Shutdown:
    """End the launch; as a failure when the bag could not be played."""
    if event.returncode > 0 and not context.is_shutdown:
        raise RuntimeError("the bag could not be played, the player's last line above says why")
    return Shutdown(reason="the bag has ended")


def _read_options(get):
    """Return how the bag is read: the nodes' own way of pairing, and topics that are named."""
    from ace_slam_ros.apps.sources import as_nodes_read  # slow: only with a bag
    from ace_slam_ros.core.config.files import load_config
    from ace_slam_ros.io.source import ReadOptions
    from ace_slam_ros.ros.config import NodeConfig

    named = ReadOptions(
        get("bag_color") or None, get("bag_depth") or None, get("bag_info") or None)
    return as_nodes_read(named, load_config(Path(get("params_file")), NodeConfig))


def _transports(get) -> dict:
    """Return the image transports in which the player will send the bag."""
    from ace_slam_ros.ros.playback.playlist import open_playlist

    playlist = open_playlist(Path(get("bag")).expanduser(), options=_read_options(get))
    return {
        "ros.color_transport": playlist.color_transport,
        "ros.depth_transport": playlist.depth_transport,
    }


def _remappings() -> list:
    """Return the remappings from our topics to the camera's, for every transport."""
    plain = list(REALSENSE_TOPICS.items())
    return plain + [
        (f"{ours}/{transport}", f"{REALSENSE_TOPICS[ours]}/{transport}")
        for ours, transport in TRANSPORTS.items()]


def _realsense() -> IncludeLaunchDescription:
    share = share_of("realsense2_camera", "realsense2-camera")
    path = Path(share) / "launch" / "rs_launch.py"
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(path)), launch_arguments=REALSENSE_ARGUMENTS.items())


def _player(get) -> Node:
    from ace_slam_ros.ros.up import option_arguments

    arguments = [get("bag"), "--rate", get("bag_rate"), "--loop", get("bag_loop"),
                 "--namespace", get("namespace"), "--parent-pid", str(os.getpid()),
                 "--nodes", ",".join(NODES), "--wait", str(READY_WITHIN_S),
                 *option_arguments(_read_options(get))]
    if get("use_sim_time") == "true":
        arguments.append("--clock")
    return Node(
        package=PACKAGE, executable="player", arguments=arguments, output="screen",
        on_exit=_end_with_the_bag)
