"""The occupancy grid of a mapper's keyframes, in the plane of the floor that most of them saw."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..geometry.se3 import invert_pose, make_pose
from .floor import moved
from .occupancy_grid import GridPicture, OccupancyGrid, PlacedScan
from .passages import Passage, passages_of

if TYPE_CHECKING:
    from ..config.navigation import GridConfig
    from ..data.floor_scan import FloorScan
    from ..data.keyframe import Keyframe
    from ..geometry.arrays import Float64Array

log = logging.getLogger(__name__)

#: A map that is less tilted than this against its floor is level; other tilts are rounded.
_LEVEL, _TILT_STEP = math.sin(math.radians(3.0)), math.sin(math.radians(0.5))
#: The floor of a keyframe is a table where others around it saw one lower by more than this.
_SAME_HEIGHT_M, _AROUND_M = 0.15, 3.0
_SAME_NORMAL = math.cos(math.radians(12.0))

_revisions = itertools.count()
#: Keyframes by id, each with its present pose (4, 4).
Placed = Mapping[int, tuple["Keyframe", "Float64Array"]]


class MapGrid:
    """Follows the keyframes of a map with the grid.

    Attributes:
        T_map_floor: (4, 4) pose of the grid's frame in the map: z points up from the floor. It is
            level with a map that is, so that only its height differs.
        scans: how many keyframes have a scan.
        revision: another number after every change, of all grids there are.
        problem: what is left out, and why; empty when nothing is.
    """

    def __init__(self, config: GridConfig) -> None:
        self._config, self._grid = config, OccupancyGrid(config)
        self._known: dict[int, tuple[FloorScan, Float64Array, PlacedScan]] = {}
        self.T_map_floor = np.eye(4)
        self.scans = 0
        self.revision = next(_revisions)
        self.problem = ""

    def show(self, placed: Placed) -> None:
        """Make the grid that of these keyframes.

        The result is the same as that of a new grid, but only what changed is drawn.
        """
        self._known = {i: known for i, known in self._known.items() if i in placed}
        scanned = {i: (k, T) for i, (k, T) in placed.items() if k.scan is not None}
        self.scans = len(scanned)
        floors_N4 = np.array([
            moved(k.scan.floor_4, T) for k, T in scanned.values() if k.scan is not None])
        self.problem = ""
        if not len(floors_N4):
            self._draw({}, {})
            return
        feet = np.array([T[:3, 3] for _, T in scanned.values()])
        agree_N = _agreeing(floors_N4, feet)
        self.T_map_floor = floor_frame(floors_N4[agree_N], feet[agree_N])
        T_floor_map = invert_pose(self.T_map_floor)
        T_floor_map[:2, 3] = 0.0  # as it is, but for rounding errors that would redraw everything
        on_floor = {i: (k, T_floor_map @ T) for i, (k, T) in placed.items()}
        agreeing = dict(zip(scanned, agree_N.tolist(), strict=True))
        self._draw({i: self._placed(i, *on_floor[i]) for i, agrees in agreeing.items() if agrees},
                   self._passages(on_floor, agreeing))
        self._tell(int((~agree_N).sum()))

    def _placed(
        self, identifier: int, keyframe: Keyframe, T_floor_cam: Float64Array
    ) -> PlacedScan:
        """Place the scan of a keyframe, unless it was placed there before."""
        known = self._known.get(identifier)
        if (known is None or known[0] is not keyframe.scan
                or not np.array_equal(known[1], T_floor_cam)):
            assert keyframe.scan is not None
            known = (keyframe.scan, T_floor_cam,
                     PlacedScan.of(keyframe.scan, keyframe.camera, T_floor_cam))
            self._known[identifier] = known
        return known[2]

    def _passages(self, on_floor: Placed, agreeing: Mapping[int, bool]) -> dict[int, Passage]:
        """Return the way of the camera where it was so low that it sat on a robot.

        Args:
            on_floor: keyframes with their poses in the frame of the grid.
            agreeing: which of their floors are those of the grid; the others do not tell heights.
        """
        feet = {}
        for i, (keyframe, T_floor_cam) in on_floor.items():
            x, y, height_m = T_floor_cam[:3, 3].tolist()
            if keyframe.scan is not None and agreeing[i]:
                height_m = float(keyframe.scan.floor_4[3])
            if 0.0 < height_m < self._config.passed_below_m:
                feet[i] = x, y
        return passages_of(feet) if self._config.passed_m else {}

    def _draw(self, placed: dict[int, PlacedScan], passages: dict[int, Passage]) -> None:
        if self._grid.show(placed, passages):
            self.revision = next(_revisions)

    def _tell(self, disagree: int) -> None:
        said = []
        if disagree:
            said.append(f"{disagree} scans are of another floor (a table?) and left out")
        if self._grid.left_out:
            said.append(f"{self._grid.left_out} scans are left out: the grid has its largest "
                        "size, raise grid.resolution_m")
        self.problem = "; ".join(said)

    def picture(self) -> GridPicture | None:
        """Return the grid, None while nothing is known."""
        return self._grid.picture()

    @property
    def tilt_deg(self) -> float:
        """Angle between the map's z axis and the floor's."""
        return math.degrees(math.acos(min(1.0, float(self.T_map_floor[2, 2]))))


def _agreeing(floors_N4: Float64Array, feet_N3: Float64Array) -> npt.NDArray[np.bool_]:
    """Tell which floors (N,) are not above what most keyframes around saw, nor oblique."""
    normal = np.median(floors_N4[:, :3], axis=0)
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    upright_N = floors_N4[:, :3] @ normal > _SAME_NORMAL
    # how far each floor is below the origin, along the normal of all
    depth_N = feet_N3 @ normal + _below(floors_N4, feet_N3)
    if np.ptp(depth_N) < _SAME_HEIGHT_M:
        return upright_N
    along_N3 = feet_N3 - np.outer(feet_N3 @ normal, normal)
    near_NN = np.linalg.norm(along_N3[:, None] - along_N3, axis=2) < _AROUND_M
    lowest_N = np.array([np.quantile(depth_N[near], 0.7) for near in near_NN])
    return np.asarray(upright_N & (np.abs(depth_N - lowest_N) < _SAME_HEIGHT_M))


def floor_frame(floors_N4: Float64Array, feet_N3: Float64Array) -> Float64Array:
    """Return T_map_floor of planes (N, 4) seen from cameras at (N, 3), in the map.

    z is opposite to the median normal, x the map's laid on the floor. The origin is below that of
    the map.
    """
    if not len(floors_N4):
        return np.eye(4)
    normal = np.median(floors_N4[:, :3], axis=0)
    up = -normal / np.linalg.norm(normal)
    if math.hypot(up[0], up[1]) < _LEVEL and up[2] > 0:
        up = np.array([0.0, 0.0, 1.0])
    else:  # nothing of what was rounded off is left, so that the frame stays while little changes
        up[:2] = np.rint(up[:2] / _TILT_STEP) * _TILT_STEP
        up[2] = math.copysign(math.sqrt(max(0.0, 1.0 - up[0]**2 - up[1]**2)), up[2])
        up /= np.linalg.norm(up)
    x = np.array([1.0, 0.0, 0.0]) - up[0] * up
    x /= np.linalg.norm(x)
    R_33 = np.stack([x, np.cross(up, x), up], axis=1)
    height = float(np.median(feet_N3 @ up - _below(floors_N4, feet_N3)))
    return make_pose(R_33, round(height, 2) * up)


def _below(floors_N4: Float64Array, feet_N3: Float64Array) -> Float64Array:
    """Return how far (N,) each floor is below its camera."""
    return np.asarray(floors_N4[:, 3] - np.einsum("ni,ni->n", floors_N4[:, :3], feet_N3))
