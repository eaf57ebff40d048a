"""The occupancy grid of a map: the evidence of its scans, cell by cell, in the floor's plane.

Evidence is whole numbers that are added, so that a scan can be taken out again exactly: after a
correction of the map the scans that moved are drawn anew, and the grid is the same as if all had
been drawn from the start. So are the passages of the camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..runtime import compiled
from ..runtime.compiled import kernel
from .passages import Passage, passed_over

if TYPE_CHECKING:
    from ..config.navigation import GridConfig
    from ..data.camera import Camera
    from ..data.floor_scan import FloorScan
    from ..geometry.arrays import Float64Array, Int8Array, Int16Array

#: Values of a cell, as in nav_msgs/OccupancyGrid.
UNKNOWN, FREE, OCCUPIED = -1, 0, 100
#: Evidence of one view for an obstacle, and against one where all heights are in view; where a
#: share of them is, its square counts, and less than the least share says nothing.
HIT, PASS, LEAST_SHARE = 12, 8, 0.3
#: Nothing is free where the lowest share of the heights is out of view: most things stand on the
#: floor.
LOWEST_SHARE = 0.15
#: Evidence that makes a cell occupied, of two views, or free: one view of a person who went on
#: is no obstacle.
_OCCUPIED, _FREE = 20, -1
#: Evidence of a passage against an obstacle: a place of the camera ends one and begins another.
PASSED = 2
#: Cells in front of an obstacle that are left out, in cells and as a share of its range.
MARGIN_CELLS, MARGIN_SHARE = 1.0, 0.01
#: Cells along a side at most: 200 m of 5 cm.
MOST_CELLS = 4096
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class PlacedScan:
    """A scan in the plane of the grid.

    Attributes:
        x_m, y_m: foot of the camera.
        yaw_rad: direction of bearing 0.
        ranges_m_K: (K,) as `FloorScan.ranges_mm_K`, meters.
        first_rad, step_rad: as of the scan.
        slopes_K2: (K, 2) how much the lower and the upper edge of the image fall per meter.
        height_m: of the camera above the floor.
    """

    x_m: float
    y_m: float
    yaw_rad: float
    ranges_m_K: Float64Array
    first_rad: float
    step_rad: float
    slopes_K2: Float64Array
    height_m: float

    @staticmethod
    def of(scan: FloorScan, camera: Camera, T_floor_cam: Float64Array) -> PlacedScan:
        """Place the scan of a camera at a pose in the frame of the floor."""
        ahead = T_floor_cam[:3, :3] @ scan.axes_23[0]
        return PlacedScan(
            float(T_floor_cam[0, 3]), float(T_floor_cam[1, 3]),
            math.atan2(ahead[1], ahead[0]),
            scan.ranges_mm_K.astype(np.float64) * 1e-3, scan.first_rad,
            scan.step_rad, _slopes(scan, camera), float(scan.floor_4[3]))

    def same_place(self, other: PlacedScan) -> bool:
        """Whether both are one scan at one pose."""
        return self is other or ((self.x_m, self.y_m, self.yaw_rad, self.height_m)
                == (other.x_m, other.y_m, other.yaw_rad, other.height_m)
                and np.array_equal(self.ranges_m_K, other.ranges_m_K))


def _slopes(scan: FloorScan, camera: Camera) -> Float64Array:
    """Return how much the lower and upper edge of an image (K, 2) fall per meter, by bearing."""
    axes = np.vstack([scan.axes_23, scan.floor_4[:3]])
    u = np.linspace(0, camera.width - 1, 65)
    found = []
    for row in (camera.height - 1.0, 0.0):
        rays = camera.unproject(np.stack([u, np.full(65, row)], 1), np.ones(65)) @ axes.T
        bearing = np.arctan2(rays[:, 1], rays[:, 0])
        slope = rays[:, 2] / np.maximum(np.hypot(rays[:, 0], rays[:, 1]), 1e-3)
        order = np.argsort(bearing)
        found.append(np.interp(scan.bearings_K, bearing[order], slope[order]))
    return np.stack(found, axis=1)


@dataclass(frozen=True, eq=False)
class Patch:
    """The evidence (h, w) of one scan, or passage, of the cells from (row, column) on."""

    row: int
    column: int
    evidence_hw: Int8Array


def patch_of(placed: PlacedScan, config: GridConfig) -> Patch:
    """Return the evidence of a scan; of a cell row counts along y and column along x, from 0."""
    cell = config.resolution_m
    reach = float(np.abs(placed.ranges_m_K).max()) + 2 * cell
    column, row = math.floor((placed.x_m - reach) / cell), math.floor((placed.y_m - reach) / cell)
    width = math.floor((placed.x_m + reach) / cell) - column + 1
    height = math.floor((placed.y_m + reach) / cell) - row + 1
    evidence = np.zeros((height, width), np.int8)
    place = np.array([placed.x_m - column * cell, placed.y_m - row * cell, placed.yaw_rad,
                      placed.first_rad, placed.step_rad, placed.height_m, config.lowest_m,
                      config.highest_m - config.lowest_m, cell])
    draw = _draw if compiled.AVAILABLE else draw_twin
    draw(evidence, place, placed.ranges_m_K, placed.slopes_K2)
    return Patch(row, column, evidence)


@kernel
def _draw(
    evidence_hw: Int8Array, place_9: Float64Array, ranges_m_K: Float64Array,
    slopes_K2: Float64Array,
) -> None:
    """Write what a scan says of each cell of a patch."""
    x, y, yaw, first, step = place_9[0], place_9[1], place_9[2], place_9[3], place_9[4]
    below, lowest, span, cell = place_9[5], place_9[6], place_9[7], place_9[8]
    count, (height, width) = len(ranges_m_K), evidence_hw.shape
    cosine, sine = math.cos(yaw), math.sin(yaw)
    least_ahead = -1.0
    if first > -0.5 * math.pi + step and first + count * step < 0.5 * math.pi - step:
        least_ahead = 0.0
    for row in range(height):
        dy = (row + 0.5) * cell - y
        for column in range(width):
            dx = (column + 0.5) * cell - x
            ahead, left = cosine * dx + sine * dy, cosine * dy - sine * dx
            distance = math.sqrt(dx * dx + dy * dy)
            if least_ahead == 0.0 and ahead <= 0.0:
                continue
            k = int(math.floor((math.atan2(left, ahead) - first) / step + 0.5))
            if k < 0 or k >= count:
                continue
            end = ranges_m_K[k]
            if end > 0.0:
                end -= MARGIN_CELLS * cell + MARGIN_SHARE * end
            else:
                end = -end
            if distance > end:
                continue
            bottom = max((below - slopes_K2[k, 0] * distance - lowest) / span, 0.0)
            share = min((below - slopes_K2[k, 1] * distance - lowest) / span, 1.0) - bottom
            if bottom <= LOWEST_SHARE and share >= LEAST_SHARE:
                evidence_hw[row, column] = -math.ceil(PASS * share * share)
    for k in range(count):
        end = ranges_m_K[k]
        if end > 0.0:
            bearing = yaw + first + step * k
            column = int(math.floor((x + end * math.cos(bearing)) / cell))
            row = int(math.floor((y + end * math.sin(bearing)) / cell))
            if 0 <= row < height and 0 <= column < width:
                evidence_hw[row, column] = HIT


def draw_twin(
    evidence_hw: Int8Array, place_9: Float64Array, ranges_m_K: Float64Array,
    slopes_K2: Float64Array,
) -> None:
    """Do the same in NumPy."""
    x, y, yaw, first, step, below, lowest, span, cell = place_9
    row, column = np.indices(evidence_hw.shape)
    dx, dy = (column + 0.5) * cell - x, (row + 0.5) * cell - y
    ahead, left = math.cos(yaw) * dx + math.sin(yaw) * dy, math.cos(yaw) * dy - math.sin(yaw) * dx
    distance = np.sqrt(dx * dx + dy * dy)
    k = np.floor((np.arctan2(left, ahead) - first) / step + 0.5).astype(np.int64)
    inside = (k >= 0) & (k < len(ranges_m_K))
    k = k.clip(0, len(ranges_m_K) - 1)
    end = ranges_m_K[k]
    end = np.where(end > 0, end - (MARGIN_CELLS * cell + MARGIN_SHARE * end), -end)
    bottom = np.maximum((below - slopes_K2[k, 0] * distance - lowest) / span, 0.0)
    share = np.minimum((below - slopes_K2[k, 1] * distance - lowest) / span, 1.0) - bottom
    seen = inside & (distance <= end) & (bottom <= LOWEST_SHARE) & (share >= LEAST_SHARE)
    evidence_hw[seen] = -np.ceil(PASS * share[seen] ** 2)
    hit = ranges_m_K > 0
    bearing = yaw + first + step * np.arange(len(ranges_m_K))[hit]
    column = np.floor((x + ranges_m_K[hit] * np.cos(bearing)) / cell).astype(np.int64)
    row = np.floor((y + ranges_m_K[hit] * np.sin(bearing)) / cell).astype(np.int64)
    height, width = evidence_hw.shape
    ok = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    evidence_hw[row[ok], column[ok]] = HIT


@dataclass(frozen=True, eq=False)
class GridPicture:
    """An occupancy grid as others take it.

    Attributes:
        cells_HW: (H, W) int8, `UNKNOWN`, `FREE` or `OCCUPIED`; row 0 is at the lowest y, column 0
            at the lowest x.
        resolution_m: edge of a cell.
        corner_2: (x, y) of the outer corner of the first cell, in the frame of the floor.
    """

    cells_HW: Int8Array
    resolution_m: float
    corner_2: tuple[float, float]

    def area_m2(self, value: int) -> float:
        """Return the area of the cells of one value."""
        return float((self.cells_HW == value).sum()) * self.resolution_m**2


class OccupancyGrid:
    """The sum of the evidence of placed scans, and of passages, by number.

    Attributes:
        left_out: scans that lie so far from the others that the grid would be too large.
    """

    def __init__(self, config: GridConfig) -> None:
        self._config = config
        self.clear()

    def clear(self) -> None:
        """Forget all scans and passages."""
        self._placed: dict[int, PlacedScan] = {}
        self._passages: dict[int, Passage] = {}
        self._row = self._column = 0
        self._evidence, self._passed = np.zeros((2, 0, 0), np.int16)
        self.left_out = 0

    def show(
        self, placed: Mapping[int, PlacedScan],
        passages: Mapping[int, Passage] = MappingProxyType({}),
    ) -> bool:
        """Make the grid that of these scans and passages; True when it changed.

        Only those that are new, gone, or at another place are drawn.
        """
        scans_changed = self._show_scans(placed)
        return self._show_passages(passages) or scans_changed

    def _show_passages(self, passages: Mapping[int, Passage]) -> bool:
        gone = [i for i, old in self._passages.items() if passages.get(i) != old]
        for i in gone:
            self._add(self._patch_of(self._passages.pop(i)), -1, passed=True)
        new = [i for i in passages if i not in self._passages]
        for i in new:
            if self._add(self._patch_of(passages[i]), 1, passed=True):
                self._passages[i] = passages[i]
        return bool(gone or new)

    def _patch_of(self, passage: Passage) -> Patch:
        return Patch(*passed_over(passage, self._config.passed_m, self._config.resolution_m))

    def _show_scans(self, placed: Mapping[int, PlacedScan]) -> bool:
        gone = [i for i, old in self._placed.items()
                if i not in placed or not placed[i].same_place(old)]
        new = [i for i, now in placed.items()
               if i not in self._placed or not now.same_place(self._placed[i])]
        for i in gone:
            self._add(patch_of(self._placed.pop(i), self._config), -1)
        self.left_out = 0
        for i in new:
            if self._add(patch_of(placed[i], self._config), 1):
                self._placed[i] = placed[i]
            else:
                self.left_out += 1
        return bool(gone or new)

    def _add(self, patch: Patch, sign: int, passed: bool = False) -> bool:
        """Add evidence of a scan or a passage; False where the grid would become too large."""
        height, width = patch.evidence_hw.shape
        if not self._reserve(patch.row, patch.column, height, width):
            return False
        row, column = patch.row - self._row, patch.column - self._column
        cells = self._passed if passed else self._evidence
        window = cells[row:row + height, column:column + width]
        if sign > 0:
            np.add(window, patch.evidence_hw, out=window)
        else:
            np.subtract(window, patch.evidence_hw, out=window)
        return True

    def _reserve(self, row: int, column: int, height: int, width: int) -> bool:
        """Grow so that a patch fits; False if that would be too large."""
        rows, columns = self._evidence.shape
        low = (row // _BLOCK * _BLOCK, column // _BLOCK * _BLOCK)
        high = (-(-(row + height) // _BLOCK) * _BLOCK, -(-(column + width) // _BLOCK) * _BLOCK)
        if rows:
            low = min(low[0], self._row), min(low[1], self._column)
            high = max(high[0], self._row + rows), max(high[1], self._column + columns)
        if max(high[0] - low[0], high[1] - low[1]) > MOST_CELLS:
            return False
        if (high[0] - low[0], high[1] - low[1]) != (rows, columns):
            grown = np.zeros((2, high[0] - low[0], high[1] - low[1]), np.int16)
            top, left = self._row - low[0], self._column - low[1]
            grown[:, top:top + rows, left:left + columns] = self._evidence, self._passed
            (self._evidence, self._passed), (self._row, self._column) = grown, low
        return True

    def picture(self) -> GridPicture | None:
        """Return the grid around all that is known, None when nothing is."""
        cells = cells_of(self._evidence, self._passed)
        rows = np.flatnonzero((cells != UNKNOWN).any(axis=1))
        columns = np.flatnonzero((cells != UNKNOWN).any(axis=0))
        if not len(rows):
            return None
        cell = self._config.resolution_m
        return GridPicture(
            np.ascontiguousarray(cells[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]), cell,
            ((self._column + int(columns[0])) * cell, (self._row + int(rows[0])) * cell))


def cells_of(evidence_HW: Int16Array, passed_HW: Int16Array) -> Int8Array:
    """Return what the evidence of scans, and the numbers of passages, make of each cell."""
    cells = np.full(evidence_HW.shape, UNKNOWN, np.int8)
    sum_HW = evidence_HW - PASSED * passed_HW
    cells[sum_HW <= _FREE] = FREE
    cells[sum_HW >= _OCCUPIED] = OCCUPIED
    return cells
