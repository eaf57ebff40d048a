"""Whether reported covariances are honest: squared errors over them, where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from ..core.geometry.se3 import cross_matrices, make_pose, pose_errors_in_map
from .trajectory_error import MAX_GAP_NS

if TYPE_CHECKING:
    from ..core.data.trajectory import Trajectory
    from ..core.geometry.arrays import Float64Array

#: Of recorded ground truth, meters and radians per axis: marker noise, hand-eye calibration and
#: the synchronization of clocks. The errors of all good trackers of TUM fr1 end there.
MOCAP_SIGMA = (0.005, float(np.radians(0.3)))
#: Gauss-Newton converges quadratically from orientations that are right within degrees.
_ALIGNMENT_STEPS = 5


@dataclass(frozen=True)
class NormalizedError:
    """Mean squared error over its covariance, per degree of freedom: 1 is honest, NaN unknown.

    Attributes:
        pose: of all six.
        translation, rotation: of three each, by their own part of the covariance.
    """

    pose: float
    translation: float
    rotation: float


def normalized_error(
    estimate: Trajectory, covariances_N66: Float64Array, groundtruth: Trajectory,
    truth_sigma: tuple[float, float] = (0.0, 0.0),
) -> NormalizedError:
    """Compare the errors of poses with their covariances (NEES over its expectation).

    The covariance of a pose is that in the map, whose frame its first poses define. Truth is
    therefore aligned as the covariances tell (maximum likelihood), not to the mean of all poses:
    that would hold the drift of later poses against the first ones, which are sure.

    Args:
        estimate: poses.
        covariances_N66: theirs, map frame, order x y z, rotation about x y z.
        groundtruth: true poses.
        truth_sigma: standard deviation of the truth itself per axis, meters and radians.

    Returns:
        Means over all poses with ground truth; NaN without any.
    """
    T_true_N44, paired_N = groundtruth.at(estimate.stamps_ns, MAX_GAP_NS)
    if not paired_N.any():
        return NormalizedError(float("nan"), float("nan"), float("nan"))
    T_true_N44, T_N44 = T_true_N44[paired_N], estimate.T_map_cam_N44[paired_N]
    truth_66 = np.diag([truth_sigma[0] ** 2] * 3 + [truth_sigma[1] ** 2] * 3)
    total_N66 = covariances_N66[paired_N] + truth_66
    information_N66 = np.asarray(np.linalg.inv(total_N66), np.float64)
    error_N6 = pose_errors_in_map(T_N44, _aligned(T_true_N44, T_N44, information_N66))
    return NormalizedError(*(
        _mean_squared(error_N6[:, part], total_N66[:, part, part])
        for part in (slice(0, 6), slice(0, 3), slice(3, 6))))


def _mean_squared(error_Nd: Float64Array, covariance_Ndd: Float64Array) -> float:
    scaled_Nd = np.linalg.solve(covariance_Ndd, error_Nd[..., None])[..., 0]
    return float((error_Nd * scaled_Nd).mean())


def _aligned(
    T_true_N44: Float64Array, T_N44: Float64Array, information_N66: Float64Array
) -> Float64Array:
    """Move the truth (N, 4, 4) to where the poses most likely are, as a whole."""
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
    return T_true_N44


def _rotations_aligned(T_N44: Float64Array, T_true_N44: Float64Array) -> Float64Array:
    """Motion (4, 4) of the truth by all orientations, then by the mean position.

    Positions would tell the rotation of a short path worse than a single orientation does.
    """
    U, _, Vt = np.linalg.svd(np.einsum("nij,nkj->ik", T_N44[:, :3, :3], T_true_N44[:, :3, :3]))
    R_33 = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    return make_pose(R_33, (T_N44[:, :3, 3] - T_true_N44[:, :3, 3] @ R_33.T).mean(axis=0))
