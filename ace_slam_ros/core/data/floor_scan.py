"""A virtual scan: what one depth image says of the floor plan around the camera, in a few bytes.

Ranges lie in the plane of the floor, around the foot of the camera. Bearing 0 is the view
direction laid on the floor, left is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array, Int16Array, Int64Array

#: Ranges of a scan at most, and how long one may be, millimeters.
MOST_RANGES, LONGEST_MM = 256, 30000
#: How far below a camera its floor may be, meters.
_DEEPEST_M = 10.0


@dataclass(frozen=True, eq=False)
class FloorScan:
    """The floor below a frame and a scan along it.

    Attributes:
        floor_4: plane n.x = d in the camera's optical frame: unit normal n that points down, and
            its distance d below the camera, meters.
        first_rad, step_rad: bearing of the first range, and from one to the next.
        ranges_mm_K: (K,) int16; positive: an obstacle at that range, negative: free as far as
            that, 0: nothing is known.

    Raises:
        DataError: it is not such a plane, or such a scan.
    """

    floor_4: Float64Array
    first_rad: float
    step_rad: float
    ranges_mm_K: Int16Array

    def __post_init__(self) -> None:
        count = len(self.ranges_mm_K)
        if not 0 < count <= MOST_RANGES:
            raise DataError(f"a scan of {count} ranges: 1 to {MOST_RANGES} are taken")
        if not (math.isfinite(self.first_rad) and math.isfinite(self.step_rad)
                and self.step_rad > 1e-4 and abs(self.first_rad) <= math.pi
                and count * self.step_rad <= 2 * math.pi):
            raise DataError(f"a scan from {self.first_rad} rad in {count} steps of "
                            f"{self.step_rad} rad is no part of a turn")
        normal = self.floor_4[:3]
        if (self.floor_4.shape != (4,) or not np.isfinite(self.floor_4).all()
                or abs(float(normal @ normal) - 1.0) > 1e-3
                or not 0.0 < self.floor_4[3] <= _DEEPEST_M):
            raise DataError(f"floor {self.floor_4.tolist()} is no plane up to {_DEEPEST_M:g} m "
                            "below the camera (unit normal, distance)")
        if np.abs(self.ranges_mm_K.astype(np.int32)).max() > LONGEST_MM:
            raise DataError(f"a scan reaches farther than {LONGEST_MM} mm")

    @property
    def bearings_K(self) -> Float64Array:
        """(K,) bearing of each range, radians."""
        return np.asarray(self.first_rad + self.step_rad * np.arange(len(self.ranges_mm_K)))

    def without(self, bearings: Int64Array) -> FloorScan:
        """Return the scan without the ranges of some numbers: nothing is known there."""
        ranges = self.ranges_mm_K.copy()
        ranges[bearings] = 0
        return replace(self, ranges_mm_K=ranges)

    @property
    def axes_23(self) -> Float64Array:
        """(2, 3) unit vectors of bearing 0 and of bearing 90 degrees, in the optical frame."""
        return floor_axes(self.floor_4)


def floor_axes(floor_4: Float64Array) -> Float64Array:
    """Return the view direction laid on a floor, and the direction to its left, (2, 3) units.

    Both are in the optical frame. A camera that looks straight down has no such direction: the
    upper edge of its image then points ahead.
    """
    down = floor_4[:3]
    ahead = np.array([0.0, 0.0, 1.0]) - down[2] * down
    if float(ahead @ ahead) < 1e-4:
        ahead = np.array([0.0, -1.0, 0.0]) + down[1] * down
    ahead = ahead / math.sqrt(float(ahead @ ahead))
    return np.stack([ahead, np.cross(ahead, down)])
