"""Point-to-plane alignment of depth with a keyframe's surfaces, for where texture is missing.

Source: Chen and Medioni 1992, with projective association (Blais and Levine 1995). A pose that
the surfaces leave free, such as along a single wall, is no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.depth.sampling import cell_depth
from ..data.poses import AlignedPose
from ..geometry.se3 import cross_matrices, exp_se3, invert_pose, transform_points
from .residuals import (
    NEAREST_M,
    Sightings,
    TrackResiduals,
    image_spread,
    map_covariance,
    normal_equations,
    squared_errors,
)

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float64Array

_STRIDE_PX = 8
#: Normals come from neighbors this many cells away: three centimeters of depth noise over a
#: quarter of a meter at 3 m turn them by a few degrees.
_REACH = 2
#: A surface bends by no more than this share of its depth between those neighbors.
_BEND = 0.02
_ITERATIONS = 12
#: Points farther apart than this are of different things, at first and at least.
_GATE_M, _LEAST_GATE_M = 0.2, 0.05
#: Surfaces must be seen by both in this share of the frame, and agree in that share of it.
_LEAST_OVERLAP, _LEAST_AGREEING = 0.4, 0.7
#: Standard deviation of a pose that counts as determined.
_LARGEST_SIGMA_M, _LARGEST_SIGMA_RAD = 0.02, np.deg2rad(1.0)


@dataclass(frozen=True)
class Surface:
    """Depth of an image on a grid of cells: points and normals in the camera frame.

    Attributes:
        points_hw3: (h, w, 3) float32 meters, NaN where unknown.
        normals_hw3: (h, w, 3) float32 unit vectors towards the camera, NaN where unknown.
        sigma_m_hw: (h, w) float32 standard deviation of the depth of one pixel: that a cell
            averages sixteen makes up for the errors that neighboring cells share.
    """

    points_hw3: Float32Array
    normals_hw3: Float32Array
    sigma_m_hw: Float32Array

    @property
    def covers_enough(self) -> bool:
        """Whether so much of the image is known that a frame can be aligned with it."""
        return bool(np.isfinite(self.normals_hw3[..., 0]).mean() > _LEAST_OVERLAP)

    @property
    def depths_m(self) -> Float32Array:
        """Depths (n,) of the cells where it is known."""
        depth_hw = self.points_hw3[..., 2]
        return depth_hw[np.isfinite(depth_hw)]

    @staticmethod
    def of(depth_m: Float32Array, camera: Camera, sensor: SensorConfig) -> Surface:
        """Return the surface a depth image (H, W) in meters shows."""
        depth_hw = cell_depth(depth_m, _STRIDE_PX, sensor)
        rows, columns = np.mgrid[:depth_hw.shape[0], :depth_hw.shape[1]].reshape(2, -1)
        pixels = np.stack([columns, rows], 1) * float(_STRIDE_PX) + (_STRIDE_PX - 1) / 2
        points = camera.unproject(pixels, depth_hw.reshape(-1).astype(np.float64))
        points_hw3 = points.reshape(*depth_hw.shape, 3)
        return Surface(points_hw3.astype(np.float32), _normals(points_hw3).astype(np.float32),
                       sensor.depth_sigma_m(depth_hw).astype(np.float32))


def _normals(points_hw3: Float64Array) -> Float64Array:
    """Unit normals (h, w, 3) towards the camera, NaN at edges, gaps and folds."""
    normals = np.full_like(points_hw3, np.nan)
    r = _REACH
    here = points_hw3[r:-r, r:-r]
    right, left = points_hw3[r:-r, 2 * r:], points_hw3[r:-r, :-2 * r]
    below, above = points_hw3[2 * r:, r:-r], points_hw3[:-2 * r, r:-r]
    found = np.cross(below - above, right - left)
    with np.errstate(invalid="ignore", divide="ignore"):
        found /= np.linalg.norm(found, axis=2, keepdims=True)
        bend = np.maximum(np.abs(right + left - 2 * here)[..., 2],
                          np.abs(below + above - 2 * here)[..., 2])
        flat = bend < 2 * _BEND * here[..., 2]
    normals[r:-r, r:-r] = np.where(flat[..., None], found, np.nan)
    return normals


def align_surface(
    T_map_cam: Float64Array, frame: Surface, reference: Surface, T_map_reference: Float64Array,
    seen: Sightings, camera: Camera, sensor: SensorConfig,
) -> AlignedPose | None:
    """Solve a pose from surfaces, and from the few tracks there are.

    Args:
        T_map_cam: (4, 4) start.
        frame, reference: surfaces of the new frame and of a keyframe.
        T_map_reference: (4, 4) pose of the keyframe.
        seen: followed points; may be none.
        camera: intrinsics of both images.
        sensor: noise.

    Returns:
        The pose, whose counts are of surface points, or None when too little overlaps or agrees,
        or the surfaces do not determine it.
    """
    known = np.isfinite(frame.points_hw3[..., 2])[::2, ::2]
    points = frame.points_hw3[::2, ::2][known].astype(np.float64)
    sigma_n = frame.sigma_m_hw[::2, ::2][known].astype(np.float64)
    if len(points) == 0:
        return None
    T_cam_map, gate_m = invert_pose(T_map_cam), _GATE_M
    for _ in range(_ITERATIONS):
        found = _match(points, sigma_n, T_cam_map, reference, T_map_reference, camera)
        if found.both.mean() < _LEAST_OVERLAP:
            return None
        near = np.abs(found.gap_m) < gate_m
        H, g = _track_equations(T_cam_map, seen, camera, sensor)
        whitened = (found.gap_m / found.sigma_m)[near]
        weight = 1.0 / (1.0 + whitened**2 / 9.0)
        J = found.J_m6[near] / found.sigma_m[near, None]
        H += (J * weight[:, None]).T @ J
        g += (J * weight[:, None]).T @ whitened
        step = np.asarray(-np.linalg.solve(H + 1e-6 * np.eye(6), g), np.float64)
        T_cam_map = exp_se3(step) @ T_cam_map
        gate_m = max(_LEAST_GATE_M, 0.6 * gate_m)
        if np.abs(step).max() < 1e-5:
            break
    agreeing = int((np.abs(found.gap_m) < 3.0 * found.sigma_m).sum())
    if agreeing < _LEAST_AGREEING * found.both.sum():
        return None
    pose = invert_pose(T_cam_map)
    covariance_66 = map_covariance(H, pose)
    if (np.linalg.eigvalsh(covariance_66[:3, :3])[-1] > _LARGEST_SIGMA_M**2
            or np.linalg.eigvalsh(covariance_66[3:, 3:])[-1] > _LARGEST_SIGMA_RAD**2):
        return None
    return AlignedPose(pose, covariance_66, agreeing, int(found.both.sum()))


@dataclass(frozen=True)
class _Matches:
    """Points of the frame and the planes of the reference that they are seen on.

    Attributes:
        both: (n,) bool, points that lie where the reference knows its surface.
        gap_m: (m,) distance to the plane, of those.
        sigma_m: (m,) its standard deviation.
        J_m6: (m, 6) its derivative by a left twist of T_cam_map.
    """

    both: npt.NDArray[np.bool_]
    gap_m: Float64Array
    sigma_m: Float64Array
    J_m6: Float64Array


def _match(
    points_n3: Float64Array, sigma_n: Float64Array, T_cam_map: Float64Array,
    reference: Surface, T_map_reference: Float64Array, camera: Camera,
) -> _Matches:
    """Match each point with the cell of the reference that it is projected on."""
    T_reference_cam = invert_pose(T_cam_map @ T_map_reference)
    moved = transform_points(T_reference_cam, points_n3)
    cells = (camera.project(np.maximum(moved, (-np.inf, -np.inf, NEAREST_M)))
             - (_STRIDE_PX - 1) / 2) / _STRIDE_PX
    h, w = reference.points_hw3.shape[:2]
    inside = ((moved[:, 2] > NEAREST_M) & (cells > -0.5).all(axis=1)
              & (cells < (w - 0.5, h - 0.5)).all(axis=1))
    column, row = np.where(inside[:, None], np.rint(cells), 0).astype(np.int64).T
    normals = reference.normals_hw3[row, column].astype(np.float64)
    both = inside & np.isfinite(normals[:, 0])
    normals, row, column = normals[both], row[both], column[both]
    gap = np.einsum("mi,mi->m", normals, moved[both] - reference.points_hw3[row, column])
    in_cam = normals @ T_reference_cam[:3, :3]  # the normals in the frame's camera
    arm = np.einsum("mij,mj->mi", cross_matrices(points_n3[both]), in_cam)
    sigma = np.hypot(sigma_n[both], reference.sigma_m_hw[row, column])
    return _Matches(both, gap, sigma, -np.concatenate([in_cam, arm], axis=1))


def _track_equations(
    T_cam_map: Float64Array, seen: Sightings, camera: Camera, sensor: SensorConfig
) -> tuple[Float64Array, Float64Array]:
    """Normal equations (6, 6), (6,) of the tracks' pixels, with a Cauchy kernel."""
    if len(seen) == 0:
        return np.zeros((6, 6)), np.zeros(6)
    at = TrackResiduals(seen, camera, sensor).at(T_cam_map)
    chi2 = squared_errors(at)
    robust = 1.0 / (1.0 + chi2 / 9.0)
    weight = np.zeros_like(at.r_3n)
    weight[:2] = robust / image_spread(chi2) ** 2
    return normal_equations(at, weight, robust)
