"""The surface of a saved map: points of all keyframes fused in voxels, with normals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ...core.data.submaps import MAIN_SUBMAP
from ...core.errors import DataError, MapError
from ...core.geometry.se3 import transform_points

if TYPE_CHECKING:
    from ...core.data.keyframe import Keyframe
    from ...core.geometry.arrays import Float64Array, Int64Array
    from ...core.maps.map_folder import StoredMap

#: Neighbors that a normal is fitted to.
_NEIGHBORS = 12


@dataclass(frozen=True)
class Voxels:
    """Points of keyframes by voxel.

    Attributes:
        points_N3: (N, 3) mean of the points in each, map frame, meters.
        normals_N3: (N, 3) unit mean of the directions to the cameras that saw them; `fitted`
            makes normals of them.
        views_N: (N,) how many keyframes saw something there.
        index_N3: (N, 3) which voxel: coordinates divided by its size, rounded down.
    """

    points_N3: Float64Array
    normals_N3: Float64Array
    views_N: Int64Array
    index_N3: Int64Array

    def __len__(self) -> int:
        return len(self.points_N3)


def keyframes_of(stored: StoredMap) -> list[Keyframe]:
    """Return the keyframes of a map.

    Raises:
        MapError: it has none, so that there is no surface to show.
    """
    if not stored.keyframes:
        raise MapError(
            f"map {stored.path} has no keyframes (keyframes.safetensors): it localizes, but there "
            "is nothing to show; copy the whole folder, or map again")
    return stored.keyframes


def in_map(keyframes: list[Keyframe]) -> list[Keyframe]:
    """Return the keyframes whose place in the map is known."""
    return [k for k in keyframes if k.submap == MAIN_SUBMAP]


def points_of(keyframe: Keyframe) -> Float64Array:
    """Return the points (N, 3) of a keyframe in the map frame, meters."""
    return transform_points(keyframe.T_map_cam, keyframe.points_cam_N3.astype(np.float64))


def fuse(keyframes: list[Keyframe], size_m: float) -> Voxels:
    """Fuse the points of keyframes in voxels.

    Args:
        keyframes: of the map itself; those of submaps that are not joined have no known place.
        size_m: edge of a voxel.

    Raises:
        MapError: no keyframe has a point.
    """
    points, ways, owners = [], [], []
    for number, keyframe in enumerate(keyframes):
        in_map = points_of(keyframe)
        points.append(in_map)
        ways.append(keyframe.T_map_cam[:3, 3] - in_map)
        owners.append(np.full(len(in_map), number))
    if not sum(map(len, points)):
        raise MapError("the keyframes have no points: map some frames with depth")
    all_N3, way_N3, owner_N = np.concatenate(points), np.concatenate(ways), np.concatenate(owners)
    cells = np.floor(all_N3 / size_m).astype(np.int64)
    index, which = np.unique(cells, axis=0, return_inverse=True)
    which = which.reshape(-1)
    count = np.bincount(which).astype(np.float64)[:, None]
    pairs = np.unique(np.stack([which, owner_N], axis=1), axis=0)
    way_N3 = way_N3 / np.maximum(np.linalg.norm(way_N3, axis=1, keepdims=True), 1e-9)
    toward = _sums(way_N3, which)
    return Voxels(_sums(all_N3, which) / count,
                  toward / np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-9),
                  np.bincount(pairs[:, 0]), index)


def fitted(voxels: Voxels) -> Voxels:
    """Return voxels with normals of planes fitted to neighbors, on the side of the cameras."""
    neighbors = min(_NEIGHBORS, len(voxels))
    if neighbors < 3:
        return voxels
    _, near = cKDTree(voxels.points_N3).query(voxels.points_N3, neighbors)
    around = voxels.points_N3[near]
    around = around - around.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    normals = axes[:, :, 0]
    side = np.einsum("ni,ni->n", normals, voxels.normals_N3)
    return Voxels(voxels.points_N3, np.where(side[:, None] < 0, -normals, normals),
                  voxels.views_N, voxels.index_N3)


def write_ply(path: Path, voxels: Voxels) -> None:
    """Write points, normals and views as a binary PLY file, map frame, meters.

    Raises:
        DataError: the file cannot be written.
    """
    rows = np.zeros(len(voxels), np.dtype(
        [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")] + [("views", "<u2")]))
    for i, name in enumerate("xyz"):
        rows[name], rows[f"n{name}"] = voxels.points_N3[:, i], voxels.normals_N3[:, i]
    rows["views"] = np.minimum(voxels.views_N, 65535)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}",
              *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
              "property ushort views", "end_header", ""]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("\n".join(header).encode() + rows.tobytes())
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def _sums(values_N3: Float64Array, which_N: npt.NDArray[np.int64]) -> Float64Array:
    """Return sums (M, 3) of rows by group."""
    return np.stack([np.bincount(which_N, values_N3[:, i]) for i in range(3)], axis=1)
