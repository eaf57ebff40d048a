"""The true floor plan of a rendered world, and how an occupancy grid compares with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from ace_slam_ros.core.navigation.occupancy_grid import FREE, OCCUPIED, UNKNOWN, GridPicture
from ace_slam_ros.synth.rendering.scene import Box, Scene, Surface

BoolArray = npt.NDArray[np.bool_]
#: Edge of a cell of the plan, spacing of samples on surfaces, margin around the scene, meters.
_CELL_M, _SAMPLE_M, _MARGIN_M = 0.02, 0.01, 0.5


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """What stands between two heights, as cells.

    Attributes:
        occupied_HW: (H, W) solid or a surface; row 0 is at the lowest y of the world.
        corner_2: x, y of its first corner.
    """

    occupied_HW: BoolArray
    corner_2: npt.NDArray[np.float64]

    @staticmethod
    def of(scene: Scene, lowest_m: float, highest_m: float) -> FloorPlan:
        """Slice a scene."""
        points = np.concatenate(
            [p[(p[:, 2] > lowest_m) & (p[:, 2] < highest_m)]
             for p in map(_samples, scene.surfaces)])[:, :2]
        corner = points.min(axis=0) - _MARGIN_M
        size = np.ceil((points.max(axis=0) + _MARGIN_M - corner) / _CELL_M).astype(int)
        occupied = np.zeros(size[::-1], bool)
        cell = ((points - corner) / _CELL_M).astype(int)
        occupied[cell[:, 1], cell[:, 0]] = True
        row, column = np.indices(occupied.shape)
        centers = corner + (np.stack([column, row], -1) + 0.5) * _CELL_M
        for box in scene.boxes:
            occupied |= _within(box, centers, lowest_m, highest_m)
        return FloorPlan(occupied, corner)

    def clearance_m(self, places_N2: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return how far places (N, 2) are from what stands; 0 beyond the plan."""
        cell = np.floor((places_N2 - self.corner_2) / _CELL_M).astype(int)
        inside = ((cell >= 0) & (cell < self.occupied_HW.shape[::-1])).all(axis=1)
        found = np.zeros(len(cell))
        to_solid = _CELL_M * distance_transform_edt(~self.occupied_HW)
        found[inside] = to_solid[cell[inside, 1], cell[inside, 0]]
        return found

    def compare(self, grid: GridPicture, T_world_floor_2: npt.NDArray[np.float64]) -> Comparison:
        """Set a grid beside the plan.

        Args:
            grid: the grid.
            T_world_floor_2: (3, 3) pose of its frame in the world, in the plane.
        """
        row, column = np.indices(grid.cells_HW.shape)
        at = np.stack([column, row], -1) + 0.5
        at = at * grid.resolution_m + np.asarray(grid.corner_2)
        at = at @ T_world_floor_2[:2, :2].T + T_world_floor_2[:2, 2]
        cell = np.floor((at - self.corner_2) / _CELL_M).astype(int)
        height, width = self.occupied_HW.shape
        x, y = cell[..., 0].clip(0, width - 1), cell[..., 1].clip(0, height - 1)
        beyond_m = _CELL_M * np.hypot(cell[..., 0] - x, cell[..., 1] - y)
        # distances are between centers: half a cell of either is no error
        slack_m = (grid.resolution_m + _CELL_M) / 2
        to_solid = beyond_m + _CELL_M * distance_transform_edt(~self.occupied_HW)[y, x] - slack_m
        to_free = beyond_m + _CELL_M * distance_transform_edt(self.occupied_HW)[y, x] - slack_m
        error = np.where(grid.cells_HW == OCCUPIED, to_solid, to_free).clip(0)
        return Comparison(np.where(grid.cells_HW == UNKNOWN, 0.0, error), grid.cells_HW)


@dataclass(frozen=True, eq=False)
class Comparison:
    """How far (H, W) each cell is from where its value would be true, meters; the cells."""

    error_m_HW: npt.NDArray[np.float64]
    cells_HW: npt.NDArray[np.int8]

    def right(self, within_m: float, value: int | None = None) -> float:
        """Return the share of the observed cells, or of those of a value, that are right."""
        chosen = self.cells_HW != UNKNOWN if value is None else self.cells_HW == value
        return float(np.mean(self.error_m_HW[chosen] <= within_m)) if chosen.any() else 0.0

    @property
    def free_m2_share(self) -> float:
        """Share of the observed cells that are free."""
        return float((self.cells_HW == FREE).sum() / max(1, (self.cells_HW != UNKNOWN).sum()))


def _samples(surface: Surface) -> npt.NDArray[np.float64]:
    """Points (n, 3) on a surface."""
    low, high = surface.outline_K2.min(axis=0), surface.outline_K2.max(axis=0)
    u, v = (np.linspace(low[i], high[i], max(2, int((high[i] - low[i]) / _SAMPLE_M) + 2))
            for i in range(2))
    flat = np.stack(np.meshgrid(u, v, indexing="ij"), -1).reshape(-1, 2)
    inside = np.ones(len(flat), bool)
    corners = surface.outline_K2
    area = 0.5 * np.sum(corners[:, 0] * np.roll(corners[:, 1], -1)
                        - np.roll(corners[:, 0], -1) * corners[:, 1])
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        side = (b[0] - a[0]) * (flat[:, 1] - a[1]) - (b[1] - a[1]) * (flat[:, 0] - a[0])
        inside &= side * np.sign(area) >= -1e-9
    flat = flat[inside]
    return surface.origin_3 + flat[:, :1] * surface.u_3 + flat[:, 1:] * surface.v_3


def _within(
    box: Box, centers_HW2: npt.NDArray[np.float64], lowest_m: float, highest_m: float
) -> BoolArray:
    """Tell which places are in an upright box that reaches into the heights."""
    z, half = box.T_world_box_44[2, 3], box.half_3[2]
    if z + half <= lowest_m or z - half >= highest_m:
        return np.zeros(centers_HW2.shape[:2], bool)
    local = (centers_HW2 - box.T_world_box_44[:2, 3]) @ box.T_world_box_44[:2, :2]
    return np.asarray((np.abs(local) <= box.half_3[:2]).all(axis=-1))
