"""Trajectory errors against ground truth: ATE and RPE in meters, degrees and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.geometry.rigid_alignment import kabsch
from ..core.geometry.se3 import invert_pose, rotation_angle_rad

if TYPE_CHECKING:
    from ..core.data.trajectory import Trajectory
    from ..core.geometry.arrays import Float64Array

#: Ground truth is interpolated at the stamps of the estimate up to this far from a sample.
MAX_GAP_NS = 50_000_000


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
