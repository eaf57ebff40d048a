"""What a robot's navigation adds to the view: grid, obstacles, robot, keyframes, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.geometry.arrays import Float64Array

_OBSTACLE_COLOR, _ROBOT_COLOR, _KEYFRAME_COLOR = (240, 90, 70), (90, 170, 250), (250, 180, 60)
#: Gray of a cell by the share of 100 that it is occupied; unknown cells are nearly the background.
_FREE_GRAY, _OCCUPIED_GRAY, _UNKNOWN_GRAY = 150, 235, 24
#: The robot is drawn as an arrow of this length, keyframes as shorter ones.
_ROBOT_M, _KEYFRAME_M = 0.5, 0.15


@dataclass(frozen=True)
class Grid:
    """An occupancy grid as nav_msgs has it.

    Attributes:
        cells_HW: (H, W) int8, 0 free to 100 occupied, -1 unknown; row 0 is at the origin.
        resolution_m: edge of a cell.
        T_map_grid: (4, 4) pose of the corner of cell (0, 0), columns along x.
    """

    cells_HW: npt.NDArray[np.int8]
    resolution_m: float
    T_map_grid: Float64Array

    def picture(self) -> npt.NDArray[np.uint8]:
        """Return (H, W, 3) uint8: free cells dark, occupied ones bright."""
        share = self.cells_HW.clip(0, 100) / 100.0
        gray = np.where(self.cells_HW < 0, _UNKNOWN_GRAY, np.where(
            share > 0.5, _OCCUPIED_GRAY, _FREE_GRAY - 80 * share))
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)

    def corners_43(self) -> Float64Array:
        """Return the corners in the map, in the order of the picture's corners."""
        height, width = self.cells_HW.shape
        corners = np.array([[0, 0, 0], [width, 0, 0], [width, height, 0], [0, height, 0]])
        return corners * self.resolution_m @ self.T_map_grid[:3, :3].T + self.T_map_grid[:3, 3]


class Layers:
    """Draws into a recording, below `map`, in map coordinates; `problems` is text."""

    def __init__(self, rerun: Any, recording: Any) -> None:
        self._rerun, self._recording = rerun, recording
        self._told: str | None = None

    def grid(self, grid: Grid) -> None:
        """Draw the occupancy grid as a floor."""
        if not grid.cells_HW.size:
            return
        self._recording.log("map/grid", self._rerun.Mesh3D(
            vertex_positions=grid.corners_43(), triangle_indices=[[0, 1, 2], [0, 2, 3]],
            vertex_texcoords=[[0, 0], [1, 0], [1, 1], [0, 1]], albedo_texture=grid.picture()))

    def obstacles(self, points_N3: npt.NDArray[Any]) -> None:
        """Draw what is in the way now."""
        self._recording.log("map/obstacles", self._rerun.Points3D(
            points_N3, colors=[_OBSTACLE_COLOR], radii=0.01))

    def robot(self, T_map_base: Float64Array) -> None:
        """Draw where the robot (4, 4) is and looks to."""
        self._recording.log("map/robot", self._rerun.Arrows3D(
            origins=[T_map_base[:3, 3]], vectors=[T_map_base[:3, 0] * _ROBOT_M],
            colors=[_ROBOT_COLOR], radii=0.03))

    def keyframes(self, T_map_cam_N44: Float64Array) -> None:
        """Draw where the keyframes' cameras are and look to, as corrected last."""
        self._recording.log("map/keyframes", self._rerun.Arrows3D(
            origins=T_map_cam_N44[:, :3, 3], vectors=T_map_cam_N44[:, :3, 2] * _KEYFRAME_M,
            colors=[_KEYFRAME_COLOR], radii=0.008))

    def problems(self, problems: Sequence[str]) -> None:
        """Say what is wrong, one thing a line; nothing when that is so."""
        text = "\n".join(f"* {problem}" for problem in problems) or "nothing is wrong"
        if text == self._told:
            return
        self._told = text
        self._recording.log("problems", self._rerun.TextDocument(
            text, media_type="text/markdown"))
