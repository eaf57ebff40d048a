"""A floor plan of a saved map: what was seen, from where, how often, and how it is tied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.data.edge import EdgeKind
from ...core.errors import DataError
from ...core.geometry.se3 import transform_points
from ...core.navigation.occupancy_grid import UNKNOWN
from .grid import grid_of
from .report import report
from .surface import fuse, in_map, keyframes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...core.data.keyframe import Keyframe
    from ...core.maps.map_folder import StoredMap

_VOXEL_M = 0.05
#: Surface that so many keyframes saw is drawn as well covered.
_WELL = 6
_WAY, _LOOP, _UNKNOWN = "#2b6cb0", "#c53030", "#d9d9d9"


def draw_map(path_png: Path, stored: StoredMap) -> None:
    """Draw a map from above, meters, to a PNG file.

    Raises:
        DataError: the file cannot be written.
        MapError: the map has no keyframes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keyframes = in_map(keyframes_of(stored))
    known = report(stored)
    voxels = fuse(keyframes, _VOXEL_M)
    figure = Figure(figsize=(9, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_grid(axes, stored)
    # what is higher covers what is below
    order = np.argsort(voxels.points_N3[:, 2], kind="stable")
    points = axes.scatter(
        voxels.points_N3[order, 0], voxels.points_N3[order, 1],
        c=np.minimum(voxels.views_N[order], _WELL), cmap="viridis", vmin=1, vmax=_WELL, s=2,
        linewidths=0)
    figure.colorbar(points, ax=axes, shrink=0.6, label=f"keyframes that saw it ({_WELL} and more)")
    _draw_way(axes, keyframes)
    _draw_loops(axes, stored, keyframes)
    for place in known.thin:
        axes.annotate("thin", place.center_m[:2], color=_LOOP, ha="center", fontsize=9)
    axes.set_aspect("equal")
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    axes.set_title(
        f"{stored.path.name}: {known.keyframes} keyframes, {known.area_m2:.0f} m2, "
        f"{100 * known.seen_once:.0f} % seen once, {known.loops} loop edges", fontsize=11)
    axes.legend(loc="upper right", fontsize=9)
    try:
        path_png.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path_png, dpi=130)
    except OSError as error:
        raise DataError(f"cannot write {path_png}: {error.strerror or error}") from error


def _draw_grid(axes: Axes, stored: StoredMap) -> None:
    """Draw what is free white and what is occupied dark, on gray."""
    grid = grid_of(stored)
    picture = grid.picture()
    if picture is None:
        return
    height, width = picture.cells_HW.shape
    x, y = np.meshgrid(picture.corner_2[0] + np.arange(width + 1) * picture.resolution_m,
                       picture.corner_2[1] + np.arange(height + 1) * picture.resolution_m)
    corners = transform_points(
        grid.T_map_floor, np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)]))
    axes.set_facecolor(_UNKNOWN)
    axes.pcolormesh(
        corners[:, 0].reshape(x.shape), corners[:, 1].reshape(x.shape),
        np.ma.masked_equal(picture.cells_HW, UNKNOWN), cmap="gray_r", vmin=0, vmax=110, zorder=0,
        rasterized=True)


def _draw_way(axes: Axes, keyframes: list[Keyframe]) -> None:
    """Draw the keyframes in order, each with where it looks."""
    positions = np.array([k.T_map_cam[:3, 3] for k in keyframes])
    ahead = np.array([k.T_map_cam[:3, 2] for k in keyframes])
    axes.plot(positions[:, 0], positions[:, 1], color=_WAY, lw=1, label="way of the keyframes")
    axes.quiver(positions[:, 0], positions[:, 1], ahead[:, 0], ahead[:, 1], color=_WAY,
                angles="xy", scale_units="xy", scale=4, width=0.003)
    axes.plot(*positions[0, :2], "o", color=_WAY, ms=7, label="first keyframe")


def _draw_loops(axes: Axes, stored: StoredMap, keyframes: list[Keyframe]) -> None:
    """Draw the edges that tie places seen again."""
    place = {k.id: k.T_map_cam[:2, 3] for k in keyframes}
    label: str | None = "loop edge"
    for edge in stored.edges:
        if edge.kind is EdgeKind.LOOP and edge.a in place and edge.b in place:
            ends = np.array([place[edge.a], place[edge.b]])
            axes.plot(ends[:, 0], ends[:, 1], color=_LOOP, lw=0.7, alpha=0.6, label=label)
            label = None
