"""A map made offline serves live nodes: one frame, with z up, for recordings and robots."""

import pytest
from helpers.node_processes import live_system
from helpers.wall import wander

from ace_slam_ros.core.geometry.se3 import T_BODY_OPTICAL, invert_pose, pose_error
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.poses import pose_from_msg

pytestmark = pytest.mark.live
WALK = wander(36)


def test_live_nodes_localize_in_a_map_made_offline(map_dir, tmp_path):
    written = {p: p.stat().st_mtime_ns for p in map_dir.iterdir()}
    with live_system("/offline", tmp_path, mode="localization", ros__map_dir=map_dir) as system:
        system.nodes["mapper"].wait_for("loaded")
        for number in range(12, -1, -1):
            status = system.show(WALK[number])
            while status.weights_version == 0:  # the tracker has not seen the map yet
                status = system.show(WALK[number])
            assert status.state == SlamStatus.TRACKING, status.reason
            pose = pose_from_msg(system.probe.pose_of(status).pose.pose)
            # the robot's place in the map: its own axes, x ahead and z up, where mapping began
            true = T_BODY_OPTICAL @ WALK[number] @ invert_pose(T_BODY_OPTICAL)
            gap_m, gap_rad = pose_error(pose, true)
            assert gap_m < 0.03 and gap_rad < 0.02
        answer = system.relocalize(WALK[0])
        assert answer.success and answer.pose.header.frame_id == "map"
        for node in system.nodes.values():
            assert node.end() == 0 and "map format" not in node.log.read_text()
    assert written == {p: p.stat().st_mtime_ns for p in map_dir.iterdir()}
