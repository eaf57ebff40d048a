"""The path's own serialization: the same message as rclpy's, at a cost that does not grow."""

import pytest
from nav_msgs.msg import Path
from rclpy.serialization import deserialize_message, serialize_message

from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.ros.messages.conversions import make_header
from ace_slam_ros.ros.messages.poses import pose_to_msg
from ace_slam_ros.ros.outputs.path_topic import PosePath


def walk(path, count, frame="map", begin=0):
    for i in range(begin, begin + count):
        path.add(make_header((1 + i) * 10**8, frame), pose_to_msg(exp_se3([0.1 * i] * 6)))


@pytest.mark.parametrize("frame", ["", "m", "map", "odom", "robot/map", "a" * 23])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_bytes_are_those_of_the_message(frame, count):
    path = PosePath()
    walk(path, count, frame)
    for header in (make_header(5, frame), make_header(5, frame + "longer")):
        data = path.serialized(header)
        assert len(data) == len(serialize_message(path.message(header)))  # gaps hold anything
        assert deserialize_message(data, Path) == path.message(header)
        assert len(path.message(header).poses) == count


def test_near_poses_are_left_out_and_going_back_begins_anew():
    path = PosePath()
    walk(path, 5)
    path.add(make_header(5 * 10**8 + 1, "map"), pose_to_msg(exp_se3([0.0] * 6)))
    assert len(path) == 5
    walk(path, 1)
    assert len(path) == 1
    path.clear()
    assert len(path) == 0


def test_a_long_path_is_thinned():
    path = PosePath(length=10)
    walk(path, 11)
    assert len(path) == 6
    walk(path, 4, begin=11)
    assert len(path) == 8, "from then on every other pose counts"
