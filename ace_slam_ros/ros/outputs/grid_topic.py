"""The occupancy grid of the mapper on the topic `map`, when it changed and rarely."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Any

from nav_msgs.msg import MapMetaData, OccupancyGrid
from rclpy.node import Node

from ...core.navigation.grid_files import origin_of
from ..messages.conversions import make_header, ns_to_stamp
from ..messages.poses import pose_to_msg
from ..qos import latched_qos

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ...core.mapping.mapper import Mapper
    from ...core.navigation.map_grid import MapGrid
    from ...core.navigation.occupancy_grid import GridPicture
    from ..config import NodeConfig

#: A map that is tilted more than this against the floor is no map for a robot on wheels.
_TILTED_DEG = 3.0


class GridOutput:
    """Publishes the grid, also when nobody listens yet: the last one is latched.

    Attributes:
        problem: what keeps the grid from being useful, and what to do; empty when all is well.
    """

    def __init__(self, node: Node, config: NodeConfig) -> None:
        """Make the publisher, unless no grid is wanted."""
        self._node, self._frame = node, config.ros.map_frame
        self._period_s = config.ros.grid_period_s if config.grid.enabled else 0.0
        self._publisher = node.create_publisher(
            OccupancyGrid, "map", latched_qos()) if self._period_s else None
        self._shown: tuple[Any, ...] = ()
        self._revision, self._due_s = -1, 0.0
        self.problem = ""

    def show(self, mapper: Mapper, version: int) -> None:
        """Publish the grid of a mapper when its map has changed."""
        state = (mapper.map_id, version)
        if self._publisher is None or state == self._shown or time.monotonic() < self._due_s:
            return
        self._shown, self._due_s = state, time.monotonic() + self._period_s
        grid = mapper.updated_grid()
        self.problem = grid_problem(grid, mapper.keyframe_count)
        picture = grid.picture() if grid.revision != self._revision else None
        self._revision = grid.revision
        if picture is not None:
            self._publisher.publish(grid_to_msg(
                picture, grid.T_map_floor, self._node.get_clock().now().nanoseconds,
                self._frame))

    def close(self) -> None:
        """Drop the publisher."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)


def grid_problem(grid: MapGrid, keyframes: int) -> str:
    """Say what keeps the grid of a map of some keyframes from being useful."""
    if keyframes and not grid.scans:
        return ("no keyframe of the map has a scan, so that there is no grid: its floor is "
                "unknown, or the map is older than grids; drive through it again")
    if grid.tilt_deg > _TILTED_DEG:
        return (f"the floor is tilted by {grid.tilt_deg:.0f} degrees in the map, so that the grid "
                "on `map` is too: let TF tell where the camera sits on the robot, then map again")
    return grid.problem


def grid_to_msg(
    picture: GridPicture, T_map_floor: Float64Array, stamp_ns: int, map_frame: str
) -> OccupancyGrid:
    """Make the message of a grid."""
    height, width = picture.cells_HW.shape
    return OccupancyGrid(
        header=make_header(stamp_ns, map_frame),
        info=MapMetaData(
            map_load_time=ns_to_stamp(stamp_ns), resolution=picture.resolution_m, width=width,
            height=height, origin=pose_to_msg(origin_of(picture, T_map_floor))),
        data=array("b", picture.cells_HW.tobytes()))
