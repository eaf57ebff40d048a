"""The occupancy grid as an image and a yaml file, as nav2_map_server reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..geometry.se3 import make_pose
from .occupancy_grid import FREE, OCCUPIED

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array
    from .occupancy_grid import GridPicture

#: Gray values of cells; the reader takes (255 - gray) / 255 for the probability of an obstacle.
_GRAY_FREE, _GRAY_OCCUPIED, _GRAY_UNKNOWN = 254, 0, 205
#: Thresholds on both sides of unknown, which is 0.196.
_OCCUPIED_THRESH, _FREE_THRESH = 0.65, 0.1


def origin_of(picture: GridPicture, T_map_floor: Float64Array) -> Float64Array:
    """Return the pose (4, 4) of the corner of the first cell in the map."""
    corner = make_pose(np.eye(3), np.array([*picture.corner_2, 0.0]))
    return np.asarray(T_map_floor @ corner)


def grid_files(name: str, picture: GridPicture, T_map_floor: Float64Array) -> dict[str, bytes]:
    """Return `name`.pgm and `name`.yaml with their contents.

    The first row of the image is the highest y.
    """
    gray = np.full(picture.cells_HW.shape, _GRAY_UNKNOWN, np.uint8)
    gray[picture.cells_HW == FREE] = _GRAY_FREE
    gray[picture.cells_HW == OCCUPIED] = _GRAY_OCCUPIED
    height, width = picture.cells_HW.shape
    origin = origin_of(picture, T_map_floor)
    x, y = float(origin[0, 3]), float(origin[1, 3])
    text = (
        f"image: {name}.pgm\nmode: trinary\nresolution: {picture.resolution_m:.6g}\n"
        f"origin: [{x:.6f}, {y:.6f}, 0.0]\nnegate: 0\n"
        f"occupied_thresh: {_OCCUPIED_THRESH}\nfree_thresh: {_FREE_THRESH}\n")
    return {f"{name}.pgm": f"P5\n{width} {height}\n255\n".encode() + gray[::-1].tobytes(),
            f"{name}.yaml": text.encode()}
