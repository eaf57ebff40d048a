"""Parameters of what robots drive with: the occupancy grid, and obstacles of the newest image."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from .fields import Checked, param


@dataclass(frozen=True)
class GridConfig(Checked, section="grid"):
    """The occupancy grid: what a robot may not drive into, seen from above."""

    enabled: bool = param(
        True, "keyframes carry a virtual scan, and the mapper makes the occupancy grid of them")
    resolution_m: float = param(0.05, "edge of a cell", "m", 0.01, 1.0)
    lowest_m: float = param(
        0.08, "what is lower above the floor is driven over, or noise", "m", 0.02, 2.0)
    highest_m: float = param(
        1.8, "what is higher above the floor is driven under: the height of the robot", "m",
        0.1, 5.0)
    range_m: float = param(5.0, "scans end there", "m", 0.5, 20.0)
    passed_m: float = param(
        0.15, "nothing stands within this distance of the way of a camera that is lower than "
        "grid.passed_below_m above the floor; 0 = free is only what was seen", "m", 0.0, 1.0)
    passed_below_m: float = param(
        0.7, "a higher camera may be held over a table, so that its way proves nothing; raise it "
        "for one on the mast of a robot", "m", 0.0, 5.0)

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.highest_m <= self.lowest_m:
            raise ConfigError(f"grid.highest_m={self.highest_m} is not above "
                              f"grid.lowest_m={self.lowest_m}")


@dataclass(frozen=True)
class ObstacleConfig(Checked, section="obstacles"):
    """What counts as an obstacle; used by the tracker node alone.

    Raises:
        ConfigError: a value is out of range, or nothing fits between the heights.
    """

    rate_hz: float = param(
        10.0, "clouds of the topics obstacles and free_space per second, while somebody listens; "
        "0 = none", "Hz", 0.0, 60.0)
    range_m: float = param(4.0, "obstacles farther from the camera are left out", "m", 0.5, 20.0)
    low_m: float = param(
        0.065, "what is nearer to the floor is floor: noise and the camera's mount make floors "
        "rise by some centimeters", "m", 0.01, 1.0)
    high_m: float = param(
        2.0, "what is higher above the floor does not stop the robot", "m", 0.05, 10.0)
    floor_z_m: float = param(
        0.0, "height of the floor in base_frame; of a base_link on the axles it is negative", "m",
        -5.0, 5.0)
    voxel_m: float = param(0.03, "edge of a voxel, in which one point is kept", "m", 0.01, 0.5)

    def __post_init__(self) -> None:
        """Check the values, alone and together."""
        super().__post_init__()
        if self.high_m <= self.low_m:
            raise ConfigError(
                f"obstacles.high_m={self.high_m} is not above obstacles.low_m={self.low_m}: "
                "nothing would be an obstacle")
