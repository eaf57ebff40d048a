"""Parameters of the ROS nodes: those of the core, and a section for frames and publication."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.config.fields import Checked, param
from ..core.config.navigation import ObstacleConfig
from ..core.config.sections import SLOP_S, SlamConfig
from ..core.geometry.frame_names import frame_name

#: Parameters of the nodes that count for recordings too.
OF_RECORDINGS = ("ros.slop_s", "ros.stamps")
#: What a recording decides by itself when it is played.
OF_TOPICS = ("ros.color_transport", "ros.depth_transport")


@dataclass(frozen=True)
class RosConfig(Checked, section="ros"):
    """Frames, transports and publication; used by the ROS nodes alone."""

    map_frame: str = param("map", "frame id of the map")
    odom_frame: str = param("odom", "frame id of the robot's odometry; empty = none")
    base_frame: str = param("base_link", "frame id of the robot, whose pose is published")
    camera_extrinsic: str = param(
        "", "camera (optical) in base as 'x y z qx qy qz qw'; empty = from TF, else the camera's "
        "body frame (x forward, z up) is taken as the base")
    publish_tf: bool = param(True, "broadcast map -> odom, or map -> base without odometry")
    use_odometry: bool = param(
        True, "predict the motion with TF odom_frame -> base_frame where it is published")
    odom_tolerance_s: float = param(
        0.5, "how far odometry may lag behind the images: map -> odom waits so long for it, and "
        "is not sent when it is later (clocks that differ)", "s", 0.0, 5.0)
    map_jump_limit: float = param(
        0.0, "how fast map -> odom follows a correction (a closed loop): beside what odometry "
        "says, TF moves the robot in the map by so many meters and radians per second at most; "
        "jumps beyond a meter are sent at once, the topic pose is always true; 0 = no limit",
        "1/s", 0.0, 10.0)
    forward_initialpose: bool = param(
        False, "relocalizer: send each pose found in the newest frame to the topic initialpose, "
        "as pose of base_frame (for AMCL and for the tracker)")
    color_transport: str = param("raw", "color transport", choices=("raw", "compressed"))
    depth_transport: str = param("raw", "depth transport", choices=("raw", "compressedDepth"))
    slop_s: float = param(SLOP_S, "largest stamp gap of an image pair", "s", 0.0, 1.0)
    stamps: str = param(
        "header", "what images are stamped with: header, or arrival (for drivers whose stamps are "
        "zero or do not grow)", choices=("header", "arrival"))
    map_dir: str = param("", "map folder to load at start and to save to; empty = none")
    map_root: str = param(
        "", "maps are loaded from and saved to folders below this one alone; empty = anywhere")
    save_on_exit: bool = param(False, "save the map to map_dir when the mapper shuts down")
    grid_period_s: float = param(
        1.0, "mapper: how often the occupancy grid is published at most, when changed; 0 = never",
        "s", 0.0, 60.0)
    parent_pid: int = param(0, "exit when this process is gone; 0 = do not watch", "", 0)
    autostart: bool = param(
        True, "configure and activate at start; false = wait for a lifecycle manager")

    def __post_init__(self) -> None:
        """Check the values; frame ids are taken as TF knows them."""
        super().__post_init__()
        for name in ("map_frame", "odom_frame", "base_frame"):
            object.__setattr__(self, name, frame_name(getattr(self, name)))


@dataclass(frozen=True)
class NodeConfig(SlamConfig):
    """Every parameter of a node."""

    ros: RosConfig = field(default_factory=RosConfig)
    obstacles: ObstacleConfig = field(default_factory=ObstacleConfig)
