"""Trajectory errors against ground truth: ATE and RPE in meters, degrees and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ..core.geometry.rigid_alignment import kabsch
from ..core.geometry.se3 import (
    cross_matrices,
    invert_pose,
    make_pose,
    pose_errors_in_map,
    rotation_angle_rad,
)

if TYPE_CHECKING:
    from ..core.data.trajectory import Trajectory
    from ..core.geometry.arrays import Float64Array

#: Ground truth is interpolated at the stamps of the estimate up to this far from a sample.
MAX_GAP_NS = 50_000_000
#: Gauss-Newton converges quadratically from orientations that are right within degrees.
_ALIGNMENT_STEPS = 5


@dataclass(frozen=True)
class AteResult:
    """Absolute trajectory error after SE(3) alignment; NaN in all figures without pairs.

    Attributes:
        rmse_m, mean_m, median_m, max_m: of the position errors.
        pairs: poses of the estimate that have ground truth.
        T_groundtruth_map: (4, 4) alignment: positions of the estimate to ground truth.
        paired_N: (len(estimate),) bool, which poses are counted.
        errors_m: (pairs,) position error of each of them.
    """

    rmse_m: float
    mean_m: float
    median_m: float
    max_m: float
    pairs: int
    T_groundtruth_map: Float64Array
    paired_N: npt.NDArray[np.bool_]
    errors_m: Float64Array


@dataclass(frozen=True)
class RpeResult:
    """Relative pose error per second; NaN without pairs.

    Attributes:
        trans_rmse_m_per_s: translation drift.
        rot_rmse_deg_per_s: rotation drift.
        pairs: pairs of poses compared.
    """

    trans_rmse_m_per_s: float
    rot_rmse_deg_per_s: float
    pairs: int


def align_se3(estimate_N3: Float64Array, reference_N3: Float64Array) -> Float64Array:
    """Rigid T (4, 4) that minimizes sum |reference - T estimate|^2, without scale.

    With fewer than three points, or points on a line, the rotation is one of several equally
    good ones; without points T is the identity.
    """
    if len(estimate_N3) == 0:
        return np.eye(4)
    return kabsch(estimate_N3, reference_N3)


def absolute_trajectory_error(estimate: Trajectory, groundtruth: Trajectory) -> AteResult:
    """Position error of an estimate after the best rigid alignment (SE(3), no scale).

    Each pose of the estimate is paired with ground truth interpolated at its stamp; poses
    farther than 50 ms from any ground-truth sample are not counted.

    Source: Sturm et al. 2012, section on the absolute trajectory error.
    """
    T_true_N44, paired_N = groundtruth.at(estimate.stamps_ns, MAX_GAP_NS)
    positions_N3 = estimate.T_map_cam_N44[paired_N, :3, 3]
    true_N3 = T_true_N44[paired_N, :3, 3]
    T_44 = align_se3(positions_N3, true_N3)
    errors = np.linalg.norm(positions_N3 @ T_44[:3, :3].T + T_44[:3, 3] - true_N3, axis=1)
    if len(errors) == 0:
        nan = float("nan")
        return AteResult(nan, nan, nan, nan, 0, T_44, paired_N, errors)
    return AteResult(
        float(np.sqrt(np.mean(errors**2))), float(np.mean(errors)), float(np.median(errors)),
        float(np.max(errors)), len(errors), T_44, paired_N, errors)


def compared(
    estimate: Trajectory, groundtruth: Trajectory, paired_N: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Say how many poses were compared with ground truth, over which time, and why none was.

    Args:
        estimate: poses.
        groundtruth: true poses.
        paired_N: (len(estimate),) which of them have ground truth.

    Returns:
        `poses` of `of`, between the stamps `from_s` and `until_s`; `problem`, empty when there is
        none.
    """
    stamps_ns = estimate.stamps_ns[paired_N]
    found: dict[str, Any] = {
        "poses": len(stamps_ns), "of": len(estimate), "from_s": None, "until_s": None,
        "problem": ""}
    if len(stamps_ns):
        found.update(from_s=stamps_ns[0] * 1e-9, until_s=stamps_ns[-1] * 1e-9)
    elif len(estimate) and len(groundtruth):
        spans = [" to ".join(f"{t.stamps_ns[i] * 1e-9:.3f}" for i in (0, -1))
                 for t in (groundtruth, estimate)]
        found["problem"] = (
            f"ground truth is of {spans[0]} s, the images of {spans[1]} s: no time in common, so "
            "nothing is compared; write both with one clock")
    return found


def relative_pose_error(
    estimate: Trajectory, groundtruth: Trajectory, delta_s: float = 1.0
) -> RpeResult:
    """Root mean square drift over `delta_s` seconds, divided by the time between the poses.

    Each pose is compared with the pose of the estimate nearest to `delta_s` later, at most
    50 ms off, so that gaps while lost are not counted.

    Source: Sturm et al. 2012, section on the relative pose error.
    """
    T_true_N44, valid_N = groundtruth.at(estimate.stamps_ns, MAX_GAP_NS)
    stamps, poses = estimate.stamps_ns, estimate.T_map_cam_N44
    translation: list[float] = []
    rotation: list[float] = []
    for first, second in _pairs_apart(stamps, round(delta_s * 1e9)):
        if not (valid_N[first] and valid_N[second]):
            continue
        seconds = float(stamps[second] - stamps[first]) * 1e-9
        moved = invert_pose(poses[first]) @ poses[second]
        truly_moved = invert_pose(T_true_N44[first]) @ T_true_N44[second]
        error_44 = invert_pose(truly_moved) @ moved
        translation.append(float(np.linalg.norm(error_44[:3, 3])) / seconds)
        rotation.append(float(np.degrees(rotation_angle_rad(error_44[:3, :3]))) / seconds)
    if not translation:
        return RpeResult(float("nan"), float("nan"), 0)
    return RpeResult(
        float(np.sqrt(np.mean(np.square(translation)))),
        float(np.sqrt(np.mean(np.square(rotation)))), len(translation))


def normalized_error_squared(
    estimate: Trajectory, covariances_N66: Float64Array, groundtruth: Trajectory,
    truth_sigma: tuple[float, float] = (0.0, 0.0),
) -> float:
    """Mean squared pose error over its covariance, divided by its expectation: 1 is calibrated.

    The covariance of a pose is that in the map, whose frame its first poses define. Truth is
    therefore aligned as the covariances tell (maximum likelihood), not to the mean of all poses:
    that would hold the drift of later poses against the first ones, which are sure.

    Args:
        estimate: poses.
        covariances_N66: theirs, map frame, order x y z, rotation about x y z.
        groundtruth: true poses.
        truth_sigma: standard deviation of the truth itself per axis, meters and radians.

    Returns:
        The mean over all poses with ground truth of e^T C^-1 e / 6; NaN without any.
    """
    T_true_N44, paired_N = groundtruth.at(estimate.stamps_ns, MAX_GAP_NS)
    if not paired_N.any():
        return float("nan")
    T_true_N44, T_N44 = T_true_N44[paired_N], estimate.T_map_cam_N44[paired_N]
    truth_66 = np.diag([truth_sigma[0] ** 2] * 3 + [truth_sigma[1] ** 2] * 3)
    information_N66 = np.linalg.inv(covariances_N66[paired_N] + truth_66)
    T_true_N44 = _rotations_aligned(T_N44, T_true_N44) @ T_true_N44
    for _ in range(_ALIGNMENT_STEPS):
        error_N6 = pose_errors_in_map(T_N44, T_true_N44)
        J_N66 = np.tile(np.eye(6), (len(T_N44), 1, 1))
        J_N66[:, :3, 3:] = -cross_matrices(T_true_N44[:, :3, 3])
        weighted = np.einsum("nki,nkl->nil", J_N66, information_N66)
        step_6 = np.linalg.solve(np.einsum("nil,nlj->ij", weighted, J_N66),
                                 np.einsum("nil,nl->i", weighted, error_N6))
        T_true_N44 = make_pose(Rotation.from_rotvec(step_6[3:]).as_matrix(),
                               step_6[:3]) @ T_true_N44
    error_N6 = pose_errors_in_map(T_N44, T_true_N44)
    return float(np.einsum("ni,nij,nj->n", error_N6, information_N66, error_N6).mean()) / 6


def _rotations_aligned(T_N44: Float64Array, T_true_N44: Float64Array) -> Float64Array:
    """Motion (4, 4) of the truth by all orientations, then by the mean position.

    Positions would tell the rotation of a short path worse than a single orientation does.
    """
    U, _, Vt = np.linalg.svd(np.einsum("nij,nkj->ik", T_N44[:, :3, :3], T_true_N44[:, :3, :3]))
    R_33 = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    return make_pose(R_33, (T_N44[:, :3, 3] - T_true_N44[:, :3, 3] @ R_33.T).mean(axis=0))


def _pairs_apart(stamps_ns: npt.NDArray[np.int64], delta_ns: int) -> list[tuple[int, int]]:
    """Index pairs (i, j) where j is nearest to `delta_ns` after i, within 50 ms of it."""
    if len(stamps_ns) < 2:
        return []
    wanted = stamps_ns + delta_ns
    after = np.clip(np.searchsorted(stamps_ns, wanted), 1, len(stamps_ns) - 1)
    before = after - 1
    nearer = wanted - stamps_ns[before] <= stamps_ns[after] - wanted
    nearest = np.where(nearer, before, after)
    close = (np.abs(stamps_ns[nearest] - wanted) <= MAX_GAP_NS) & (wanted <= stamps_ns[-1])
    first = np.arange(len(stamps_ns))
    keep = close & (nearest > first)
    return list(zip(first[keep].tolist(), nearest[keep].tolist(), strict=True))
