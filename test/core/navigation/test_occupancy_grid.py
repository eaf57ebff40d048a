"""The evidence of scans: free, occupied, cleared; kernel and twin; any order gives the same."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.floors import SMALL, WALLS, camera_at, look

from ace_slam_ros.core.config.navigation import GridConfig
from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.navigation import occupancy_grid
from ace_slam_ros.core.navigation.floor import floor_of_mount
from ace_slam_ros.core.navigation.occupancy_grid import (
    FREE,
    OCCUPIED,
    UNKNOWN,
    OccupancyGrid,
    PlacedScan,
    patch_of,
)
from ace_slam_ros.core.navigation.virtual_scan import make_scan

GRID, SENSOR = GridConfig(highest_m=0.9), SensorConfig()
PERSON = ((1.8, -0.2, 0.0), (2.1, 0.2, 1.8))


def placed(T_world_cam, boxes=WALLS, grid=GRID):
    frame = look(T_world_cam, boxes, camera=SMALL)
    scan = make_scan(frame.depth_m, SMALL, floor_of_mount(T_world_cam), grid, SENSOR).scan
    return PlacedScan.of(scan, SMALL, T_world_cam)


def value(grid, x, y):
    """The cell at a place."""
    picture = grid.picture()
    place = (np.array([x, y]) - picture.corner_2) / picture.resolution_m
    column, row = np.floor(place).astype(int)
    height, width = picture.cells_HW.shape
    inside = 0 <= row < height and 0 <= column < width
    return int(picture.cells_HW[row, column]) if inside else UNKNOWN


def near(grid, x, y):
    """The values of the cells within a cell of a place."""
    return {value(grid, x + dx, y + dy) for dx in (-0.05, 0, 0.05) for dy in (-0.05, 0, 0.05)}


def grid_of(scans, config=GRID):
    grid = OccupancyGrid(config)
    grid.show(dict(enumerate(scans)))
    return grid


@pytest.fixture(scope="module")
def around():
    """Scans of a hall from its middle, all around, and once along it."""
    views = [camera_at(yaw_deg=yaw) for yaw in range(0, 360, 24)]
    return [placed(T) for T in [*views, *(camera_at(0.2 * n) for n in range(5))]]


def test_the_hall_is_free_and_its_walls_occupied(around):
    grid = grid_of(around * 2)
    for x, y in ((2.0, 1.0), (-3.0, 0.0), (0.0, -2.5), (3.8, 0.0)):
        assert value(grid, x, y) == FREE
    for place in np.linspace(-2.5, 2.5, 30):
        assert OCCUPIED in near(grid, 4.0, place) and OCCUPIED in near(grid, place, -3.0)
    for x, y in ((4.3, 0.0), (0.0, 3.3)):
        assert value(grid, x, y) == UNKNOWN
    assert value(grid, 0.7, 0.0) == FREE, "under a low camera that drove there"
    picture = grid.picture()
    assert picture.area_m2(FREE) == pytest.approx(48.0, rel=0.1)


def test_one_view_is_no_obstacle_and_two_are():
    T = camera_at()
    assert OCCUPIED not in near(grid_of([placed(T, [PERSON])]), 1.82, 0.0)
    assert OCCUPIED in near(grid_of([placed(T, [PERSON])] * 2), 1.82, 0.0)


def test_a_person_who_moved_on_is_cleared():
    T = camera_at()
    there, gone = placed(T, [*WALLS, PERSON]), placed(T)
    assert OCCUPIED in near(grid_of([there] * 3), 1.82, 0.0)
    assert value(grid_of([there] * 3), 3.0, 0.0) == UNKNOWN, "behind the person"
    assert near(grid_of([there] * 3 + [gone] * 6), 1.82, 0.0) == {FREE}
    assert value(grid_of([there] * 3 + [gone] * 6), 3.0, 0.0) == FREE


def test_where_the_floor_is_out_of_view_nothing_is_free():
    """A camera held high looks over a low table in front of it."""
    table = ((0.5, -0.5, 0.0), (0.9, 0.5, 0.4))
    grid = grid_of([placed(camera_at(height_m=1.3), [*WALLS, table])] * 3)
    assert value(grid, 0.6, 0.0) == UNKNOWN and value(grid, 3.5, 0.0) == FREE


@pytest.mark.parametrize("view", [{}, {"height_m": 1.2, "pitch_deg": 10.0, "yaw_deg": 200.0},
                                  {"height_m": 1.6, "pitch_deg": 75.0}])
def test_the_kernel_and_its_twin_agree(view, monkeypatch):
    one = placed(camera_at(0.33, -0.21, **view), [*WALLS, PERSON])
    fast = patch_of(one, GRID)
    monkeypatch.setattr(occupancy_grid.compiled, "AVAILABLE", False)
    slow = patch_of(one, GRID)
    assert (fast.row, fast.column) == (slow.row, slow.column)
    assert np.array_equal(fast.evidence_hw, slow.evidence_hw) and fast.evidence_hw.any()


def same(a, b):
    a, b = a.picture(), b.picture()
    return a.corner_2 == b.corner_2 and np.array_equal(a.cells_HW, b.cells_HW)


def test_what_is_added_moved_and_taken_out_is_as_drawn_from_the_start(around):
    grid, scans = OccupancyGrid(GRID), {}
    for number, one in enumerate(around):
        scans[number] = one
        assert grid.show(scans)
    assert not grid.show(dict(scans)), "nothing is new"
    assert same(grid, grid_of(around))
    moved = {n: replace(s, x_m=s.x_m + 0.3, yaw_rad=s.yaw_rad + 0.05) if n % 2 else s
             for n, s in scans.items() if n != 4}
    assert grid.show(moved)
    fresh = OccupancyGrid(GRID)
    fresh.show(moved)
    assert same(grid, fresh) and not same(grid, grid_of(around))
    assert grid.show({}) and grid.picture() is None


def test_the_grid_has_a_largest_size(around, monkeypatch):
    monkeypatch.setattr(occupancy_grid, "MOST_CELLS", 512)
    far = replace(around[0], x_m=900.0)
    grid = grid_of([around[0], far])
    assert grid.left_out == 1 and max(grid.picture().cells_HW.shape) <= 512
    assert same(grid, grid_of([around[0]]))
