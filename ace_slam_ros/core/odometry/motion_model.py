"""Where the camera should be now: by odometry where it is offered, else by constant velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..data.submaps import segment_of
from ..geometry.arrays import Float64Array
from ..geometry.se3 import exp_se3, invert_pose, log_se3

_LONGEST_PREDICTION_NS = 300_000_000
#: A camera lost for longer has moved away from where it was (half a meter, or a right angle).
_NEARBY_NS = 1_000_000_000
#: When (ns) and where (4, 4) a camera was.
StampedPose = tuple[int, Float64Array]


@dataclass(frozen=True)
class Motion:
    """The last pose before a frame and the time since, for the velocity during the frame."""

    T_map_cam: Float64Array
    elapsed_s: float

    def twist_6(self, T_map_cam: Float64Array) -> Float64Array:
        """Velocity of a camera that has reached `T_map_cam`, in its own frame."""
        return log_se3(invert_pose(self.T_map_cam) @ T_map_cam) / self.elapsed_s


class MotionModel:
    """Predicts poses from those before.

    Attributes:
        last: stamp in ns and pose (4, 4) of the last accepted pose, None when there is none.
        odometry: (4, 4) pose of the camera in a drifting frame at the next stamp, or None.
        traveled_m: way since the start or the last jump of the clock.
    """

    def __init__(self, constant_velocity: bool) -> None:
        self._constant_velocity = constant_velocity
        self.clear()

    def clear(self) -> None:
        """Forget everything, after a clock jump."""
        self.last: StampedPose | None = None
        self._left: StampedPose | None = None
        self.odometry: Float64Array | None = None
        self.traveled_m = 0.0
        self._odometry_then: Float64Array | None = None
        self._velocity_6 = np.zeros(6)

    @property
    def segment(self) -> int:
        """Segment of the map that the last pose is in; 0 without one."""
        return 0 if self.last is None else segment_of(self.last[1])

    def age_s(self, stamp_ns: int) -> float:
        """Time since the last pose, infinite without one."""
        return math.inf if self.last is None else (stamp_ns - self.last[0]) * 1e-9

    def until(self, stamp_ns: int) -> Motion | None:
        """Return what tells the velocity at a stamp, None when the last pose is too old."""
        if self.last is None or not 0 < stamp_ns - self.last[0] <= _LONGEST_PREDICTION_NS:
            return None
        return Motion(self.last[1], (stamp_ns - self.last[0]) * 1e-9)

    def predict(self, stamp_ns: int) -> Float64Array | None:
        """Return the pose (4, 4) at a stamp; None when the last is too old."""
        if self.last is None or stamp_ns - self.last[0] > _LONGEST_PREDICTION_NS:
            return None
        if not self._constant_velocity:
            return self.last[1]
        if self.odometry is not None and self._odometry_then is not None:
            return self.last[1] @ invert_pose(self._odometry_then) @ self.odometry
        return self.last[1] @ exp_se3(self._velocity_6 * (stamp_ns - self.last[0]) * 1e-9)

    def moved(self, stamp_ns: int, T_map_cam: Float64Array, corrected: bool = False) -> None:
        """Take an accepted pose; `corrected`: tracking had been wrong, and this is no motion."""
        motion = self.until(stamp_ns)
        if motion is None:
            self._velocity_6 = np.zeros(6)
        elif not corrected:
            self._velocity_6 = motion.twist_6(T_map_cam)
            self.traveled_m += float(np.linalg.norm(self._velocity_6[:3])) * motion.elapsed_s
        self.last = (stamp_ns, T_map_cam)
        self._odometry_then = self.odometry

    def lose(self) -> None:
        """Note that the camera is lost: of its last pose only `nearby` still tells."""
        self._left, self.last = self.last, None

    def nearby(self, stamp_ns: int) -> Float64Array | None:
        """Where (4, 4) the camera was seen last, while it may still be near there."""
        seen = self.last or self._left
        if seen is None or not 0 < stamp_ns - seen[0] <= _NEARBY_NS:
            return None
        return seen[1]

    def correct(self, motions: dict[int, Float64Array]) -> None:
        """Follow a correction of the map, by segment as `LocalMap.correct`; the velocity stays."""
        self.last, self._left = _corrected(self.last, motions), _corrected(self._left, motions)


def _corrected(seen: StampedPose | None, motions: dict[int, Float64Array]) -> StampedPose | None:
    return None if seen is None else (
        seen[0], motions.get(segment_of(seen[1]), np.eye(4)) @ seen[1])
