"""The camera's place on the robot."""

from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import (
    R_BODY_OPTICAL_33,
    exp_se3,
    make_pose,
)
from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.inputs.extrinsic import Extrinsic, PlaceSource, check_optical


class Graph:
    """What Extrinsic needs of a node and of TF."""

    available = True

    def __init__(self):
        self.T_base_cam, self.publishers, self.said = None, 0, []

    def get_logger(self):
        return SimpleNamespace(warning=self.said.append, info=self.said.append)

    def resolve_topic_name(self, topic):
        return topic

    def count_publishers(self, topic):
        return self.publishers

    def lookup(self, target, source, stamp_ns):
        assert (target, source) == ("base_link", "cam_frame")
        return self.T_base_cam


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr("ace_slam_ros.ros.inputs.extrinsic.time", SimpleNamespace(
        monotonic=lambda: now[0]))
    return now


OPTICAL = make_pose(R_BODY_OPTICAL_33, np.array([0.2, 0.0, 0.5]))


def test_extrinsic_from_the_parameter(clock):
    found = Extrinsic(Graph(), RosConfig(camera_extrinsic="1 2 3 0 0 0 1"), Graph())
    assert np.allclose(found.at("cam_frame", 0)[:3, 3], [1, 2, 3])
    assert found.source is PlaceSource.PARAMETER and found.is_known


def test_extrinsic_from_tf_is_awaited_then_followed(clock):
    graph = Graph()
    graph.publishers = 2
    extrinsic = Extrinsic(graph, RosConfig(), graph)
    assert extrinsic.at("cam_frame", 0) is None
    graph.T_base_cam = OPTICAL
    assert np.array_equal(extrinsic.at("cam_frame", 1), OPTICAL)
    assert extrinsic.source is PlaceSource.TF
    moved = OPTICAL @ exp_se3(np.array([0, 0, 0, 0, 0.3, 0]))
    graph.T_base_cam = moved
    assert np.array_equal(extrinsic.at("cam_frame", 2), moved)
    graph.T_base_cam = None
    assert np.array_equal(extrinsic.at("cam_frame", 3), moved)


@pytest.mark.parametrize("publishers", [0, 2])
def test_extrinsic_is_assumed_when_nobody_knows(clock, publishers):
    graph = Graph()
    graph.publishers = publishers
    extrinsic = Extrinsic(graph, RosConfig(), graph)
    first = extrinsic.at("cam_frame", 0)
    assert (first is None) == bool(publishers)
    clock[0] += Extrinsic.WAIT_S
    assumed = extrinsic.at("cam_frame", 1)
    assert extrinsic.source is PlaceSource.ASSUMED and not extrinsic.is_known
    # the viewing direction is the base's x axis, the image's upper edge points along z
    assert np.allclose(assumed[:3, :3] @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(assumed[:3, :3] @ [0, -1, 0], [0, 0, 1])


def test_late_tf_is_told_and_adopted_by_the_next_map(clock):
    graph = Graph()
    extrinsic = Extrinsic(graph, RosConfig(), graph)
    assumed = extrinsic.at("cam_frame", 0)
    assert "set ros.camera_extrinsic" in extrinsic.problem()
    assert graph.said == [extrinsic.problem()]  # the log says it as well, once
    graph.T_base_cam = OPTICAL
    for stamp_ns in (1, 2):
        assert np.array_equal(extrinsic.at("cam_frame", stamp_ns), assumed)
    assert len(graph.said) == 2 and "reset service" in extrinsic.problem()
    extrinsic.forget()
    assert np.array_equal(extrinsic.at("cam_frame", 3), OPTICAL)
    assert extrinsic.source is PlaceSource.TF
    assert not extrinsic.problem()
    assert "from TF" in graph.said[2]


def test_an_optical_joint_without_rotation_is_refused_with_the_fix():
    forgotten = make_pose(np.eye(3), np.array([0.2, 0.0, 0.5]))
    with pytest.raises(DataError, match='rpy="-1.5708 0 -1.5708"'):
        check_optical("camera_optical_frame", forgotten)
    check_optical("camera_optical_frame", OPTICAL)
    ceiling = exp_se3(np.array([0, 0, 0, 0, 0, 0.5])) @ forgotten  # looks up, turned about z
    check_optical("camera_optical_frame", ceiling)


def test_a_body_pose_as_parameter_is_a_warning(clock):
    found = Extrinsic(Graph(), RosConfig(camera_extrinsic="0.2 0 0.5 0 0 0 1"), Graph())
    assert "-0.5 0.5 -0.5 0.5" in found.problem()
    ahead = Extrinsic(
        Graph(), RosConfig(camera_extrinsic="0.2 0 0.5 -0.5 0.5 -0.5 0.5"), Graph())
    assert not ahead.problem() and np.allclose(ahead.at("cam", 0), OPTICAL)


def test_a_body_frame_is_refused_with_the_fix(clock):
    graph = Graph()
    graph.T_base_cam = make_pose(np.eye(3), np.array([0.2, 0.0, 0.5]))
    with pytest.raises(DataError, match="optical"):
        Extrinsic(graph, RosConfig(), graph).at("cam_frame", 0)
