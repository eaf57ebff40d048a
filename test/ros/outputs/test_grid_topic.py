"""The topic `map`: latched, with its origin, again only when the grid has changed."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.keyframes import keyframe
from nav_msgs.msg import OccupancyGrid

from ace_slam_ros.core.config.navigation import GridConfig
from ace_slam_ros.core.data.floor_scan import FloorScan
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, exp_se3, make_pose
from ace_slam_ros.core.navigation.map_grid import MapGrid
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.outputs.grid_topic import GridOutput, grid_problem
from ace_slam_ros.ros.qos import latched_qos

POSE = make_pose(R_BODY_OPTICAL_33, np.array([1.0, 2.0, 0.5]))
WALL = FloorScan(np.array([0.0, 1.0, 0.0, 0.5]), -0.3, 0.01, np.full(60, 2000, np.int16))


class Mapped:
    """What the output asks of a mapper."""

    def __init__(self):
        self.map_id, self.grid, self.asked = "m", MapGrid(GridConfig()), 0
        self.put(POSE)

    def put(self, T_map_cam, scan=WALL):
        self.placed = {n: (replace(keyframe(n, T_map_cam, np.ones((1, 3))), scan=scan), T_map_cam)
                       for n in range(2)}

    @property
    def keyframe_count(self):
        return len(self.placed)

    def updated_grid(self):
        self.asked += 1
        self.grid.show(self.placed)
        return self.grid


@pytest.fixture
def listening(graph, monkeypatch):
    """An output with a clock of its own, and what a listener has heard when it joins and stays."""
    make, executor = graph
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    node, heard = make("mapper"), []
    output = GridOutput(node, NodeConfig())

    def hear():
        if not heard:
            node.create_subscription(OccupancyGrid, "map", heard.append, latched_qos())
        for _ in range(20):
            executor.spin_once(timeout_sec=0.05)
            if heard:
                break
        for _ in range(3):
            executor.spin_once(timeout_sec=0.01)
        return heard

    return SimpleNamespace(output=output, hear=hear, now=now)


def test_the_grid_is_latched_and_sent_again_when_it_changed(listening):
    mapped, output = Mapped(), listening.output
    output.show(mapped, 1)
    (msg,) = listening.hear()  # who comes late gets it
    info, picture = msg.info, mapped.grid.picture()
    assert msg.header.frame_id == "map" and info.resolution == pytest.approx(0.05)
    assert (info.height, info.width) == picture.cells_HW.shape
    assert bytes(msg.data) == picture.cells_HW.tobytes() and set(msg.data) == {-1, 0, 100}
    assert info.origin.position.x == pytest.approx(picture.corner_2[0])
    assert info.origin.orientation.w == pytest.approx(1.0)
    assert info.origin.position.z == pytest.approx(0.0, abs=0.011)
    output.show(mapped, 2)
    assert mapped.asked == 1, "not twice a second"
    listening.now[0] += 2.0
    output.show(mapped, 2)
    assert mapped.asked == 2 and len(listening.hear()) == 1, "the head changed, the grid did not"
    listening.now[0] += 2.0
    mapped.put(exp_se3(np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])) @ POSE)
    output.show(mapped, 3)
    assert len(listening.hear()) == 2
    output.close()


def test_no_grid_is_published_when_none_is_wanted(graph):
    make, _ = graph
    for values in ({"grid.enabled": False}, {"ros.grid_period_s": 0.0}):
        mapped = Mapped()
        output = GridOutput(make(f"mapper_{len(values)}"), NodeConfig().with_values(values))
        output.show(mapped, 1)
        assert mapped.asked == 0 and output.problem == ""
        output.close()


def test_what_is_wrong_with_a_grid_is_told():
    mapped = Mapped()
    assert grid_problem(mapped.updated_grid(), 2) == ""
    mapped.put(POSE, None)
    assert "older than grids" in grid_problem(mapped.updated_grid(), 2)
    assert grid_problem(mapped.updated_grid(), 0) == "", "an empty map is no problem"
    mapped.put(exp_se3(np.array([0, 0, 0, 0, 0.2, 0])) @ POSE)
    assert "tilted by 12 degrees" in grid_problem(mapped.updated_grid(), 2)
