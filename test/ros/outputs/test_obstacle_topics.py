"""Clouds of obstacles: sent to who listens, in the base frame; why there is none is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose
from ace_slam_ros.core.navigation.obstacle_cloud import warm_up_obstacles
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.inputs.extrinsic import PlaceSource
from ace_slam_ros.ros.outputs.obstacle_topics import ObstacleOutput
from ace_slam_ros.ros.qos import sensor_qos

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
T_BASE_CAM = make_pose(R_BODY_OPTICAL_33, np.array([0.2, 0.0, 0.5]))
STAMP_NS = 7 * 10**9 + 250_000_000


def wall(depth_m: float = 1.5) -> Frame:
    """A wall across the view, from the floor to above the camera."""
    image = np.zeros((240, 320), np.uint8)
    return Frame(STAMP_NS, image, np.full(image.shape, depth_m, np.float32), CAMERA)


class Listener:
    """An output, who listens to it, and what was logged."""

    def __init__(self, make: Callable[..., Any], executor: Any, **values: Any) -> None:
        warm_up_obstacles()
        self.executor, self.heard, self.node = executor, {}, make("tracker")
        self.errors: list[str] = []
        self.node.log_exception = self.errors.append
        config = NodeConfig().with_values(
            {name.replace("__", "."): value for name, value in values.items()})
        self.output = ObstacleOutput(self.node, config)
        self.output.start()

    def listen(self, *names: str) -> None:
        for name in names:
            self.heard[name] = []
            self.node.create_subscription(
                PointCloud2, name, self.heard[name].append, sensor_qos())
        self.until(lambda: self.output._is_wanted())

    def until(self, holds: Callable[[], Any]) -> bool:
        """Handle messages until something holds, for a while at most."""
        end_s = time.monotonic() + 20.0
        while not holds() and time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.02)
        return bool(holds())

    def show(self, frame: Frame, source: PlaceSource = PlaceSource.TF, **others: Any) -> None:
        self.output.show(frame, others.get("T_base_cam", T_BASE_CAM), source, others.get("mask"),
                         others.get("floor_4"))

    def refused(self, frame: Frame, source: PlaceSource = PlaceSource.TF, **others: Any) -> str:
        """Show a frame of which no cloud comes; return why."""
        self.show(frame, source, **others)
        assert self.until(self.output.problem) and not self.output.values()
        return self.output.problem()


@pytest.fixture
def listener(graph: Any) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(**values: Any) -> Listener:
        made.append(Listener(*graph, **values))
        return made[-1]

    yield make
    for one in made:
        one.output.stop()
        one.output.close()
        assert one.errors == []


def xyz(cloud: PointCloud2) -> np.ndarray:
    return np.frombuffer(cloud.data, "<f4").reshape(-1, 3)


def test_who_listens_gets_the_newest_frame_in_the_base_frame(listener: Any) -> None:
    one = listener()
    one.show(wall())
    assert one.output._seen.take(0.0) is None, "nobody listens: nothing is computed"
    one.listen("obstacles")
    one.show(wall())
    assert one.until(lambda: one.heard["obstacles"])
    cloud = one.heard["obstacles"][0]
    assert cloud.header.frame_id == "base_link"
    assert (cloud.header.stamp.sec, cloud.header.stamp.nanosec) == (7, 250_000_000)
    points = xyz(cloud)
    assert np.allclose(points[:, 0], 1.7, atol=0.01) and points[:, 2].min() > 0.05
    assert one.until(one.output.values)
    assert one.output.values()["obstacle_clouds"] == 1 and one.output.problem() == ""


def test_free_space_is_told_and_an_empty_road_is_an_empty_cloud(listener: Any) -> None:
    one = listener()
    one.listen("obstacles", "free_space")
    one.show(wall(5.0))  # beyond the range
    assert one.until(lambda: all(one.heard.values()))
    assert one.heard["obstacles"][0].width == 0
    assert np.allclose(xyz(one.heard["free_space"][0])[:, 0], 5.2, atol=0.01)


def test_no_floor_no_cloud_and_the_fix_is_named(listener: Any) -> None:
    one = listener()
    one.listen("obstacles")
    assert "floor is not known" in one.refused(wall(), PlaceSource.ASSUMED)
    assert "ros.base_frame" in one.output.problem()


def test_a_floor_that_was_found_stands_for_the_mount(listener: Any) -> None:
    one = listener()
    one.listen("obstacles")
    one.show(wall(), PlaceSource.ASSUMED, floor_4=np.array([0.0, 1.0, 0.0, 0.5]),
             T_base_cam=make_pose(R_BODY_OPTICAL_33, np.zeros(3)))
    assert one.until(lambda: one.heard["obstacles"])
    assert xyz(one.heard["obstacles"][0])[:, 2].min() == pytest.approx(-0.43, abs=0.02)


def test_the_cameras_own_frame_has_no_floor(listener: Any) -> None:
    one = listener()
    one.listen("obstacles")
    own = make_pose(R_BODY_OPTICAL_33, np.array([0.0, 0.015, 0.0]))
    assert "floor is not known" in one.refused(wall(), T_base_cam=own)


def test_a_covered_camera_is_no_free_road(listener: Any) -> None:
    one = listener()
    one.listen("obstacles")
    assert "100 % of the picture has no depth" in one.refused(wall(0.0))


def test_the_robot_itself_is_left_out(listener: Any) -> None:
    one = listener()
    one.listen("obstacles")
    mask = np.full((240, 320), 255, np.uint8)
    mask[:, :160] = 0
    one.show(wall(), mask=mask)
    assert one.until(lambda: one.heard["obstacles"])
    assert xyz(one.heard["obstacles"][0])[:, 1].max() < 0.05, "y points to the left"


@pytest.mark.parametrize("rate_hz, taken", [(0.0, 0), (0.01, 1)])
def test_the_rate_limits_clouds(listener: Any, rate_hz: float, taken: int) -> None:
    one = listener(obstacles__rate_hz=rate_hz)
    one.listen("obstacles")
    for _ in range(3):
        one.show(wall())
    assert one.until(lambda: len(one.heard["obstacles"]) == taken)
    one.executor.spin_once(timeout_sec=0.05)
    assert len(one.heard["obstacles"]) == taken
