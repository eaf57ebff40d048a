"""What a saved map is: its size, what it covers, where it is thin, and what made it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from ...core.data.edge import EdgeKind
from ...core.data.submaps import MAIN_SUBMAP
from ...core.navigation.occupancy_grid import FREE, OCCUPIED, UNKNOWN
from .grid import grid_of
from .surface import Voxels, fuse, in_map, keyframes_of, points_of

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ...core.maps.map_folder import StoredMap

#: Coverage is told by cubes of this size, floor area by squares of this one.
COVERAGE_M, AREA_M = 0.2, 0.1
#: So many places are named, each at least so large.
_PLACES, _LEAST_AREA_M2 = 3, 0.4


@dataclass(frozen=True)
class ThinPlace:
    """A connected surface that only one keyframe saw: center in the map (x, y, z), area."""

    center_m: tuple[float, float, float]
    area_m2: float


@dataclass(frozen=True)
class MapReport:
    """What there is to know of a map.

    Attributes:
        folder, map_id, created, software, format, encoder, head, camera, frame: from its manifest.
        head_bytes, keyframe_bytes: sizes of its files.
        keyframes, points, submaps: how many; submaps that are not joined count.
        loops: edges of the pose graph between keyframes that are not successive.
        path_m: way from keyframe to keyframe.
        size_m: extent of the mapped points along x, y, z.
        area_m2: floor below and above which something was seen.
        seen_once: share of the surface that only one keyframe saw.
        thin: the largest places of it.
        scans: how many keyframes have a scan of the floor plan.
        free_m2, occupied_m2, unknown_m2: areas of the grid.
        grid_problem: what is wrong with the grid; empty when nothing is.
    """

    folder: str
    map_id: str
    created: str
    software: str
    format: str
    encoder: str
    head: str
    camera: str
    frame: str
    head_bytes: int
    keyframe_bytes: int
    keyframes: int
    points: int
    submaps: int
    loops: int
    path_m: float
    size_m: tuple[float, float, float]
    area_m2: float
    seen_once: float
    thin: tuple[ThinPlace, ...]
    scans: int
    free_m2: float
    occupied_m2: float
    unknown_m2: float
    grid_problem: str

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return dataclasses.asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return it as a table: name, text."""
        x, y, z = self.size_m
        rows = [
            ("map", f"{self.map_id} in {self.folder}"),
            ("made", f"{self.created or 'at an unknown time'} by ace_slam_ros {self.software}, "
                     f"format {self.format}"),
            ("with", f"encoder {self.encoder}, head {self.head}, camera {self.camera}"),
            ("files", f"{_megabytes(self.head_bytes)} to localize, "
                      f"{_megabytes(self.keyframe_bytes)} to go on mapping; no image"),
            ("frame", f"{self.frame}, z up"),
            ("extent", f"{x:.1f} x {y:.1f} x {z:.1f} m, {self.area_m2:.1f} m2 of floor plan"),
            ("keyframes", f"{self.keyframes} with {self.points} points on a way of "
                          f"{self.path_m:.1f} m, {self.loops} loop edges"),
            ("seen once", f"{100 * self.seen_once:.0f} % of the surface"),
            ("grid", f"{self.free_m2:.1f} m2 free, {self.occupied_m2:.1f} m2 occupied, "
                     f"{self.unknown_m2:.1f} m2 unknown around; {self.scans} scans"
             if self.scans else "none: no keyframe has a scan; go on mapping with the floor in "
                                "view"),
        ]
        if self.grid_problem:
            rows.append(("grid", self.grid_problem))
        if self.submaps > 1:
            rows.append(("submaps", f"{self.submaps - 1} not joined: drive from there to a known "
                                    "place"))
        for place in self.thin:
            x, y, z = place.center_m
            rows.append(("thin at", f"x {x:.1f}, y {y:.1f}, z {z:.1f} m: {place.area_m2:.1f} m2 "
                                    "seen once"))
        return rows


def report(stored: StoredMap) -> MapReport:
    """Gather what there is to know of a map.

    Raises:
        MapError: it has no keyframes.
    """
    manifest, keyframes = stored.manifest, keyframes_of(stored)
    mapped = in_map(keyframes)
    voxels = fuse(mapped, COVERAGE_M)
    positions = np.array([k.T_map_cam[:3, 3] for k in mapped])
    everything = np.concatenate([points_of(k) for k in mapped])
    columns = np.unique(fuse(mapped, AREA_M).index_N3[:, :2], axis=0)
    camera = manifest.camera
    grid = grid_of(stored)
    picture = grid.picture()
    areas = [0.0 if picture is None else picture.area_m2(value)
             for value in (FREE, OCCUPIED, UNKNOWN)]
    return MapReport(
        folder=str(stored.path), map_id=manifest.map_id, created=manifest.created,
        software=manifest.software_version, format=manifest.format_version,
        encoder=f"{manifest.encoder_name} ({manifest.encoder_hash[:12]})", head=manifest.head_type,
        camera=f"{camera.width}x{camera.height}", frame=manifest.frame_id,
        head_bytes=manifest.map_bytes, keyframe_bytes=manifest.keyframe_bytes,
        keyframes=len(keyframes), points=sum(len(k.points_cam_N3) for k in keyframes),
        submaps=len({k.submap for k in keyframes} | {MAIN_SUBMAP}),
        loops=sum(edge.kind is EdgeKind.LOOP for edge in stored.edges),
        path_m=float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()),
        size_m=_triple(np.ptp(everything, axis=0)), area_m2=len(columns) * AREA_M**2,
        seen_once=float(np.mean(voxels.views_N == 1)), thin=thin_places(voxels),
        scans=grid.scans, free_m2=areas[0], occupied_m2=areas[1], unknown_m2=areas[2],
        grid_problem=grid.problem)


def thin_places(voxels: Voxels) -> tuple[ThinPlace, ...]:
    """Return the largest connected surfaces that one keyframe alone saw, largest first."""
    lone = voxels.index_N3[voxels.views_N == 1]
    if not len(lone):
        return ()
    first = lone.min(axis=0)
    grid = np.zeros(lone.max(axis=0) - first + 1, bool)
    grid[tuple((lone - first).T)] = True
    labels, count = ndimage.label(grid, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(grid, labels, np.arange(1, count + 1))
    places = []
    for label in np.argsort(-sizes, kind="stable")[:_PLACES] + 1:
        area = float(sizes[label - 1]) * COVERAGE_M**2
        if area >= _LEAST_AREA_M2:
            cells = np.argwhere(labels == label) + first
            places.append(ThinPlace(_triple((cells.mean(axis=0) + 0.5) * COVERAGE_M), area))
    return tuple(places)


def _triple(values_3: Float64Array) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) for value in values_3)
    return x, y, z


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
