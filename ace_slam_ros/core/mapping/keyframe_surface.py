"""A keyframe prepared for alignment with others: descriptors, surface normals, cell neighbors."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from ..config.sections import SensorConfig
    from ..data.keyframe import Keyframe
    from ..geometry.arrays import Float32Array, Float64Array

_NORMAL_NEIGHBOURS = 8
#: A patch is flat when it is this much thinner than wide (standard deviations)...
_FLATNESS = 3.0
#: ...and not larger than this share of its distance: farther neighbors lie on other things.
_LARGEST_PATCH = 0.15
#: Cells of an encoder are not smaller.
_LEAST_CELL_PX = 1.0


@dataclass(frozen=True)
class View:
    """What alignment needs of a keyframe of N features; made anew when needed, never saved.

    Attributes:
        keyframe: the keyframe.
        descriptors_ND: (N, D) float32 unit norm.
        points_N3: (N, 3) float64 camera-frame points, meters.
        sigma_N: (N,) standard deviation of their depth, meters.
        normals_N3: (N, 3) surface normals; meaningless where not flat.
        flat_N: (N,) whether the neighborhood is a plane.
        tree: of the points.
        beside_N4: (N, 4) indices of the features one cell left, right, above, below; -1 = none.
        cell_px: edge of a cell.
    """

    keyframe: Keyframe
    descriptors_ND: Float32Array
    points_N3: Float64Array
    sigma_N: Float64Array
    normals_N3: Float64Array
    flat_N: npt.NDArray[np.bool_]
    tree: cKDTree
    beside_N4: npt.NDArray[np.int64]
    cell_px: float


def make_view(keyframe: Keyframe, sensor: SensorConfig) -> View:
    """Prepare a keyframe of at least one feature."""
    from scipy.spatial import cKDTree  # a tracker never comes here

    points = keyframe.points_cam_N3.astype(np.float64)
    sigma = np.asarray(sensor.depth_sigma_m(points[:, 2]))
    tree = cKDTree(points)
    normals, flat = _normals(points, sigma, tree)
    cell_px, beside = _neighbors(keyframe.pixels_N2)
    return View(keyframe, keyframe.descriptors_ND, points, sigma, normals, flat, tree, beside,
                cell_px)


def _normals(
    points_N3: Float64Array, sigma_N: Float64Array, tree: cKDTree
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Fit a plane to the nearest points of each point."""
    count = len(points_N3)
    if count < _NORMAL_NEIGHBOURS:
        return np.zeros((count, 3)), np.zeros(count, bool)
    distance, index = tree.query(points_N3, _NORMAL_NEIGHBOURS)
    patch = points_N3[index] - points_N3[index].mean(axis=1, keepdims=True)
    spread = np.einsum("nki,nkj->nij", patch, patch) / _NORMAL_NEIGHBOURS
    variance, axes = np.linalg.eigh(spread)
    thin = variance[:, 0] < np.square(sigma_N + 0.005)
    wide = variance[:, 1] > _FLATNESS**2 * variance[:, 0]
    near = distance[:, -1] < _LARGEST_PATCH * points_N3[:, 2]
    return np.asarray(axes[:, :, 0]), np.asarray(thin & wide & near)


def _neighbors(pixels_N2: Float32Array) -> tuple[float, npt.NDArray[np.int64]]:
    """Find the size of a cell and the features in the four cells beside each feature's.

    Occupied cells are listed, not the whole image: two features may be as near as they like.
    """
    steps = np.diff(np.unique(pixels_N2[:, 0]))
    cell_px = max(float(steps.min()), _LEAST_CELL_PX) if len(steps) else 1.0
    cells = np.rint((pixels_N2 - pixels_N2.min(axis=0)) / cell_px).astype(np.int64) + 1
    row = int(cells[:, 1].max()) + 2
    keys = cells[:, 0] * row + cells[:, 1]
    order = np.argsort(keys, kind="stable")
    occupied = keys[order]

    def at(wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        place = np.maximum(np.searchsorted(occupied, wanted, side="right") - 1, 0)
        return np.where(occupied[place] == wanted, order[place], -1)

    return cell_px, np.stack([at(keys + step) for step in (-row, row, -1, 1)], axis=1)


class ViewCache:
    """The views used last; a view takes 1 MB, so that only a few are held."""

    def __init__(self, sensor: SensorConfig, size: int = 16) -> None:
        self.sensor, self._size = sensor, size
        self._views: OrderedDict[int, View] = OrderedDict()

    def get(self, keyframe: Keyframe) -> View:
        """Return the view of a keyframe."""
        view = self._views.pop(keyframe.id, None)
        if view is None or view.keyframe is not keyframe:
            view = make_view(keyframe, self.sensor)
        self._views[keyframe.id] = view
        while len(self._views) > self._size:
            self._views.popitem(last=False)
        return view
