"""The grid of keyframes: corrections, other floors, a tilted map; its files by nav2's rules."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from helpers.floors import SMALL, WALLS, camera_at, look
from helpers.keyframes import keyframe

from ace_slam_ros.core.config.navigation import GridConfig
from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points
from ace_slam_ros.core.navigation.floor import floor_of_mount, moved
from ace_slam_ros.core.navigation.grid_files import grid_files
from ace_slam_ros.core.navigation.map_grid import MapGrid, floor_frame
from ace_slam_ros.core.navigation.occupancy_grid import FREE, OCCUPIED, UNKNOWN
from ace_slam_ros.core.navigation.virtual_scan import make_scan

GRID, SENSOR = GridConfig(highest_m=0.9), SensorConfig()


def scanned(number, T_world_cam, lift_m=0.0):
    """A keyframe with the scan of a hall; its floor is taken for higher by `lift_m`."""
    floor_4 = floor_of_mount(T_world_cam)
    floor_4[3] -= lift_m
    depth_m = look(T_world_cam, WALLS, camera=SMALL).depth_m
    made = make_scan(depth_m, SMALL, floor_4, GRID, SENSOR)
    return replace(keyframe(number, T_world_cam, np.zeros((1, 3))), camera=SMALL, scan=made.scan)


@pytest.fixture(scope="module")
def walk():
    return [scanned(n, camera_at(-2.0 + 0.5 * n, yaw_deg=20.0 * n)) for n in range(8)]


def of(keyframes, T_map_world=None):
    T = np.eye(4) if T_map_world is None else T_map_world
    return {k.id: (k, T @ k.T_map_cam) for k in keyframes}


def fresh(placed):
    grid = MapGrid(GRID)
    grid.show(placed)
    return grid


def assert_same(a, b):
    assert np.array_equal(a.T_map_floor, b.T_map_floor)
    assert a.picture().corner_2 == b.picture().corner_2
    assert np.array_equal(a.picture().cells_HW, b.picture().cells_HW)


def test_after_a_loop_the_grid_is_as_rendered_from_scratch(walk):
    grid, placed = MapGrid(GRID), {}
    for one in walk:
        placed |= of([one])
        grid.show(placed)
    assert_same(grid, fresh(placed))
    before, picture = grid.revision, grid.picture()
    grid.show(dict(placed))
    assert grid.revision == before, "nothing has changed"
    corrected = {i: (k, T @ exp_se3(np.array([0, 0, 0.02 * i, 0, 0.01 * i, 0])))
                 for i, (k, T) in placed.items()}
    grid.show(corrected)
    assert grid.revision != before
    assert not np.array_equal(grid.picture().cells_HW, picture.cells_HW)
    assert_same(grid, fresh(corrected))
    pruned = replace(walk[3], scan=walk[3].scan.without(np.arange(40)))
    for state in (corrected | of([pruned]), of(walk[:4])):
        grid.show(state)
        assert_same(grid, fresh(state))


def test_keyframes_without_scans_make_no_grid(walk):
    grid = fresh(of([replace(k, scan=None) for k in walk]))
    assert grid.picture() is None and grid.scans == 0 and grid.tilt_deg == 0.0
    grid.show(of([replace(walk[0], scan=None), *walk[1:]]))
    assert grid.scans == 7 and grid.picture() is not None


def test_scans_of_a_table_are_left_out(walk):
    odd = [scanned(n, camera_at(0.05 * n), 0.3) for n in (20, 21)]
    grid = fresh(of([*walk, *odd]))
    assert "2 scans are of another floor" in grid.problem and grid.scans == 10
    assert_same(grid, fresh(of(walk)))
    ramp = [replace(k, T_map_cam=camera_at(2.0 * n, height_m=0.5 + 0.1 * n))
            for n, k in enumerate(walk)]
    assert fresh(of(ramp)).problem == "", "a ramp is one floor"


def test_a_tilted_map_has_its_grid_along_the_floor(walk):
    level, tilt = fresh(of(walk)), np.array([0.3, -0.2, 0.7, 0.0, np.radians(12.0), 0.0])
    T_map_world = exp_se3(tilt)
    tilted = fresh(of(walk, T_map_world))
    assert tilted.tilt_deg == pytest.approx(12.0, abs=0.3) and level.tilt_deg == 0.0
    assert level.T_map_floor[2, 3] == pytest.approx(0.0, abs=0.02)
    for value in (FREE, OCCUPIED):
        assert tilted.picture().area_m2(value) == pytest.approx(
            level.picture().area_m2(value), rel=0.05)
    on_floor = np.linalg.inv(tilted.T_map_floor) @ T_map_world
    places = transform_points(on_floor, np.array([[2.0, 1.0, 0.0], [-3.0, 2.0, 0.0]]))
    assert np.abs(places[:, 2]).max() < 0.03
    nearly = fresh(of(walk, exp_se3(np.array([0, 0, 0.2, 0, np.radians(1.0), 0]))))
    assert nearly.tilt_deg == 0.0, "wheels and poses tilt by so much"


@pytest.mark.parametrize("tilt_deg", [0.0, 4.6, 12.3])
def test_the_frame_stays_to_the_bit_while_floors_differ_a_little(tilt_deg):
    """Or every scan would be drawn anew whenever a keyframe comes."""
    tilt = exp_se3(np.array([0, 0, 0, 0.02, np.radians(tilt_deg), 0]))
    floor_4 = moved(np.array([0.0, 0.0, -1.0, 1.004]), tilt)
    rng, feet = np.random.default_rng(0), np.zeros((9, 3))
    frames = []
    for _ in range(5):
        floors = floor_4 + rng.normal(size=(9, 4)) * 1e-5
        frames.append(floor_frame(floors, feet))
    assert all(np.array_equal(frames[0], other) for other in frames[1:])
    assert frames[0][:3, :3] @ frames[0][:3, :3].T == pytest.approx(np.eye(3), abs=1e-12)


def read_by_nav2s_rules(folder, name):
    """What nav2_map_server makes of a map: values (H, W), row 0 at the origin, and its yaml."""
    told = yaml.safe_load((folder / f"{name}.yaml").read_text())
    magic, size, most, pixels = (folder / told["image"]).read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert (magic, most, told["mode"], told["negate"]) == (b"P5", b"255", "trinary", 0)
    values = np.full((height, width), -1)
    for y in range(height):
        for x in range(width):
            occupied = 1.0 - pixels[y * width + x] / 255.0
            if told["occupied_thresh"] < occupied:
                values[height - y - 1, x] = 100
            elif occupied < told["free_thresh"]:
                values[height - y - 1, x] = 0
    assert len(pixels) == width * height
    return values, told


def test_the_files_are_read_back_by_nav2s_rules(walk, tmp_path):
    grid = fresh(of(walk))
    picture = grid.picture()
    for name, data in grid_files("hall", picture, grid.T_map_floor).items():
        (tmp_path / name).write_bytes(data)
    values, told = read_by_nav2s_rules(tmp_path, "hall")
    assert np.array_equal(values, picture.cells_HW)
    assert set(np.unique(values)) == {UNKNOWN, FREE, OCCUPIED}
    assert told["resolution"] == 0.05 and told["origin"][2] == 0.0
    x, y = np.array([[2.0, 1.0], [1.0, 0.5]]).T
    column = ((x - told["origin"][0]) / 0.05).astype(int)
    assert (values[((y - told["origin"][1]) / 0.05).astype(int), column] == FREE).all()
