"""What a tracker does for the occupancy grid: the floor below keyframes, and scans along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .floor import FloorFinder
from .virtual_scan import MadeScan, make_scan

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.frame import Frame
    from ..data.poses import SubmapPose
    from ..data.submaps import SubmapMotions
    from ..geometry.arrays import Float64Array


class Scanner:
    """Makes the virtual scans of keyframes.

    Attributes:
        mount: (4, 4) pose of the camera on the robot, z = 0 being the floor; None = not known.
    """

    def __init__(self, config: SlamConfig) -> None:
        self._sensor, self._grid = config.sensor, config.grid
        self._enabled = config.grid.enabled and not config.localization_only
        self._floor = FloorFinder(config.sensor, config.grid.range_m)
        self.mount: Float64Array | None = None

    @property
    def problem(self) -> str:
        """Why keyframes carry no scan, or what contradicts the mount; empty when all is well."""
        return self._floor.problem

    def clear(self) -> None:
        """Forget the floor, of which a new map knows nothing."""
        self._floor.clear()

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map."""
        self._floor.correct(motions)

    def scan(self, frame: Frame, pose: SubmapPose) -> MadeScan | None:
        """Return the scan of a keyframe, None where its floor is unknown or nothing is seen."""
        if not self._enabled or frame.depth_m is None:
            return None
        floor_4 = self._floor.find(frame, pose, self.mount)
        if floor_4 is None:
            return None
        return make_scan(frame.depth_m, frame.camera, floor_4, self._grid, self._sensor)
