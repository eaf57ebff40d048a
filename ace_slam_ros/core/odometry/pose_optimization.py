"""Pose of one frame from followed points: reprojection and depth, robust, with a covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.poses import AlignedPose
from ..geometry.se3 import exp_se3, invert_pose, pose_errors_in_map
from .residuals import NEAREST_M, Linearized, Sightings, TrackResiduals, normal_equations

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float64Array

#: Tracks are never trusted to less than this share of `sensor.pixel_sigma`: what their neighbors
#: agree on may be wrong alike.
_LEAST_SPREAD, _LARGEST_SPREAD = 0.5, 2.0
_MEDIAN_RADIUS = 1.18  # median distance from the center of a 2-D Gaussian of sigma 1
#: Cauchy kernel, in standard deviations: wide, as track errors have long tails on both sides.
KERNEL_SIGMAS = 3.0
#: The noise model tells how depth noise grows with distance; how large it is here is measured,
#: within limits: neighbors share their errors, which therefore show too small; bent depth, and
#: color and depth of different instants, come to the largest.
_LEAST_DEPTH_SPREAD, _LARGEST_DEPTH_SPREAD = 1.0, 4.0
_FEWEST_DEPTHS, _USUAL_DEPTH_SPREAD = 10, 1.5  # fewer depths show no spread of their own
#: Share of a depth residual that is the error of the point, the rest being that of the frame's
#: depth: two measurements of one sensor.
_OWN_SHARE = 0.5**0.5
#: Meters and radians: no pose is known better, however sure its frame of reference is.
_LEAST_MOTION = 1e-4, 1e-5
#: The velocity follows the pose for as many iterations: of an error of the start, 1 % stays in it.
_MOVING_ITERATIONS = 4
_NORMAL_MAD = 1.4826  # standard deviation over the median absolute deviation of a Gaussian


def optimize_pose(
    T_map_cam: Float64Array, seen: Sightings, camera: Camera, sensor: SensorConfig,
    min_inliers: int, still_n2: Callable[[Float64Array], Float64Array] | None = None,
) -> tuple[AlignedPose, npt.NDArray[np.bool_], Linearized] | None:
    """Gauss-Newton on reprojection and depth residuals with a Cauchy kernel.

    Args:
        T_map_cam: (4, 4) start.
        seen: points and where they were found.
        camera: intrinsics.
        sensor: noise of pixels and depth.
        min_inliers: fewer agreeing tracks are no pose.
        still_n2: gives the (n, 2) pixels as they would be without rolling shutter, for a camera
            at a (4, 4) pose, as that tells the velocity.

    Returns:
        The pose with a covariance in the map frame, (n,) bool which tracks agree, and their
        residuals; or None.
    """
    T_cam_map = invert_pose(T_map_cam)
    residuals = TrackResiduals(seen, camera, sensor)
    scale = 2 * _LARGEST_SPREAD
    for iteration in range(12):
        if still_n2 is not None and iteration < _MOVING_ITERATIONS:
            residuals.see_at(still_n2(invert_pose(T_cam_map)))
        at = residuals.at(T_cam_map)
        if (at.z_n < NEAREST_M).mean() > 0.5:
            return None
        chi2 = squared_errors(at)
        spread = image_spread(chi2)
        scale = max(spread, scale * 0.6)
        w_image = 1.0 / (1.0 + chi2 / (KERNEL_SIGMAS * scale) ** 2)
        w_image[chi2 > (8.0 * scale) ** 2] = 0.0
        measured = depth_spread(at.r_3n[2], residuals.has_depth_n & (w_image > 0.5))
        of_depth = min(max(measured, _LEAST_DEPTH_SPREAD), _LARGEST_DEPTH_SPREAD)
        weight = np.empty_like(at.r_3n)
        weight[:2] = w_image / spread**2
        weight[2] = residuals.has_depth_n * depth_weight(at.r_3n[2], w_image, of_depth)
        H, g = normal_equations(at, weight, w_image, _OWN_SHARE * of_depth)
        try:
            step = np.asarray(-np.linalg.solve(H + 1e-6 * np.eye(6), g), np.float64)
        except np.linalg.LinAlgError:
            return None
        T_cam_map = exp_se3(step) @ T_cam_map
        if np.abs(step).max() < 1e-5 and scale == spread:
            break
    agrees = chi2 < 9.0 * 2
    if agrees.sum() < min_inliers or agrees.mean() < 0.3:
        return None
    pose = invert_pose(T_cam_map)
    covariance = map_covariance(H, pose)
    return AlignedPose(pose, covariance, int(agrees.sum()), len(agrees)), agrees, at


def squared_errors(at: Linearized) -> Float64Array:
    """Squared image residuals (n,), in variances.

    Where the depth of a point leaves open where it is seen, more than the image does, only the
    distance from the line that it may be seen on counts.
    """
    squared = np.square(at.r_3n[:2]).sum(axis=0)
    if at.off_3n is None:
        return np.asarray(squared)
    off = at.off_3n[:2]
    open_n = np.square(off).sum(axis=0)
    along = (off * at.r_3n[:2]).sum(axis=0)
    return np.asarray(squared - np.where(open_n > 1.0, along**2 / (1.0 + open_n), 0.0))


def image_spread(chi2_n: Float64Array) -> float:
    """Standard deviation of the image residuals in units of `sensor.pixel_sigma`, measured.

    Blur, large viewpoint changes and imprecise map points widen it; sharp tracks narrow it.
    """
    measured = float(np.sqrt(np.median(chi2_n))) / _MEDIAN_RADIUS
    return min(max(measured, _LEAST_SPREAD), _LARGEST_SPREAD)


def depth_spread(r_n: Float64Array, trusted_n: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the depth residuals in units of `sensor.depth_sigma_m`, measured.

    Args:
        r_n: (n,) residuals in units of the model.
        trusted_n: (n,) bool, those with depth, of points that agree in the image.
    """
    if trusted_n.sum() < _FEWEST_DEPTHS:
        return _USUAL_DEPTH_SPREAD
    return _NORMAL_MAD * float(np.median(np.abs(r_n[trusted_n])))


def depth_weight(r_n: Float64Array, w_image_n: Float64Array, spread: float) -> Float64Array:
    """Weight (n,) of depth residuals: a Cauchy kernel of two spreads, and what the image says."""
    return np.asarray(w_image_n / (spread**2 + np.square(r_n) / 4.0))


def inflate_by_innovation(
    covariance_66: Float64Array, T_before: Float64Array, T_after: Float64Array
) -> Float64Array:
    """Covariance (6, 6) of a pose that an adjustment moved, in map axes.

    A motion that it does not expect (beyond one standard deviation per unknown) is added to it:
    what holds the pose now errs by as much, as where a path returns to its start with its drift.
    """
    motion_6 = pose_errors_in_map(T_after[None], T_before[None])[0]
    floor_66 = np.diag([_LEAST_MOTION[0] ** 2] * 3 + [_LEAST_MOTION[1] ** 2] * 3)
    surprise = float(motion_6 @ np.linalg.solve(covariance_66 + floor_66, motion_6)) / 6.0
    if surprise <= 1.0:
        return covariance_66
    return np.asarray(covariance_66 + (1.0 - 1.0 / surprise) * np.outer(motion_6, motion_6))


def map_covariance(H_66: Float64Array, T_map_cam: Float64Array) -> Float64Array:
    """Turn the information of a left twist of T_cam_map into a covariance in the map frame."""
    R = T_map_cam[:3, :3]
    rotate = np.zeros((6, 6))
    rotate[:3, :3] = rotate[3:, 3:] = R
    C = np.linalg.inv(H_66 + 1e-9 * np.eye(6))
    return np.asarray(rotate @ C @ rotate.T)
