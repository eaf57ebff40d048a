"""The way of a camera on a robot is free; of one that is held high nothing is said."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.floors import SMALL, WALLS, camera_at, look
from helpers.keyframes import keyframe

from ace_slam_ros.core.config.navigation import GridConfig
from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.navigation.floor import floor_of_mount
from ace_slam_ros.core.navigation.map_grid import MapGrid
from ace_slam_ros.core.navigation.occupancy_grid import FREE, OCCUPIED, UNKNOWN, cells_of
from ace_slam_ros.core.navigation.passages import JOINED_M, Passage, passages_of, passed_over
from ace_slam_ros.core.navigation.virtual_scan import make_scan

GRID, SENSOR = GridConfig(highest_m=0.9), SensorConfig()


def sideways(height_m, count=5, apart_m=0.4):
    """Keyframes of a camera that looks ahead and moves to its left, over what it does not see."""
    found = []
    for number in range(count):
        T = camera_at(0.0, apart_m * number, height_m=height_m)
        scan = make_scan(look(T, WALLS, camera=SMALL).depth_m, SMALL, floor_of_mount(T), GRID,
                         SENSOR).scan
        found.append(replace(keyframe(number, T, np.zeros((1, 3))), camera=SMALL, scan=scan))
    return found


def of(keyframes):
    return {k.id: (k, k.T_map_cam) for k in keyframes}


def drawn(placed, config=GRID):
    grid = MapGrid(config)
    grid.show(placed)
    return grid


def values(grid, places):
    picture = grid.picture()
    found = []
    for x, y in places:
        column, row = (math.floor((a - b) / picture.resolution_m)
                       for a, b in zip((x, y), picture.corner_2, strict=True))
        height, width = picture.cells_HW.shape
        inside = 0 <= row < height and 0 <= column < width
        found.append(int(picture.cells_HW[row, column]) if inside else UNKNOWN)
    return found


WAY = [(0.0, y) for y in np.arange(0.0, 1.6, 0.05)]
AT_KEYFRAMES = WAY[::8]


def test_the_way_of_a_low_camera_is_free_between_its_keyframes_too():
    placed = of(sideways(0.5))
    assert set(values(drawn(placed), WAY)) == {FREE}
    assert values(drawn(placed), [(-0.3, 0.4)]) == [UNKNOWN], "a robot is not so wide"
    off = drawn(placed, replace(GRID, passed_m=0.0))
    assert set(values(off, WAY)) == {UNKNOWN}, "it never looked there"


def test_of_a_camera_that_may_be_over_a_table_nothing_is_said_unless_told():
    placed = of(sideways(1.2))
    assert set(values(drawn(placed), WAY)) == {UNKNOWN}
    assert set(values(drawn(placed, replace(GRID, passed_below_m=1.5)), WAY)) == {FREE}


def test_a_keyframe_without_a_scan_passed_too():
    low = sideways(0.5)
    placed = of([replace(low[0], scan=None), *low[1:]])
    assert set(values(drawn(placed), WAY)) == {FREE}
    high = sideways(1.2)
    assert set(values(drawn(of([replace(high[0], scan=None), *high[1:]])), WAY)) == {UNKNOWN}


def test_far_keyframes_are_not_joined():
    placed = of(sideways(0.5, apart_m=JOINED_M + 0.1))
    between = [(0.0, 0.3), (0.0, 0.9)]
    assert values(drawn(placed), between) == [UNKNOWN, UNKNOWN]
    assert passages_of({7: (1.0, 2.0), 2: (1.0, 2.3), 9: (5.0, 5.0)}) == {
        2: (1.0, 2.3, 1.0, 2.0), 7: (1.0, 2.0, 1.0, 2.0), 9: (5.0, 5.0, 5.0, 5.0)}
    assert passages_of({}) == {}


def test_what_was_seen_where_the_robot_drove_went_away():
    passed = np.array([[0, 2, 3, 12, 13]], np.int16)
    cells = cells_of(np.full((1, 5), 24, np.int16), passed)
    assert cells.tolist() == [[OCCUPIED, OCCUPIED, UNKNOWN, UNKNOWN, FREE]]


@pytest.mark.parametrize("passage", [
    Passage(0.31, -0.77, 0.31, -0.77), Passage(0.31, -0.77, 0.52, -0.4),
    Passage(-0.2, 0.1, -0.6, 0.1)])
def test_cells_are_those_within_the_radius(passage):
    row, column, cells = passed_over(passage, 0.15, 0.05)
    ends = np.array(passage).reshape(2, 2)
    way = ends[0] + np.linspace(0, 1, 2001)[:, None] * (ends[1] - ends[0])
    for i in range(-4, cells.shape[0] + 4):
        for j in range(-4, cells.shape[1] + 4):
            middle = (np.array([column + j, row + i]) + 0.5) * 0.05
            off_m = np.linalg.norm(way - middle, axis=1).min() - 0.15
            inside = 0 <= i < cells.shape[0] and 0 <= j < cells.shape[1]
            assert abs(off_m) < 1e-6 or (off_m < 0) == (inside and cells[i, j] == 1)


def test_after_corrections_the_grid_is_that_from_scratch():
    rng, low = np.random.default_rng(4), sideways(0.5, count=8, apart_m=0.3)
    grid, placed = MapGrid(GRID), {}
    for one in low:
        placed |= of([one])
        grid.show(placed)
    for _ in range(5):
        for i in rng.choice(8, 3, replace=False):
            if i in placed:
                T = placed[i][1].copy()
                T[:2, 3] += rng.normal(size=2) * 0.3
                placed = placed | {i: (low[i], T)}
        placed = {i: p for i, p in placed.items() if rng.random() > 0.1}
        grid.show(placed)
        fresh = drawn(placed)
        assert fresh.picture().corner_2 == grid.picture().corner_2
        assert np.array_equal(fresh.picture().cells_HW, grid.picture().cells_HW)
