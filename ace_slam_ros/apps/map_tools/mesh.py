"""A mesh of the surface of a saved map, by Open3D's Poisson reconstruction."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ...core.errors import AceSlamError, DataError

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from .surface import Voxels

#: Edge of the finest cells of the reconstruction, in voxels, and how far from a measured point a
#: surface may be, meters. `benchmarks/mesh.py` compares: wider cells and less reach leave more
#: holes, more reach adds surfaces that are nowhere.
_CELL_VOXELS, REACH_M = 2.0, 0.08
#: A plane has so many points at least.
_LEAST_POINTS = 3


class MeshError(AceSlamError):
    """No mesh can be made."""


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Attributes:
        vertices_N3: (N, 3) map frame, meters.
        triangles_K3: (K, 3) numbers of their corners, counterclockwise seen from the cameras.
    """

    vertices_N3: Float64Array
    triangles_K3: npt.NDArray[np.int32]


def import_open3d() -> Any:
    """Import Open3D.

    Raises:
        MeshError: it is not installed, or the machine lacks what it needs; names the command.
    """
    try:
        return importlib.import_module("open3d")
    except ModuleNotFoundError as error:
        raise MeshError(f"a mesh needs Open3D ({error}): pip install '.[mesh]', with Python 3.10 "
                        "to 3.14") from error
    except (ImportError, OSError) as error:  # of a library of the system
        raise MeshError(f"Open3D cannot be loaded ({error}): sudo apt install libusb-1.0-0 libgl1 "
                        "libegl1 libx11-6") from error


def mesh_of(voxels: Voxels, size_m: float, reach_m: float = REACH_M) -> Mesh:
    """Reconstruct the surface through points with normals.

    Poisson reconstruction closes every hole, with surfaces that nobody saw: what is farther from
    all points than they lie apart is cut away.

    Args:
        voxels: points with fitted normals.
        size_m: edge of a voxel.
        reach_m: how far from a measured point a surface may be.

    Raises:
        MeshError: Open3D is missing, or there are too few points for a surface.
    """
    open3d = import_open3d()
    if len(voxels) < _LEAST_POINTS:
        raise MeshError(f"{len(voxels)} points are no surface: map more, or choose a smaller "
                        "--voxel")
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(voxels.points_N3))
    cloud.normals = open3d.utility.Vector3dVector(voxels.normals_N3)
    width_m = _CELL_VOXELS * size_m
    with _quiet(open3d):
        # One thread: with more of them the mesh is another one each time.
        made, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
            cloud, width=width_m, n_threads=1)
    away_m, _ = cKDTree(voxels.points_N3).query(np.asarray(made.vertices))
    made.remove_vertices_by_mask(away_m > max(reach_m, width_m))
    mesh = Mesh(np.array(made.vertices), np.array(made.triangles))
    if not len(mesh.triangles_K3):
        raise MeshError("the points are too far apart for a surface: choose a larger --voxel")
    return mesh


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh with normals; the end of the name says how: .ply, .obj or .stl.

    Raises:
        DataError: the file cannot be written.
        MeshError: Open3D is missing.
    """
    open3d = import_open3d()
    made = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices_N3),
        open3d.utility.Vector3iVector(mesh.triangles_K3))
    made.compute_vertex_normals()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()  # Open3D says that it cannot, but not why
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    with _quiet(open3d):
        written = open3d.io.write_triangle_mesh(str(path), made)
    if not written:
        raise DataError(f"Open3D cannot write {path}: is the disk full, or of a kind that "
                        "it does not know?")


def _quiet(open3d: Any) -> Any:
    """Return what keeps Open3D's warnings, of sliver triangles and the like, from the terminal."""
    return open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error)
