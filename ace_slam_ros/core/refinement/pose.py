"""Pose of one frame from followed points: reprojection and depth, robust, with a covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..camera import Camera
from ..config import SensorConfig
from ..geometry import (
    Float64Array,
    cross_matrices,
    exp_se3,
    invert_pose,
    pose_errors_in_map,
    transform_points,
)

#: Nearer points are not projected.
NEAREST_M = 0.05
#: Tracks are never trusted to less than this share of `sensor.pixel_sigma`: what their neighbours
#: agree on may be wrong alike.
_LEAST_SPREAD, _LARGEST_SPREAD = 0.5, 2.0
_MEDIAN_RADIUS = 1.18  # median distance from the centre of a 2-D Gaussian of sigma 1
#: Cauchy kernel, in standard deviations: wide, as track errors have long tails on both sides.
KERNEL_SIGMAS = 3.0
#: The noise model tells how depth noise grows with distance; how large it is here is measured,
#: within limits: neighbours share their errors, which therefore show too small; bent depth, and
#: colour and depth of different instants, come to the largest.
_LEAST_DEPTH_SPREAD, _LARGEST_DEPTH_SPREAD = 1.0, 4.0
_FEWEST_DEPTHS, _USUAL_DEPTH_SPREAD = 10, 1.5  # fewer depths show no spread of their own
#: Share of a depth residual that is the error of the point, the rest being that of the frame's
#: depth: two measurements of one sensor.
_OWN_SHARE = 0.5**0.5
#: Metres and radians: no pose is known better, however sure its frame of reference is.
_LEAST_MOTION = 1e-4, 1e-5
_NORMAL_MAD = 1.4826  # standard deviation over the median absolute deviation of a Gaussian


@dataclass(frozen=True)
class RefinedPose:
    """Result of the refinement: pose, covariance, and how many tracks agree."""

    T_map_cam: Float64Array
    covariance_66: Float64Array
    inliers: int
    tracks: int

    @property
    def held_well(self) -> bool:
        """Whether most tracks agree."""
        return self.inliers > 0.5 * self.tracks


@dataclass(frozen=True)
class Sightings:
    """Followed points in one frame.

    Attributes:
        points_map_n3: (n, 3) map points, metres.
        pixels_n2: (n, 2) float64 where they were found.
        depth_m_n: (n,) measured depth there, NaN where unknown.
        unsure_map_n3: (n, 3) one standard deviation of the points, which is along the line of
            sight they were first seen on, by the sensor's model; None = points are exact.
    """

    points_map_n3: Float64Array
    pixels_n2: Float64Array
    depth_m_n: Float64Array
    unsure_map_n3: Float64Array | None = None

    def __len__(self) -> int:
        return len(self.pixels_n2)


def optimise_pose(
    T_map_cam: Float64Array, seen: Sightings, camera: Camera, sensor: SensorConfig,
    min_inliers: int, near: bool = False,
) -> tuple[RefinedPose, npt.NDArray[np.bool_]] | None:
    """Gauss-Newton on reprojection and depth residuals with a Cauchy kernel.

    Args:
        T_map_cam: (4, 4) start.
        seen: points and where they were found.
        camera: intrinsics.
        sensor: noise of pixels and depth.
        min_inliers: fewer agreeing tracks are no pose.
        near: the start is a solution for nearly the same sightings: gates start narrow.

    Returns:
        The pose with a covariance in the map frame and (n,) bool which tracks agree, or None.
    """
    T_cam_map = invert_pose(T_map_cam)
    sigma = sensor.depth_sigma_m(seen.depth_m_n)
    has_depth = np.isfinite(sigma)
    scale = _LARGEST_SPREAD if near else 2 * _LARGEST_SPREAD
    for _ in range(12):
        p = transform_points(T_cam_map, seen.points_map_n3)
        if (p[:, 2] < NEAREST_M).mean() > 0.5:
            return None
        r, J = residuals(p, seen, sigma, camera, sensor)
        chi2 = r[:, 0] ** 2 + r[:, 1] ** 2
        spread = image_spread(chi2)
        scale = max(spread, scale * 0.6)
        w_image = 1.0 / (1.0 + chi2 / (KERNEL_SIGMAS * scale) ** 2)
        w_image[chi2 > (8.0 * scale) ** 2] = 0.0
        measured = depth_spread(r[:, 2], has_depth & (w_image > 0.5))
        of_depth = min(max(measured, _LEAST_DEPTH_SPREAD), _LARGEST_DEPTH_SPREAD)
        w_depth = depth_weight(r[:, 2], w_image, of_depth)
        weight = np.stack([w_image / spread**2, w_image / spread**2,
                           np.where(has_depth, w_depth, 0.0)], axis=1)
        off = None if seen.unsure_map_n3 is None else _OWN_SHARE * of_depth * np.matmul(
            J[:, :, :3], (seen.unsure_map_n3 @ T_cam_map[:3, :3].T)[..., None])[..., 0]
        H, g = normal_equations(r, J, weight, w_image, off)
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
    return RefinedPose(pose, covariance, int(agrees.sum()), len(agrees)), agrees


def normal_equations(
    r_n3: Float64Array, J_n36: Float64Array, weight_n3: Float64Array, robust_n: Float64Array,
    off_n3: Float64Array | None,
) -> tuple[Float64Array, Float64Array]:
    """Sum up H (6, 6) and g (6,) of points that are themselves not exact.

    A point that is nearer or farther than believed is seen elsewhere, along one line: residuals
    across that line tell the pose better than those along it. The inverse of the covariance of a
    point's three residuals is that of a diagonal matrix plus one of rank one (Sherman-Morrison).

    Args:
        r_n3, J_n36: residuals and their derivatives.
        weight_n3: of each residual by its own noise, times the robust weight.
        robust_n: that robust weight.
        off_n3: what one standard deviation of the point adds to its residuals; None = nothing.
    """
    rows = (J_n36 * np.sqrt(weight_n3)[..., None]).reshape(-1, 6)
    H = rows.T @ rows
    g = rows.T @ (r_n3 * np.sqrt(weight_n3)).reshape(-1)
    if off_n3 is not None:
        weighted = weight_n3 * off_n3
        robust = np.where(robust_n > 0.0, robust_n, 1.0)  # what is cut off has no weight anyway
        common = 1.0 / (robust + np.einsum("nk,nk->n", weighted, off_n3))
        shared = np.matmul(weighted[:, None], J_n36)[:, 0]
        H -= (shared * common[:, None]).T @ shared
        g -= shared.T @ (common * np.einsum("nk,nk->n", weighted, r_n3))
    return H, g


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


def residuals(
    p_n3: Float64Array, seen: Sightings, sigma_m_n: Float64Array, camera: Camera,
    sensor: SensorConfig,
) -> tuple[Float64Array, Float64Array]:
    """Whitened residuals and their derivatives for points given in the camera frame.

    Returns:
        (n, 3) residuals u, v, z; (n, 3, 6) derivatives by a left twist of T_cam_map.
    """
    r, D = project_whitened(p_n3, seen.pixels_n2, seen.depth_m_n, sigma_m_n, camera, sensor)
    return r, np.concatenate([D, -D @ cross_matrices(p_n3)], axis=2)


def project_whitened(
    p_n3: Float64Array, pixels_n2: Float64Array, depth_m_n: Float64Array,
    sigma_m_n: Float64Array, camera: Camera, sensor: SensorConfig,
) -> tuple[Float64Array, Float64Array]:
    """Compare camera-frame points with where they were seen, in standard deviations.

    Args:
        p_n3: points, metres.
        pixels_n2, depth_m_n: where they were seen; depth NaN where unknown.
        sigma_m_n: standard deviation of the depth, NaN where unknown.
        camera, sensor: intrinsics, noise of pixels.

    Returns:
        (n, 3) residuals u, v, z and (n, 3, 3) their derivatives by the point; z is 0 where the
        depth is unknown.
    """
    z = np.maximum(p_n3[:, 2], NEAREST_M)
    inverse = 1.0 / z
    r = np.empty((len(p_n3), 3))
    r[:, 0] = (camera.fx * p_n3[:, 0] / z + camera.cx - pixels_n2[:, 0]) / sensor.pixel_sigma
    r[:, 1] = (camera.fy * p_n3[:, 1] / z + camera.cy - pixels_n2[:, 1]) / sensor.pixel_sigma
    known = np.isfinite(sigma_m_n)
    r[:, 2] = np.where(known, (z - depth_m_n) / sigma_m_n, 0.0)
    D = np.zeros((len(p_n3), 3, 3))
    D[:, 0, 0] = camera.fx * inverse / sensor.pixel_sigma
    D[:, 0, 2] = -D[:, 0, 0] * p_n3[:, 0] * inverse
    D[:, 1, 1] = camera.fy * inverse / sensor.pixel_sigma
    D[:, 1, 2] = -D[:, 1, 1] * p_n3[:, 1] * inverse
    D[:, 2, 2] = np.where(known, 1.0 / sigma_m_n, 0.0)
    return r, D


def carried(covariance_66: Float64Array, arm_3: Float64Array) -> Float64Array:
    """Covariance (6, 6) of a pose that is rigidly joined to one `arm_3` metres before it.

    Both in map axes; a rotation error of the one moves the other across the arm.
    """
    J = np.eye(6)
    J[:3, 3:] = -cross_matrices(arm_3[None])[0]
    return np.asarray(J @ covariance_66 @ J.T)


def surprised(
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
