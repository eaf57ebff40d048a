"""A virtual scan of a depth image: obstacles between two heights above the floor, by bearing.

Every pixel has a bearing around the foot of the camera, its depth a range and a height. A bearing
ends at the nearest range where several pixels show something between the heights; without any, it
is free as far as its floor is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.floor_scan import LONGEST_MM, MOST_RANGES, FloorScan, floor_axes
from ..runtime import compiled
from ..runtime.compiled import kernel

if TYPE_CHECKING:
    from ..config.navigation import GridConfig
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float32Image, Float64Array

#: Of a picture so many columns are looked at.
_COLUMNS = 320
#: Smallest angle between bearings, in radians and in columns; wider views have wider ones.
_LEAST_STEP_RAD, _LEAST_COLUMNS = math.radians(0.3), 1.6
#: Ranges are counted in cells of this length.
CELL_M = 0.05
#: So many pixels at nearly one range are an obstacle, so many are floor.
LEAST_OBSTACLE, LEAST_FLOOR = 4, 1
#: What is lower is floor, or noise of depth and of the floor's tilt: sigmas, and meters a meter.
NOISE_SIGMAS, TILT = 2.5, 0.015
#: Floor that is seen again behind a wider gap does not count: something without depth may stand
#: in it.
LARGEST_GAP_M = 0.3
#: Share of that height below which it is certainly floor.
FLOOR_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class MadeScan:
    """A scan, and where its obstacles are (K, 3) in the optical frame, NaN where there is none."""

    scan: FloorScan
    obstacles_cam_K3: Float64Array


def make_scan(
    depth_m_HW: Float32Image, camera: Camera, floor_4: Float64Array, grid: GridConfig,
    sensor: SensorConfig,
) -> MadeScan | None:
    """Make the scan of a depth image; None when nothing at all is known.

    Args:
        depth_m_HW: (H, W) meters, 0 = missing.
        camera: intrinsics.
        floor_4: the floor in the optical frame, see `FloorScan`.
        grid: heights and range.
        sensor: noise and range of depth.
    """
    axes_33 = np.vstack([floor_axes(floor_4), floor_4[:3]])
    step_px = max(1, camera.width // _COLUMNS)
    first_rad, step_rad, count = _bearings(camera, axes_33, step_px)
    view = camera.pinhole_4
    limits = np.array([
        floor_4[3], grid.lowest_m, grid.highest_m, grid.range_m, sensor.min_depth_m,
        sensor.max_depth_m, sensor.noise_base_m, sensor.noise_quadratic, first_rad, step_rad,
        step_px])
    cells = math.ceil(grid.range_m / CELL_M) + 1
    hits, sums, heights, floors = (np.zeros((count, cells), np.float32) for _ in range(4))
    accumulate = _accumulate if compiled.AVAILABLE else accumulate_twin
    accumulate(depth_m_HW, axes_33, view, limits, hits, sums, heights, floors)
    rows_m2 = step_px / (camera.fy * floor_4[3])
    hit_m, over_m = _obstacles(hits, sums, heights, sensor)
    range_m = np.where(np.isnan(hit_m), -_end_of_floor(floors, rows_m2), hit_m)
    ranges = np.rint(np.clip(1e3 * range_m, -LONGEST_MM, LONGEST_MM)).astype(np.int16)
    if not ranges.any():
        return None
    bearing = first_rad + step_rad * np.arange(count)
    in_floor_K3 = np.stack(
        [hit_m * np.cos(bearing), hit_m * np.sin(bearing), floor_4[3] - over_m], axis=1)
    return MadeScan(FloorScan(np.asarray(floor_4, np.float64), first_rad, step_rad, ranges),
                    in_floor_K3 @ axes_33)


def _bearings(
    camera: Camera, axes_33: Float64Array, step_px: int
) -> tuple[float, float, int]:
    """Return the first bearing of a view, the step, and how many there are."""
    u, v = np.linspace(0, camera.width - 1, 33), np.linspace(0, camera.height - 1, 33)
    border = np.concatenate([
        np.stack([u, np.zeros(33)], 1), np.stack([u, np.full(33, v[-1])], 1),
        np.stack([np.zeros(33), v], 1), np.stack([np.full(33, u[-1]), v], 1)])
    rays = camera.unproject(border, np.ones(len(border))) @ axes_33.T
    bearings = np.arctan2(rays[:, 1], rays[:, 0])
    low, high = (float(x) for x in np.clip((bearings.min(), bearings.max()), -math.pi / 2,
                                           math.pi / 2))
    step = max(_LEAST_STEP_RAD, _LEAST_COLUMNS * step_px / camera.fx,
               (high - low) / (MOST_RANGES - 1))
    return low, step, min(MOST_RANGES, int((high - low) / step) + 1)


@kernel
def _accumulate(
    depth_m_HW: Float32Image, axes_33: Float64Array, view_4: Float64Array,
    limits_11: Float64Array, hits_KC: Float32Array, sums_KC: Float32Array,
    heights_KC: Float32Array, floors_KC: Float32Array,
) -> None:
    """Count pixels by bearing and range: of obstacles with their ranges and heights, of floor."""
    height, width = depth_m_HW.shape
    below, lowest, highest, farthest = limits_11[0], limits_11[1], limits_11[2], limits_11[3]
    least, most, base, quadratic = limits_11[4], limits_11[5], limits_11[6], limits_11[7]
    count, step_px = len(hits_KC), int(limits_11[10])
    for row in range(step_px // 2, height, step_px):
        y = (row - view_4[3]) / view_4[1]
        for column in range(step_px // 2, width, step_px):
            z = float(depth_m_HW[row, column])
            if not (z >= least and z <= most):
                continue
            x = (column - view_4[2]) / view_4[0]
            ahead = axes_33[0, 0] * x + axes_33[0, 1] * y + axes_33[0, 2]
            left = axes_33[1, 0] * x + axes_33[1, 1] * y + axes_33[1, 2]
            down = axes_33[2, 0] * x + axes_33[2, 1] * y + axes_33[2, 2]
            distance = z * math.sqrt(ahead * ahead + left * left)
            if distance >= farthest:
                continue
            k = int(math.floor((math.atan2(left, ahead) - limits_11[8]) / limits_11[9] + 0.5))
            if k < 0 or k >= count:
                continue
            over = below - z * down
            noise = NOISE_SIGMAS * abs(down) * (base + quadratic * z * z) + TILT * distance
            low = max(lowest, noise)
            c = int(distance / CELL_M)
            if over > low:
                if over < highest:
                    hits_KC[k, c] += 1.0
                    sums_KC[k, c] += distance
                    heights_KC[k, c] += over
            elif abs(over) < max(FLOOR_SHARE * low, noise):
                floors_KC[k, c] += 1.0


def accumulate_twin(
    depth_m_HW: Float32Image, axes_33: Float64Array, view_4: Float64Array,
    limits_11: Float64Array, hits_KC: Float32Array, sums_KC: Float32Array,
    heights_KC: Float32Array, floors_KC: Float32Array,
) -> None:
    """Do the same in NumPy."""
    below, lowest, highest, farthest, least, most, base, quadratic, first, step = limits_11[:10]
    step_px = int(limits_11[10])
    half = step_px // 2
    z = depth_m_HW[half::step_px, half::step_px].astype(np.float64)
    row, column = np.nonzero((z >= least) & (z <= most))
    z = z[row, column]
    rays = np.stack([(column * step_px + half - view_4[2]) / view_4[0],
                     (row * step_px + half - view_4[3]) / view_4[1], np.ones(len(z))])
    ahead, left, down = axes_33 @ rays
    distance = z * np.hypot(ahead, left)
    k = np.floor((np.arctan2(left, ahead) - first) / step + 0.5).astype(np.int64)
    over = below - z * down
    noise = NOISE_SIGMAS * np.abs(down) * (base + quadratic * z * z) + TILT * distance
    low = np.maximum(lowest, noise)
    inside = (distance < farthest) & (k >= 0) & (k < len(hits_KC))
    cell = (distance / CELL_M).astype(np.int64)
    hit = inside & (over > low) & (over < highest)
    np.add.at(hits_KC, (k[hit], cell[hit]), 1.0)
    np.add.at(sums_KC, (k[hit], cell[hit]), distance[hit])
    np.add.at(heights_KC, (k[hit], cell[hit]), over[hit])
    floor = inside & (over <= low) & (np.abs(over) < np.maximum(FLOOR_SHARE * low, noise))
    np.add.at(floors_KC, (k[floor], cell[floor]), 1.0)


def _obstacles(
    hits_KC: Float32Array, sums_KC: Float32Array, heights_KC: Float32Array, sensor: SensorConfig
) -> tuple[Float64Array, Float64Array]:
    """Return the range (K,) of the nearest obstacle and its height, means; NaN without one."""
    count, cells = hits_KC.shape
    pairs = hits_KC.copy()
    pairs[:, :-1] += hits_KC[:, 1:]
    enough = pairs >= LEAST_OBSTACLE
    start = np.argmax(enough, axis=1)
    # the near side of a noisy wall comes first: its middle is some sigmas farther
    width = 2 + np.ceil(5.0 * sensor.depth_sigma_m(start * CELL_M) / CELL_M).astype(np.int64)
    end = np.minimum(start + width, cells)
    row = np.arange(count)

    def total(values_KC: Float32Array) -> Float64Array:
        before = np.hstack([np.zeros((count, 1)), np.cumsum(values_KC, axis=1, dtype=float)])
        return np.asarray(before[row, end] - before[row, start])

    number = np.where(enough.any(axis=1), total(hits_KC), np.nan)
    return total(sums_KC) / number, total(heights_KC) / number


def _end_of_floor(floors_KC: Float32Array, rows_m2: float) -> Float64Array:
    """Return how far (K,) floor is seen without a gap that something could stand in, meters."""
    end_m = np.zeros(len(floors_KC))
    for cell in range(floors_KC.shape[1]):
        far_m = (cell + 1) * CELL_M
        gap_m = max(LARGEST_GAP_M, 3.0 * rows_m2 * far_m**2)
        seen = floors_KC[:, cell] >= LEAST_FLOOR
        end_m = np.where(seen & ((end_m == 0.0) | (far_m - end_m <= gap_m)), far_m, end_m)
    return end_m
