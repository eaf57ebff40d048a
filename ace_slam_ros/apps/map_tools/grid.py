"""The occupancy grid of a saved map, rendered from the scans of its keyframes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.config.navigation import GridConfig
from ...core.errors import DataError, MapError
from ...core.navigation.grid_files import grid_files
from ...core.navigation.map_grid import MapGrid
from .surface import in_map, keyframes_of

if TYPE_CHECKING:
    from ...core.maps.map_folder import StoredMap
    from ...core.navigation.occupancy_grid import GridPicture


def grid_of(stored: StoredMap, config: GridConfig | None = None) -> MapGrid:
    """Render the grid of a map; it is empty when no keyframe has a scan.

    Raises:
        MapError: it has no keyframes.
    """
    grid = MapGrid(config or GridConfig())
    grid.show({k.id: (k, k.T_map_cam) for k in in_map(keyframes_of(stored))})
    return grid


def write_grid(path: Path, stored: StoredMap, config: GridConfig) -> GridPicture:
    """Write the grid of a map as `path`.pgm and `path`.yaml; return it.

    Raises:
        MapError: it has no grid.
        DataError: the files cannot be written.
    """
    grid = grid_of(stored, config)
    picture = grid.picture()
    if picture is None:
        raise MapError(
            f"map {stored.path} has no grid: no keyframe carries a scan, because its floor was "
            "unknown, or because it is older than grids; go on mapping there (--map), with the "
            "floor in view")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, data in grid_files(path.name, picture, grid.T_map_floor).items():
            (path.parent / name).write_bytes(data)
    except OSError as error:
        raise DataError(f"cannot write {path}.pgm: {error.strerror or error}") from error
    return picture
