"""Virtual scans of made depth: obstacles, free floor, what is unknown; the kernel and its twin."""

import numpy as np
import pytest
from helpers.floors import CAMERA, WALLS, camera_at, look

from ace_slam_ros.core.config.navigation import GridConfig
from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.floor_scan import MOST_RANGES, FloorScan
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.navigation import virtual_scan
from ace_slam_ros.core.navigation.floor import floor_of_mount
from ace_slam_ros.core.navigation.virtual_scan import make_scan

GRID, SENSOR = GridConfig(), SensorConfig()
PILLAR = ((1.9, -0.2, 0.0), (2.3, 0.2, 2.0))
FLOOR_4 = np.array([0.0, 1.0, 0.0, 0.5])


def scanned(T_world_cam, boxes, noise=0.0, grid=GRID):
    frame = look(T_world_cam, boxes, noise)
    return make_scan(frame.depth_m, CAMERA, floor_of_mount(T_world_cam), grid, SENSOR)


def at(scan, degrees):
    """The range at a bearing, meters."""
    k = int(np.argmin(np.abs(scan.bearings_K - np.radians(degrees))))
    return scan.ranges_mm_K[k] * 1e-3


@pytest.mark.parametrize("view", [
    {}, {"pitch_deg": 20.0, "height_m": 1.2}, {"roll_deg": 7.0, "pitch_deg": -5.0}])
def test_ranges_are_those_of_the_floor_plan(view):
    scan = scanned(camera_at(**view), [*WALLS, PILLAR]).scan
    assert len(scan.ranges_mm_K) <= MOST_RANGES and scan.ranges_mm_K.dtype == np.int16
    assert at(scan, 0.0) == pytest.approx(1.92, abs=0.04)
    for degrees in (-25.0, 15.0, 25.0):
        assert at(scan, degrees) == pytest.approx(4.0 / np.cos(np.radians(degrees)), abs=0.05)
    left = scanned(camera_at(**view), [((1.0, 0.3, 0.0), (1.1, 0.5, 2.0))]).scan
    assert at(left, 21.0) > 0 and not at(left, -21.0) > 0, "left is positive"


def test_a_noisy_wall_is_where_its_middle_is():
    scan = scanned(camera_at(), WALLS, noise=1.0).scan
    ahead = scan.ranges_mm_K * 1e-3 * np.cos(scan.bearings_K)
    assert np.abs(ahead - 4.0).max() < 0.1 and abs(np.median(ahead) - 4.0) < 0.02


def test_heights_decide_what_is_an_obstacle():
    def ahead(low, high, **grid):
        box = ((1.5, -1.0, low), (1.8, 1.0, high))
        return at(scanned(camera_at(), [box], grid=GridConfig(**grid)).scan, 0.0)

    assert ahead(0.0, 0.3) == pytest.approx(1.52, abs=0.04)
    assert ahead(0.0, 0.05) < 0, "a threshold is driven over"
    assert ahead(0.0, 0.3, lowest_m=0.35) < 0
    assert ahead(0.6, 0.9) == pytest.approx(1.52, abs=0.04), "a table top is in the way"
    assert ahead(0.6, 0.9, highest_m=0.55) < 0, "it is driven under"


def test_free_ends_with_the_floor_and_before_gaps_in_it():
    frame = look(camera_at(), [])
    scan = make_scan(frame.depth_m, CAMERA, FLOOR_4, GRID, SENSOR).scan
    assert -5.05 <= at(scan, 0.0) < -4.5, "as far as scans go"
    hidden = frame.depth_m.copy()
    hidden[(hidden > 1.9) & (hidden < 2.6)] = 0.0  # black, so that it has no depth
    scan = make_scan(hidden, CAMERA, FLOOR_4, GRID, SENSOR).scan
    assert at(scan, 0.0) == pytest.approx(-1.9, abs=0.1)
    assert make_scan(np.zeros_like(hidden), CAMERA, FLOOR_4, GRID, SENSOR) is None


def test_a_few_pixels_are_no_obstacle():
    frame = look(camera_at(), WALLS)
    depth = frame.depth_m.copy()
    depth[100, 157:161] = 1.0
    scan = make_scan(depth, CAMERA, FLOOR_4, GRID, SENSOR).scan
    assert at(scan, 0.0) == pytest.approx(4.0, abs=0.05)


def test_obstacles_are_told_in_space():
    T = camera_at(pitch_deg=10.0, height_m=1.0)
    made = scanned(T, [PILLAR])
    ends = made.obstacles_cam_K3
    hit = np.isfinite(ends[:, 0])
    assert np.array_equal(hit, made.scan.ranges_mm_K > 0)
    in_world = ends[hit] @ T[:3, :3].T + T[:3, 3]
    assert np.abs(in_world[:, 0] - 1.95).max() < 0.1 and np.abs(in_world[:, 1]).max() < 0.22
    assert ((in_world[:, 2] > 0.2) & (in_world[:, 2] < 1.8)).all()


def test_a_camera_that_looks_down_has_a_scan():
    box = ((0.4, -1.0, 0.0), (2.0, 1.0, 0.5))
    scan = scanned(camera_at(height_m=2.0, pitch_deg=90.0), [box]).scan
    assert at(scan, 0.0) == pytest.approx(0.42, abs=0.06)


def test_the_kernel_and_its_twin_agree(monkeypatch):
    T = camera_at(pitch_deg=8.0, roll_deg=3.0, height_m=0.7)
    fast = scanned(T, [*WALLS, PILLAR], 1.0)
    monkeypatch.setattr(virtual_scan.compiled, "AVAILABLE", False)
    slow = scanned(T, [*WALLS, PILLAR], 1.0)
    assert np.array_equal(fast.scan.ranges_mm_K, slow.scan.ranges_mm_K)
    assert np.allclose(fast.obstacles_cam_K3, slow.obstacles_cam_K3, equal_nan=True, atol=1e-6)


@pytest.mark.parametrize(("change", "words"), [
    ({"floor_4": np.array([0.0, np.nan, 0.0, 0.5])}, "no plane"),
    ({"floor_4": np.array([0.0, 1.0, 0.0, np.inf])}, "no plane"),
    ({"floor_4": np.array([0.0, 1.0, 0.0, -0.5])}, "no plane"),
    ({"floor_4": np.array([0.0, 2.0, 0.0, 0.5])}, "no plane"),
    ({"step_rad": 0.0}, "no part of a turn"), ({"step_rad": np.nan}, "no part of a turn"),
    ({"first_rad": 9.0}, "no part of a turn"), ({"step_rad": 3.0}, "no part of a turn"),
    ({"ranges_mm_K": np.zeros(0, np.int16)}, "1 to 256"),
    ({"ranges_mm_K": np.zeros(1_000_000, np.int16)}, "1 to 256"),
    ({"ranges_mm_K": np.full(9, -32768, np.int16)}, "farther than 30000"),
])
def test_what_is_no_scan_is_refused_with_the_reason(change, words):
    good = {"floor_4": FLOOR_4, "first_rad": -0.5, "step_rad": 0.1,
            "ranges_mm_K": np.array([500, -900, 0], np.int16)}
    assert FloorScan(**good).bearings_K[-1] == pytest.approx(-0.3)
    with pytest.raises(DataError, match=words):
        FloorScan(**good | change)
