"""Where the camera should be now: by odometry where it is offered, else by constant velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..data.poses import SubmapPose
from ..data.submaps import MAIN_SUBMAP, SubmapMotions, corrected
from ..geometry.se3 import exp_se3, invert_pose, log_se3, make_pose, pose_errors_in_map

if TYPE_CHECKING:
    from ..data.poses import AlignedPose
    from ..geometry.arrays import Float64Array

_LONGEST_PREDICTION_NS = 300_000_000
#: A camera lost for longer has moved away from where it was (half a meter, or a right angle).
_NEARBY_NS = 1_000_000_000
#: What a hand adds to its motion from frame to frame, standard deviations, at the usual rate.
_JERK_M, _JERK_RAD, _USUAL_RATE_HZ = 0.006, np.deg2rad(1.0), 30.0
#: Share of the way since the last frame that goes on.
_WAY_KEPT = 0.8
#: Variance of what holds a camera by little over what it claims: its errors are shared.
_DOUBT = 9.0


@dataclass(frozen=True)
class Motion:
    """Where a camera was last, how long ago, and where it is now if it went on as before."""

    T_map_cam: Float64Array
    elapsed_s: float
    T_predicted: Float64Array

    def twist_6(self, T_map_cam: Float64Array) -> Float64Array:
        """Velocity of a camera that has reached `T_map_cam`, in its own frame."""
        return log_se3(invert_pose(self.T_map_cam) @ T_map_cam) / self.elapsed_s

    @property
    def predicted_twist_6(self) -> Float64Array:
        """Velocity (6,) of the camera in its own frame, if it has gone on as before."""
        return self.twist_6(self.T_predicted)

    @property
    def sigma_6(self) -> Float64Array:
        """Standard deviation of `T_predicted`: meters, radians."""
        frames = self.elapsed_s * _USUAL_RATE_HZ
        return np.asarray(frames**2 * np.repeat([_JERK_M, _JERK_RAD], 3))

    def steady(self, found: AlignedPose) -> AlignedPose:
        """Weigh a pose that is held by little against the motion before.

        The turn goes on as before; the way does so less and less, as what holds the camera by
        little does not tell turns from shifts, and errors of the velocity would run away.

        Args:
            found: whose covariance is that of the alignment alone.
        """
        T = self.T_predicted.copy()
        T[:3, 3] = self.T_map_cam[:3, 3] + _WAY_KEPT * (T[:3, 3] - self.T_map_cam[:3, 3])
        prior_66 = np.diag(self.sigma_6**2)
        total_66 = prior_66 + _DOUBT * found.covariance_66
        gap_6 = pose_errors_in_map(found.T_map_cam[None], T[None])[0]
        step_6 = prior_66 @ np.linalg.solve(total_66, gap_6)
        turn_6 = np.concatenate([np.zeros(3), step_6[3:]])
        return replace(found, T_map_cam=make_pose(
            exp_se3(turn_6)[:3, :3] @ T[:3, :3], T[:3, 3] + step_6[:3]))


def doubted(found: AlignedPose) -> AlignedPose:
    """Return a pose that is held by little with the covariance that its shared errors make."""
    return replace(found, covariance_66=_DOUBT * found.covariance_66)


@dataclass(frozen=True)
class StampedPose:
    """When and where a camera was."""

    stamp_ns: int
    pose: SubmapPose


class MotionModel:
    """Predicts poses from those before.

    Attributes:
        last: the last accepted pose, None when there is none.
        traveled_m: way since the start or the last jump of the clock.
        is_guess: whether poses go back to one that was only guessed, and no place was recognized
            since.
    """

    def __init__(self, constant_velocity: bool, stamp_sigma_s: float = 0.0) -> None:
        self._constant_velocity, self._stamp_sigma_s = constant_velocity, stamp_sigma_s
        self.clear()

    def clear(self) -> None:
        """Forget everything, after a clock jump."""
        self.last: StampedPose | None = None
        self._left: StampedPose | None = None
        self._T_odom_cam: Float64Array | None = None
        self._T_odom_cam_then: Float64Array | None = None
        self.traveled_m = 0.0
        self.is_guess = False
        self._velocity_6 = np.zeros(6)

    def observe_odometry(self, T_odom_cam: Float64Array | None) -> None:
        """Take the pose (4, 4) of the camera in a drifting frame at the next stamp, or None."""
        self._T_odom_cam = T_odom_cam

    @property
    def submap(self) -> int:
        """Submap that the last pose is in; the map itself without one."""
        return MAIN_SUBMAP if self.last is None else self.last.pose.submap

    def age_s(self, stamp_ns: int) -> float:
        """Time since the last pose, infinite without one."""
        return math.inf if self.last is None else (stamp_ns - self.last.stamp_ns) * 1e-9

    def until(self, stamp_ns: int) -> Motion | None:
        """Return what tells the velocity at a stamp, None when the last pose is too old."""
        if self.last is None or not 0 < stamp_ns - self.last.stamp_ns <= _LONGEST_PREDICTION_NS:
            return None
        predicted = self.predict(stamp_ns)
        assert predicted is not None
        return Motion(self.last.pose.T_map_cam, (stamp_ns - self.last.stamp_ns) * 1e-9,
                      predicted.T_map_cam)

    def predict(self, stamp_ns: int) -> SubmapPose | None:
        """Return the pose at a stamp; None when the last is too old."""
        if self.last is None or stamp_ns - self.last.stamp_ns > _LONGEST_PREDICTION_NS:
            return None
        last = self.last.pose
        if not self._constant_velocity:
            return last
        if self._T_odom_cam is not None and self._T_odom_cam_then is not None:
            step = invert_pose(self._T_odom_cam_then) @ self._T_odom_cam
        else:
            step = exp_se3(self._velocity_6 * (stamp_ns - self.last.stamp_ns) * 1e-9)
        return SubmapPose(last.T_map_cam @ step, submap=last.submap)

    def moved(self, stamp_ns: int, pose: SubmapPose, corrected: bool = False) -> None:
        """Take an accepted pose; `corrected`: tracking had been wrong, and this is no motion."""
        motion = self.until(stamp_ns)
        if motion is None:
            self._velocity_6 = np.zeros(6)
        elif not corrected:
            self._velocity_6 = motion.twist_6(pose.T_map_cam)
            self.traveled_m += float(np.linalg.norm(self._velocity_6[:3])) * motion.elapsed_s
        self.last = StampedPose(stamp_ns, SubmapPose(pose.T_map_cam, submap=pose.submap))
        self._T_odom_cam_then = self._T_odom_cam

    def reported(self, covariance_66: Float64Array) -> Float64Array:
        """Return the covariance (6, 6) of the last pose at its stamp, in map axes.

        The stamp is not exactly when the image was taken: the way and the turn of that time are
        one more error, along the motion. It is of the stamp alone, not of the map, so keyframes
        and alignments are without it.

        Args:
            covariance_66: of the pose at the time of the image.
        """
        if self.last is None:
            return covariance_66
        turned = np.kron(np.eye(2), self.last.pose.T_map_cam[:3, :3])
        way_6 = self._stamp_sigma_s * (turned @ self._velocity_6)
        return np.asarray(covariance_66 + np.outer(way_6, way_6))

    def lose(self) -> None:
        """Note that the camera is lost: of its last pose only `nearby` still tells."""
        self._left, self.last = self.last, None
        self.is_guess = False

    def nearby(self, stamp_ns: int) -> SubmapPose | None:
        """Where the camera was seen last, while it may still be near there."""
        seen = self.last or self._left
        if seen is None or not 0 < stamp_ns - seen.stamp_ns <= _NEARBY_NS:
            return None
        return seen.pose

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map; the velocity, in the camera's frame, stays."""
        self.last, self._left = _corrected(self.last, motions), _corrected(self._left, motions)


def _corrected(seen: StampedPose | None, motions: SubmapMotions) -> StampedPose | None:
    return None if seen is None else replace(seen, pose=corrected(seen.pose, motions))
