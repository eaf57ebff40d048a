"""A saved map is told, drawn and exported; by hand-made keyframes before a wall."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.keyframes import keyframe
from helpers.saved_maps import HEAD, MANIFEST

from ace_slam_ros.apps.map_tools.report import report, thin_places
from ace_slam_ros.apps.map_tools.surface import Voxels, fitted, fuse, write_ply
from ace_slam_ros.cli import main
from ace_slam_ros.core.data.edge import Edge, EdgeKind
from ace_slam_ros.core.data.floor_scan import FloorScan
from ace_slam_ros.core.errors import DataError, MapError
from ace_slam_ros.core.geometry.se3 import make_pose, transform_points
from ace_slam_ros.core.maps.map_folder import load_map, save_map

#: Looks along x of the map, z up.
AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def look(number, y_m, wall_from_m, wall_to_m):
    """A keyframe at x = 0 that saw a wall at x = 2 between two y, a point every 5 cm."""
    T_map_cam = make_pose(AHEAD, np.array([0.0, y_m, 1.0]))
    y, z = np.mgrid[wall_from_m:wall_to_m:0.05, 0.5:1.5:0.05].reshape(2, -1)
    in_map = np.column_stack([np.full(len(y), 2.0), y, z])
    return keyframe(number, T_map_cam, transform_points(np.linalg.inv(T_map_cam), in_map))


LOOKS = [look(0, 0.0, -1.0, 1.0), look(1, 0.5, -1.0, 1.0), look(2, 2.0, 1.0, 3.0)]


@pytest.fixture
def folder(tmp_path):
    edges = [Edge(0, 2, np.eye(4), np.eye(6), EdgeKind.LOOP),
             Edge(0, 1, np.eye(4), np.eye(6), EdgeKind.ODOMETRY)]
    save_map(tmp_path / "hall", MANIFEST, HEAD, LOOKS, edges)
    return tmp_path / "hall"


def test_points_are_fused_as_by_brute_force():
    rng = np.random.default_rng(0)
    looks = [keyframe(i, np.eye(4), rng.uniform(-1, 1, (200, 3)) + (0, 0, 3)) for i in range(3)]
    voxels = fuse(looks, 0.25)
    by_cell = {}
    for number, one in enumerate(looks):
        for point in one.points_cam_N3.astype(np.float64):
            by_cell.setdefault(tuple(np.floor(point / 0.25).astype(int)), []).append(
                (number, point))
    assert len(voxels) == len(by_cell)
    for index, mean, views in zip(voxels.index_N3, voxels.points_N3, voxels.views_N, strict=True):
        found = by_cell[tuple(index)]
        assert np.allclose(mean, np.mean([point for _, point in found], axis=0))
        assert views == len({number for number, _ in found})


def test_normals_stand_on_the_surface_toward_the_cameras():
    normals = fitted(fuse(LOOKS, 0.05)).normals_N3
    assert np.allclose(normals, [-1.0, 0.0, 0.0], atol=1e-3)
    two = fuse([keyframe(0, np.eye(4), [[0, 0, 1.0], [0, 1.0, 1.0]])], 0.1)
    assert fitted(two) is two, "too few to fit a plane to"


def test_a_map_is_told(folder):
    found = report(load_map(folder))
    assert (found.keyframes, found.loops, found.submaps) == (3, 1, 1)
    assert found.path_m == pytest.approx(2.0) and found.size_m[1] == pytest.approx(3.9, abs=0.11)
    assert found.area_m2 == pytest.approx(0.4, abs=0.02), "a wall of 4 m in squares of 10 cm"
    assert found.seen_once == pytest.approx(0.5, abs=0.05)
    (place,) = found.thin
    assert place.center_m == pytest.approx((2.1, 2.0, 1.0), abs=0.11)
    assert place.area_m2 == pytest.approx(2.4, abs=0.45)


def test_submaps_that_are_not_joined_have_no_place(tmp_path):
    save_map(tmp_path / "map", MANIFEST, HEAD, [LOOKS[0], replace(LOOKS[2], submap=1)])
    found = report(load_map(tmp_path / "map"))
    assert found.submaps == 2 and found.seen_once == 1.0
    assert found.size_m[1] == pytest.approx(1.95, abs=0.06)
    assert any("1 not joined" in text for name, text in found.rows() if name == "submaps")


def test_a_surface_seen_often_is_thin_nowhere():
    assert thin_places(fuse([LOOKS[0], LOOKS[1]], 0.2)) == ()


@pytest.mark.filterwarnings("error")
def test_commands(folder, capsys):
    assert main(["map", "info", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "no image" in told and "thin at" in told and "1 loop edges" in told
    assert main(["map", "info", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keyframes"] == 3
    assert main(["map", "draw", str(folder)]) == 0
    assert (folder.parent / "hall.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["map", "export", str(folder), "--voxel", "0.05"]) == 0
    assert "hall.ply" in capsys.readouterr().out
    text, _, data = (folder.parent / "hall.ply").read_bytes().partition(b"end_header\n")
    rows = np.frombuffer(data, "<f4, <f4, <f4, <f4, <f4, <f4, <u2")
    assert f"element vertex {len(rows)}" in text.decode() and len(rows) == len(fuse(LOOKS, 0.05))
    assert all(row[0] == 2.0 and row[3] == pytest.approx(-1.0, abs=1e-3) for row in rows)
    assert {row[6] for row in rows} == {1, 2}


def test_the_grid_is_written_told_and_drawn(tmp_path, capsys):
    floor_4 = np.array([0.0, 1.0, 0.0, 1.0])
    wall = FloorScan(floor_4, -0.3, 0.01, np.full(60, 2000, np.int16))
    save_map(tmp_path / "hall", MANIFEST, HEAD, [replace(k, scan=wall) for k in LOOKS * 2])
    assert main(["map", "grid", str(tmp_path / "hall"), "--out", str(tmp_path / "plan"),
                 "--highest", "1.5", "--resolution", "0.1"]) == 0
    assert "plan.pgm" in capsys.readouterr().out
    assert (tmp_path / "plan.pgm").read_bytes().startswith(b"P5\n")
    assert "image: plan.pgm" in (tmp_path / "plan.yaml").read_text()
    found = report(load_map(tmp_path / "hall"))
    assert found.scans == 3 and found.free_m2 > 0.2 and found.occupied_m2 < 0.1
    assert any(name == "grid" and "m2 free" in text for name, text in found.rows())
    assert main(["map", "draw", str(tmp_path / "hall")]) == 0


def test_a_map_without_scans_says_how_it_gets_them(folder, capsys):
    assert main(["map", "grid", str(folder)]) == 2
    assert "no keyframe carries a scan" in capsys.readouterr().err
    rows = dict(report(load_map(folder)).rows())
    assert rows["grid"] == "none: no keyframe has a scan; go on mapping with the floor in view"


@pytest.mark.parametrize("words", [["map"], ["map", "export", "x", "--voxel", "0.001"]])
def test_bad_usage_is_told(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and "usage" in capsys.readouterr().err


def test_a_map_without_keyframes_or_points_says_so(tmp_path, capsys):
    save_map(tmp_path / "map", MANIFEST, HEAD)
    for action in ("info", "draw", "export"):
        assert main(["map", action, str(tmp_path / "map")]) == 2
        assert "no keyframes" in capsys.readouterr().err
    with pytest.raises(MapError, match="no points"):
        fuse([keyframe(0, np.eye(4), np.empty((0, 3)))], 0.1)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    empty = Voxels(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64),
                   np.zeros((0, 3), np.int64))
    with pytest.raises(DataError, match="cannot write"):
        write_ply(tmp_path / "file" / "map.ply", empty)
