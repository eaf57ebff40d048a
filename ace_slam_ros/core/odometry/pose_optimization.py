"""Pose of one frame from followed points: reprojection and depth, robust, with a covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.poses import AlignedPose
from ..geometry.se3 import exp_se3, invert_pose, transform_points
from ..runtime.compiled import AVAILABLE
from .pose_kernels import (
    CUT_SCALES,
    DAMPING,
    ITERATIONS,
    LEAST_STEP,
    MOVING_ITERATIONS,
    OWN_SHARE,
    REFINEMENTS,
    SCALE_SHRINKS,
    solve_in_place,
)
from .residuals import (
    KERNEL_SIGMAS,
    LARGEST_DEPTH_SPREAD,
    LARGEST_SPREAD,
    LEAST_DEPTH_SPREAD,
    NEAREST_M,
    Sightings,
    TrackResiduals,
    depth_spread,
    depth_weight,
    image_spread,
    map_covariance,
    normal_equations,
    squared_errors,
)
from .rolling_shutter import sweep

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float64Array
    from .motion_model import Motion


@dataclass(frozen=True)
class SolvedPose:
    """A pose and what its tracks say of it.

    Attributes:
        aligned: the pose with a covariance in the map frame.
        agrees_n: (n,) bool, which tracks agree.
        r_2n: (2, n) their residuals in the image, over the pixel noise, before the last steps.
        J_62n: (6, 2, n) derivatives of these by a left twist of T_cam_map.
        swept_n2: (n, 2) what a second of readout adds to their pixels; None without velocity.
    """

    aligned: AlignedPose
    agrees_n: npt.NDArray[np.bool_]
    r_2n: Float64Array
    J_62n: Float64Array
    swept_n2: Float64Array | None


def optimize_pose(
    T_map_cam: Float64Array, seen: Sightings, camera: Camera, sensor: SensorConfig,
    min_inliers: int, motion: Motion | None = None, readout_s: float = 0.0,
) -> SolvedPose | None:
    """Gauss-Newton on reprojection and depth residuals with a Cauchy kernel.

    All tracks count alike until the pose is found, and which of them agree: at a wrong place,
    patches misfit, which must not excuse them. Steps by what each misfit tells come last.

    Args:
        T_map_cam: (4, 4) start.
        seen: points and where they were found.
        camera: intrinsics.
        sensor: noise of pixels and depth.
        min_inliers: fewer agreeing tracks are no pose.
        motion: from the pose before, where that tells the velocity.
        readout_s: of the rolling shutter, whose rows the velocity brings to one time.

    Returns:
        The pose, or None.
    """
    solved = solve(T_map_cam, seen, camera, sensor, motion, readout_s)
    if solved is None:
        return None
    pose, H, squared_n, r_2n, J_62n, swept_n2 = solved
    agrees = squared_n < 9.0 * 2
    if agrees.sum() < min_inliers or agrees.mean() < 0.3:
        return None
    aligned = AlignedPose(pose, map_covariance(H, pose), int(agrees.sum()), len(agrees))
    return SolvedPose(aligned, agrees, r_2n, J_62n, swept_n2)


#: Pose, information (6, 6), squared errors, residuals and derivatives before the last step, image
#: motion.
_Solved = tuple["Float64Array", "Float64Array", "Float64Array", "Float64Array", "Float64Array",
                "Float64Array | None"]


def solve(
    T_map_cam: Float64Array, seen: Sightings, camera: Camera, sensor: SensorConfig,
    motion: Motion | None, readout_s: float,
) -> _Solved | None:
    """Iterate; arguments are those of `optimize_pose`."""
    if not AVAILABLE:
        return solve_twin(T_map_cam, seen, camera, sensor, motion, readout_s)
    count = len(seen)
    sigma = sensor.depth_sigma_m(seen.depth_m_n)
    sharp = np.where(np.isfinite(sigma), 1.0 / sigma, 0.0)
    unsure = np.zeros((count, 3)) if seen.unsure_map_n3 is None else seen.unsure_map_n3
    view = np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.height,
                     sensor.pixel_sigma])
    before, elapsed_s = np.eye(4), 0.0
    if motion is not None:
        before, elapsed_s = np.ascontiguousarray(motion.T_map_cam), motion.elapsed_s
    T_cam_map, H = np.ascontiguousarray(invert_pose(T_map_cam)), np.zeros((6, 6))
    squared_n, r_2n, J_62n = np.empty(count), np.empty((2, count)), np.empty((6, 2, count))
    swept_n2 = np.empty((count, 2))
    if not solve_in_place(
            T_cam_map, seen.points_map_n3, unsure, seen.pixels_n2, seen.depth_m_n,
            seen.whitening(sensor.pixel_sigma), sharp, view, before, elapsed_s, readout_s, H,
            squared_n, r_2n, J_62n, swept_n2):
        return None
    return (invert_pose(T_cam_map), H, squared_n, r_2n, J_62n,
            None if motion is None else swept_n2)


def solve_twin(
    T_map_cam: Float64Array, seen: Sightings, camera: Camera, sensor: SensorConfig,
    motion: Motion | None, readout_s: float,
) -> _Solved | None:
    """Do as `solve`, in NumPy."""
    def swept_n2(T_cam_map: Float64Array) -> Float64Array:
        assert motion is not None
        return sweep(transform_points(T_cam_map, seen.points_map_n3), seen.pixels_n2,
                     motion.twist_6(invert_pose(T_cam_map)), camera)

    T_cam_map = invert_pose(T_map_cam)
    residuals = TrackResiduals(seen, camera, sensor)
    scale = 2 * LARGEST_SPREAD
    for iteration in range(ITERATIONS):
        if motion is not None and readout_s > 0.0 and iteration < MOVING_ITERATIONS:
            residuals.see_at(seen.pixels_n2 + readout_s * swept_n2(T_cam_map))
        at = residuals.at(T_cam_map)
        if (at.z_n < NEAREST_M).mean() > 0.5:
            return None
        chi2 = squared_errors(at)
        spread = image_spread(chi2)
        scale = max(spread, scale * SCALE_SHRINKS)
        w_image = 1.0 / (1.0 + chi2 / (KERNEL_SIGMAS * scale) ** 2)
        w_image[chi2 > (CUT_SCALES * scale) ** 2] = 0.0
        measured = depth_spread(at.r_3n[2], residuals.has_depth_n & (w_image > 0.5))
        of_depth = min(max(measured, LEAST_DEPTH_SPREAD), LARGEST_DEPTH_SPREAD)
        weight = np.empty_like(at.r_3n)
        weight[:2] = w_image / spread**2
        weight[2] = residuals.has_depth_n * depth_weight(at.r_3n[2], w_image, of_depth)
        H, g = normal_equations(at, weight, w_image, OWN_SHARE * of_depth)
        if (step := _step_6(H, g)) is None:
            return None
        T_cam_map = exp_se3(step) @ T_cam_map
        if np.abs(step).max() < LEAST_STEP and scale == spread:
            break
    r_2n, J_62n = at.r_3n[:2], at.J_63n[:, :2]
    residuals = TrackResiduals(seen, camera, sensor, by_misfit=True)
    for _ in range(REFINEMENTS):
        if motion is not None and readout_s > 0.0:
            residuals.see_at(seen.pixels_n2 + readout_s * swept_n2(T_cam_map))
        at = residuals.at(T_cam_map)
        weight[:2] = w_image / image_spread(squared_errors(at)) ** 2
        H, g = normal_equations(at, weight, w_image, OWN_SHARE * of_depth)
        if (step := _step_6(H, g)) is None:
            return None
        T_cam_map = exp_se3(step) @ T_cam_map
    return (invert_pose(T_cam_map), H, chi2, r_2n, J_62n,
            None if motion is None else swept_n2(T_cam_map))


def _step_6(H: Float64Array, g: Float64Array) -> Float64Array | None:
    """Return the step of Gauss-Newton (6,), a left twist; None where nothing tells it."""
    try:
        return np.asarray(-np.linalg.solve(H + DAMPING * np.eye(6), g), np.float64)
    except np.linalg.LinAlgError:
        return None
