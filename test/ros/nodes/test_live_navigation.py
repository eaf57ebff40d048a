"""What a robot that navigates needs of real nodes: TF in its namespace, and a quick start."""

import math
import os
import time

import numpy as np
import pytest
from helpers import robot_libraries
from helpers.node_processes import PATIENCE_S, NodeProcess
from helpers.paths import TEST
from helpers.wall import Wall, wander
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import OccupancyGrid

from ace_slam_ros.core import Slam, SlamConfig
from ace_slam_ros.core.geometry.se3 import (
    R_BODY_OPTICAL_33,
    exp_se3,
    invert_pose,
    make_pose,
    pose_error,
)
from ace_slam_ros.core.tracking.result import TrackingHints
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.poses import pose_from_msg, transform_from_msg
from ace_slam_ros.ros.qos import latched_qos, reliable_qos
from ace_slam_ros.synth.worlds import make_world

pytestmark = pytest.mark.live
robots = pytest.importorskip("helpers.robots", reason="tf2_msgs is not installed")

T_MAP_ODOM = exp_se3(np.array([0.4, -0.3, 0.0, 0.0, 0.0, 0.7]))
#: Camera and wheels of a robot speak so often.
PERIOD_S = 1 / 30
#: From activate to pose, transform and grid.
SOON_S = 3.0


@pytest.fixture(params=["robot", "own"])
def library(request, tmp_path):
    """Variables of a node that uses tf2_ros, or what stands for it here, or our own code."""
    if request.param == "own":
        return "own", {"ACE_SLAM_OWN_CODE": "tf2_ros"}
    if "tf2_ros" in robot_libraries.INSTALLED:
        return "robot", {}
    folder = tmp_path / "libraries"
    folder.mkdir()
    (folder / "tf2_ros.py").write_text("from helpers.robot_libraries import *\n")
    path = [str(folder), str(TEST), os.environ.get("PYTHONPATH", "")]
    return "robot", {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def test_a_robot_with_its_transforms_in_its_namespace_hears_and_sends_there(library, tmp_path):
    """As nav2 starts robots: /tf:=tf, /tf_static:=tf_static."""
    name, variables = library
    node = NodeProcess("tracker", "/robot1", tmp_path, ["/tf:=tf", "/tf_static:=tf_static"],
                       variables)
    probe, common = robots.Robot("/robot1", tf="tf"), []
    probe.node.create_subscription(
        robots.TFMessage, "/tf", common.append, reliable_qos(100))
    wall, stamp_ns = Wall(), 10**9
    try:
        node.wait_for("libraries: ")
        probe.spin_until(lambda: probe.tf.get_subscription_count() > 1, "the TF listener")
        for T_world_cam in wander(72)[:4]:
            stamp_ns += 33_000_000
            T_map_base = robots.T_BASE_CAM @ T_world_cam @ invert_pose(robots.T_BASE_CAM)
            for offset_ns in (-10_000_000, 10_000_000):  # so that it can be interpolated
                probe.drive(stamp_ns + offset_ns, invert_pose(T_MAP_ODOM) @ T_map_base)
            status = probe.send(stamp_ns, *wall.look(T_world_cam))
        assert status.state == SlamStatus.TRACKING, status.reason
        probe.spin_until(lambda: len(probe.heard) > 3, "map -> odom")
        found = probe.heard[-1]
        assert found.child_frame_id == "odom"
        assert np.allclose(transform_from_msg(found.transform), T_MAP_ODOM, atol=0.01)
        # with the mount from /robot1/tf_static
        T_found = pose_from_msg(probe.pose_of(status).pose.pose)
        assert np.allclose(T_found, T_map_base, atol=0.01)
        for topic in ("/tf", "/tf_static"):
            assert probe.node.count_publishers(topic) == 0, topic
        assert probe.node.count_publishers("/robot1/tf") == 2 and not common
        assert node.end() == 0
        own = "own code instead of" in node.log.read_text() and "tf2_ros (" in node.log.read_text()
        assert own == (name == "own")
    finally:
        print(node.log.read_text())
        probe.close()
        node.process.kill()


#: A robot as high as a chair, whose camera looks down a little.
T_BASE_CAM = make_pose(np.eye(3), np.array([0.1, 0.0, 0.6])) @ exp_se3(
    np.array([0, 0, 0, 0, math.radians(12.0), 0])) @ make_pose(R_BODY_OPTICAL_33, np.zeros(3))


def base_at(turn):
    """Where the robot is in the room after a part of its round: it turns on a small circle."""
    angle = 2 * math.pi * turn
    position = np.array([0.4 * math.cos(angle), 0.3 * math.sin(angle), 0.0])
    return make_pose(exp_se3(np.array([0, 0, 0, 0, 0, angle]))[:3, :3], position)


@pytest.fixture(scope="module")
def room_map(tmp_path_factory):
    """A map of a rendered room, made on the robot, whose frame is that of its first base."""
    world, slam = make_world("room", 0), Slam(SlamConfig().with_values({"device": "cpu"}))
    T_map_world = invert_pose(base_at(0.0))
    for number, turn in enumerate(np.arange(0.0, 0.25, 0.012)):
        frame = world.picture(base_at(turn) @ T_BASE_CAM, number).frame
        result = slam.process(frame, TrackingHints(
            T_base_cam=T_BASE_CAM, T_map_cam_first=T_BASE_CAM))
        gap_m, _ = pose_error(result.T_map_cam, T_map_world @ base_at(turn) @ T_BASE_CAM)
        assert gap_m < 0.05, number
    path = tmp_path_factory.mktemp("room") / "map"
    slam.save(path)
    return world, path


def accepted_by_nav2(grid):
    """What nav2's static layer asks of a message (nav2_util::validateMsg), and level ground."""
    info, turn = grid.info, grid.info.origin.orientation
    return (grid.header.frame_id == "map" and info.width > 0 and info.height > 0
            and math.isfinite(info.resolution) and info.resolution > 0
            and len(grid.data) == info.width * info.height
            and (turn.x, turn.y, turn.z, turn.w) == (0.0, 0.0, 0.0, 1.0)
            and set(grid.data) <= {-1, 0, 100})


@pytest.mark.render
@pytest.mark.alone
def test_a_robot_in_a_known_map_can_drive_soon_after_its_nodes_are_activated(room_map, tmp_path):
    """Nobody tells where it is; its odometry began elsewhere."""
    world, path = room_map
    nodes = [NodeProcess(name, "/robot", tmp_path, mode="localization", ros__map_dir=path,
                         ros__autostart=False) for name in ("tracker", "mapper")]
    probe, grids, since = robots.Robot("/robot", T_base_cam=T_BASE_CAM), [], {}
    probe.node.create_subscription(OccupancyGrid, "map", grids.append, latched_qos())
    frame = world.picture(base_at(0.13) @ T_BASE_CAM, 1000).frame
    depth_mm = np.rint(frame.depth_m * 1000.0).astype(np.uint16)
    T_map_base = invert_pose(base_at(0.0)) @ base_at(0.13)
    sights = {"pose": probe.poses, "map -> odom": probe.heard, "grid": grids}
    try:
        for name in ("tracker", "mapper"):
            assert probe.change(Transition.TRANSITION_CONFIGURE, name)
        begin_s = time.monotonic()
        for name in ("mapper", "tracker"):
            assert probe.change(Transition.TRANSITION_ACTIVATE, name)
        while len(since) < 3 and time.monotonic() < begin_s + PATIENCE_S:
            stamp_ns = time.time_ns()
            probe.drive(stamp_ns + 10_000_000, invert_pose(T_MAP_ODOM) @ T_map_base)
            probe.publish(stamp_ns, frame.image, depth_mm, frame.camera)
            end_s = time.monotonic() + PERIOD_S
            while time.monotonic() < end_s:
                probe.executor.spin_once(timeout_sec=0.01)
            for what, messages in sights.items():
                if messages:
                    since.setdefault(what, time.monotonic() - begin_s)
        told = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in since.items())
        print(f"after activate: {told}")
        T_found = transform_from_msg(probe.heard[0].transform)
        assert np.allclose(T_found, T_MAP_ODOM, atol=0.05)
        assert np.allclose(pose_from_msg(probe.poses[0].pose.pose), T_map_base, atol=0.05)
        assert accepted_by_nav2(grids[0]) and {0, 100} <= set(grids[0].data)
        assert len(since) == 3 and max(since.values()) <= SOON_S, told
    finally:
        probe.close()
        for node in nodes:
            print(node.log.read_text())
            node.process.kill()
