"""Scans in a map folder, and the grid's files: ours are replaced, those that were edited stay."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.saved_maps import HEAD, MANIFEST, keyframe

from ace_slam_ros.core.data.floor_scan import FloorScan
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.maps.keyframe_codec import pack_keyframes, unpack_keyframes
from ace_slam_ros.core.maps.map_folder import back_up_larger, load_map, save_map

GRID = {"grid.pgm": b"P5\n1 1\n255\n\xfe", "grid.yaml": b"image: grid.pgm\n"}


def scan(number, count=200):
    rng = np.random.default_rng(number)
    return FloorScan(np.array([0.0, 0.6, 0.8, 1.0 + number % 5]), -0.5, 0.005,
                     rng.integers(-5000, 5000, count).astype(np.int16))


def test_scans_are_saved_with_the_keyframes():
    keyframes = [replace(keyframe(0, 5), scan=scan(0)), keyframe(1, 3),
                 replace(keyframe(2, 4), scan=scan(2, 7))]
    found = [k.scan for k in unpack_keyframes(pack_keyframes(keyframes))]
    assert found[1] is None
    for number in (0, 2):
        one, before = found[number], keyframes[number].scan
        assert np.array_equal(one.ranges_mm_K, before.ranges_mm_K)
        assert np.array_equal(one.floor_4, before.floor_4)
        assert (one.first_rad, one.step_rad) == (before.first_rad, before.step_rad)


def test_scans_take_little_and_maps_without_them_are_as_they_were():
    bare = [keyframe(i, 5) for i in range(100)]
    full = [replace(k, scan=scan(i, 256)) for i, k in enumerate(bare)]
    assert b"scan" not in pack_keyframes(bare)
    assert [k.scan for k in unpack_keyframes(pack_keyframes(bare))] == [None] * 100
    assert len(pack_keyframes(full)) - len(pack_keyframes(bare)) < 100_000


def test_a_damaged_scan_is_refused():
    damaged = replace(keyframe(0, 5), scan=scan(0))
    object.__setattr__(damaged.scan, "step_rad", 0.0)
    with pytest.raises(MapError, match="damaged.*no part of a turn"):
        unpack_keyframes(pack_keyframes([damaged]))


def test_the_grid_is_replaced_unless_somebody_changed_it(tmp_path):
    folder = tmp_path / "map"
    keyframes = [keyframe(0, 5)]
    save_map(folder, MANIFEST, HEAD, keyframes, derived=GRID)
    assert {p.name: p.read_bytes() for p in folder.glob("grid.*")} == GRID
    other = GRID | {"grid.pgm": b"P5\n1 1\n255\n\x00"}
    save_map(folder, MANIFEST, HEAD, keyframes, derived=other)
    assert {p.name: p.read_bytes() for p in folder.glob("grid.*")} == other
    (folder / "grid.pgm").write_bytes(b"a no-go zone by hand")
    save_map(folder, MANIFEST, HEAD, keyframes, derived=GRID)
    (edited,) = folder.glob("grid.pgm.*")
    assert edited.read_bytes() == b"a no-go zone by hand"
    assert (folder / "grid.pgm").read_bytes() == GRID["grid.pgm"]
    edited.unlink()
    save_map(folder, MANIFEST, HEAD, keyframes)
    assert not list(folder.glob("grid.*")), "a map without a grid keeps none of another"
    assert load_map(folder).manifest.derived == {}


def test_a_grid_that_lay_in_an_older_map_is_its_owners(tmp_path):
    save_map(tmp_path / "map", MANIFEST, HEAD)
    (tmp_path / "map" / "grid.yaml").write_text("mine")
    save_map(tmp_path / "map", MANIFEST, HEAD, derived=GRID)
    (mine,) = (tmp_path / "map").glob("grid.yaml.*")
    assert mine.read_text() == "mine"


def test_a_backup_keeps_the_grid(tmp_path):
    save_map(tmp_path / "map", MANIFEST, HEAD, [keyframe(0, 5), keyframe(1, 5)], derived=GRID)
    kept = back_up_larger(tmp_path / "map", "another", 1)
    assert (kept / "grid.pgm").read_bytes() == GRID["grid.pgm"]
