"""A mesh of a saved map: of a wall whose every point is known, and what is said without Open3D."""

import importlib.util
import sys

import numpy as np
import pytest
from helpers.keyframes import keyframe
from helpers.saved_maps import HEAD, MANIFEST

from ace_slam_ros.apps.map_tools.mesh import MeshError, import_open3d, mesh_of, write_mesh
from ace_slam_ros.apps.map_tools.surface import fitted, fuse
from ace_slam_ros.cli import main
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import make_pose, transform_points
from ace_slam_ros.core.maps.map_folder import save_map

needs_open3d = pytest.mark.skipif(
    importlib.util.find_spec("open3d") is None, reason="Open3D is not installed: .[mesh]")

#: Looks along x of the map, z up.
AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
T_MAP_CAM = make_pose(AHEAD, np.array([0.0, 0.0, 1.0]))


def wall():
    """A keyframe that saw a wall at x = 2 with a gap of 40 cm between y = 0 and 0.4."""
    y, z = np.mgrid[-1.0:1.0:0.02, 0.5:1.5:0.02].reshape(2, -1)
    kept = (y < 0.0) | (y > 0.4)
    in_map = np.column_stack([np.full(kept.sum(), 2.0), y[kept], z[kept]])
    return keyframe(0, T_MAP_CAM, transform_points(np.linalg.inv(T_MAP_CAM), in_map))


def wall_voxels():
    return fitted(fuse([wall()], 0.02))


@pytest.fixture
def folder(tmp_path):
    save_map(tmp_path / "hall", MANIFEST, HEAD, [wall()])
    return tmp_path / "hall"


@needs_open3d
def test_the_mesh_is_where_points_are_and_faces_the_camera():
    mesh = mesh_of(wall_voxels(), 0.02)
    corners = mesh.vertices_N3[mesh.triangles_K3]
    middle = corners.mean(axis=1)
    assert np.abs(middle[:, 0] - 2.0).max() < 0.02
    assert not ((middle[:, 1] > 0.1) & (middle[:, 1] < 0.3)).any(), "nobody saw the gap"
    assert middle[:, 1].min() > -1.12 and middle[:, 1].max() < 1.12, "nor beyond the end"
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert normal[:, 0].max() < 1e-9
    area = np.linalg.norm(normal, axis=1).sum() / 2
    assert 1.5 < area < 2.2, "the wall, and a border of 8 cm at most"
    again = mesh_of(wall_voxels(), 0.02)
    assert np.array_equal(mesh.vertices_N3, again.vertices_N3)


@needs_open3d
@pytest.mark.parametrize("kind", [".ply", ".obj", ".stl"])
def test_it_is_read_back(folder, tmp_path, kind, capsys):
    out = tmp_path / "made" / f"hall{kind}"
    assert main(["map", "export", str(folder), "--mesh", str(out)]) == 0
    assert f"{out}: " in capsys.readouterr().out
    assert not (tmp_path / "hall.ply").exists(), "points come when nothing else is asked for"
    read = import_open3d().io.read_triangle_mesh(str(out))
    vertices = np.asarray(read.vertices)
    assert len(read.triangles) > 1000 and np.ptp(np.sort(np.ptp(vertices, axis=0))) > 0.9


@needs_open3d
def test_both_are_written_beside_the_map(folder, tmp_path):
    points = tmp_path / "points.ply"
    assert main(["map", "export", str(folder), "--ply", str(points), "--mesh"]) == 0
    assert points.exists() and (tmp_path / "hall_mesh.ply").stat().st_size > 10_000


@needs_open3d
def test_what_makes_no_surface_says_so(tmp_path):
    two = fuse([keyframe(0, np.eye(4), [[0, 0, 1.0], [0, 1.0, 1.0]])], 0.1)
    with pytest.raises(MeshError, match="2 points are no surface"):
        mesh_of(two, 0.1)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_mesh(tmp_path / "file" / "map.ply", mesh_of(wall_voxels(), 0.02))


def test_without_open3d_the_extra_is_named(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "open3d", None)
    assert main(["map", "export", str(folder), "--mesh"]) == 2
    told = capsys.readouterr().err
    assert "pip install '.[mesh]'" in told and "3.10 to 3.14" in told
    assert not (folder.parent / "hall_mesh.ply").exists()


def test_a_library_of_the_system_that_is_missing_is_told(tmp_path, monkeypatch):
    (tmp_path / "open3d.py").write_text(
        "raise ImportError('libusb-1.0.so.0: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    with pytest.raises(MeshError, match="libusb.*sudo apt install libusb-1.0-0"):
        import_open3d()


def test_other_files_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["map", "export", "x", "--mesh", "map.pdf"])
    assert ended.value.code == 2 and ".ply, .obj, .stl" in capsys.readouterr().err
