"""Robust camera pose on the device, from hypotheses in slots; twin: `localization.rgbd`.

A graph takes some two microseconds for a kernel, however little that does: few kernels count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..refinement import CORE_M, ROUNDS, across_variance, covariance_of
from ..rgbd import GATE_SIGMAS, UNCLAIMED_M
from ..scoring import LEADERS, SCREENING_FEATURES
from .proposals import FAR_M, Motions, Slots, draw_count, propose

if TYPE_CHECKING:
    from ...config.sections import SensorConfig, SolverConfig
    from .description import Described

#: Squarings of a matrix until one eigenvector is left, though the largest eigenvalues differ by a
#: thousandth; and so many of them before numbers could become too small.
_SQUARINGS, _PER_SCALING = 16, 8
#: Numbers of a result before the mask: five, a pose, two matrices.
_ROTATION, _MATRICES, _MASK = 5, 17, 89
#: A rotation is none, where points lie on a line, if its columns are no unit vectors up to this.
_SKEW = 1e-6


class Agreement(NamedTuple):
    """How N features agree with a pose.

    Attributes:
        agree_N: (N,) bool, whether a hypothesis is within its gate.
        relative_N: (N,) float64 squared distance of the nearest one over its squared gate.
        residual2_N: (N,) float64 squared distance per axis, 0 where none agrees.
        weight_N: (N,) float64 Cauchy weight, 0 where none agrees.
        x_N3: (N, 3) float64 hypothesis from the camera center, 0 where none agrees.
    """

    agree_N: Tensor
    relative_N: Tensor
    residual2_N: Tensor
    weight_N: Tensor
    x_N3: Tensor


def into_slots(
    described: Described, predictions: tuple[Tensor, Tensor, Tensor], submap: Tensor,
    solver: SolverConfig, sensor: SensorConfig,
) -> Slots:
    """Keep the hypotheses of one submap, with their gates.

    Args:
        described: N features.
        predictions: coordinates (N, S, 3), deviations (N, S) and submaps (N, S) of hypotheses.
        submap: () number of the submap.
        solver, sensor: gates and depth noise.
    """
    coords_NS3, sigma_NS, submap_NS = predictions
    held_NS = described.valid_N[:, None] & sigma_NS.isfinite() & (submap_NS == submap)
    z_N = described.points_N3[:, 2]
    spread2_N = (GATE_SIGMAS * sensor.depth_sigma_m(z_N)) ** 2
    most_N = (solver.inlier_m * (z_N / 2.0).clamp(min=1.0)) ** 2 + spread2_N
    claimed_NS = (GATE_SIGMAS * sigma_NS) ** 2 + (spread2_N + UNCLAIMED_M**2)[:, None]
    return Slots(described.points_N3, torch.where(held_NS[..., None], coords_NS3, FAR_M),
                 torch.where(held_NS, sigma_NS, torch.inf),
                 torch.where(held_NS, torch.minimum(most_N[:, None], claimed_NS), 0.0))


def random_count(features: int, slots: int, poses: int) -> int:
    """Return how many random numbers `solve` takes."""
    return draw_count(slots, poses) + features


def solve(
    slots: Slots, valid_N: Tensor, random_R: Tensor, turns_16_10: Tensor, solver: SolverConfig,
    sensor: SensorConfig,
) -> Tensor:
    """Find the pose that most features agree with; twin: `solve_rgbd`.

    Args:
        slots: hypotheses of N features.
        valid_N: (N,) bool, which are features.
        random_R: (R,) float32 even in [0, 1), `random_count` of them.
        turns_16_10: see `quaternion_table`.
        solver, sensor: limits and depth noise.

    Returns:
        (89 + N,) float64, see `Solved`.
    """
    draws = len(random_R) - len(valid_N)
    motions, held_H = propose(slots, random_R[:draws], solver.hypotheses)
    R_33, t_3, score = choose(motions, held_H, slots, random_R[draws:])
    slots = Slots(*(part.double() for part in slots))
    variance_N = CORE_M**2 + sensor.depth_sigma_m(slots.y_N3[:, 2]) ** 2 / 3.0
    ok = score > 0
    for _ in range(ROUNDS):
        found = match(R_33, t_3, slots, variance_N)
        ok = ok & (found.agree_N.sum() >= solver.min_inliers)
        R_33, t_3 = fit(found, slots.y_N3, t_3, turns_16_10)
    found = match(R_33, t_3, slots, variance_N)
    count, total = found.agree_N.sum(), valid_N.sum()
    excess_N = torch.where(found.agree_N, 1.0 - found.relative_N * (5 / 3), 0.0)
    confidence = (excess_N.sum() / total.clamp(min=1)).clamp(min=0.0)
    ok = ok & (count >= solver.min_inliers) & (confidence >= solver.min_confidence)
    return torch.cat([
        torch.stack([ok.double(), confidence, count.double(), total.double(),
                     spread_across(R_33, slots.y_N3, found, sensor)]),
        torch.cat([R_33, t_3[:, None]], dim=1).flatten(), information(found).flatten(),
        found.agree_N.double()])


class Solved(NamedTuple):
    """What `solve` returns, on the CPU.

    Attributes:
        found: whether it is a pose.
        confidence: see `PoseEstimate`.
        total: features there are.
        spread: see `PoseEstimate`.
        T_44, covariance_66, inliers_N: see `PoseEstimate`; N is `total`.
    """

    found: bool
    confidence: float
    total: int
    spread: float
    T_44: np.ndarray
    covariance_66: np.ndarray
    inliers_N: np.ndarray

    @staticmethod
    def of(result: Tensor) -> Solved:
        """Unpack; waits for the device."""
        numbers = result.cpu().numpy()
        ok, confidence, _, total, spread = numbers[:_ROTATION].tolist()
        T_44 = np.eye(4)
        T_44[:3] = numbers[_ROTATION:_MATRICES].reshape(3, 4)
        skew = np.abs(T_44[:3, :3] @ T_44[:3, :3].T - np.eye(3)).max()
        if not (ok and skew < _SKEW):  # NaN is not less, either
            return Solved(False, 0.0, int(total), 0.0, np.eye(4), np.zeros((6, 6)),
                          np.zeros(int(total), bool))
        covariance_66 = covariance_of(*numbers[_MATRICES:_MASK].reshape(2, 6, 6))
        return Solved(True, confidence, int(total), spread, T_44, covariance_66,
                      numbers[_MASK:_MASK + int(total)] > 0)


def choose(
    motions: Motions, held_H: Tensor, slots: Slots, random_N: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best pose and its score (R (3, 3), t (3,), ()); twin: `choose_pose`."""
    if len(random_N) > SCREENING_FEATURES and len(held_H) > LEADERS:
        has_N = slots.gate2_NS.amax(dim=1) > 0
        some_f = (random_N + has_N).topk(SCREENING_FEATURES).indices
        screened_H = score_poses(motions, Slots(*(part[some_f] for part in slots)))
        screened_H = torch.where(held_H, screened_H, -1.0)
        leading = screened_H.topk(LEADERS).indices
        motions, held_H = Motions(*(part[leading] for part in motions)), held_H[leading]
    scores_H = torch.where(held_H, score_poses(motions, slots), -1.0)
    best = scores_H.argmax(dim=0, keepdim=True)
    return motions.R_H33[best][0], motions.t_H3[best][0], scores_H[best][0]


def score_poses(motions: Motions, slots: Slots) -> Tensor:
    """Truncated-quadratic agreement (H,) float32 with features at their best slot."""
    moved_HN3 = slots.y_N3 @ motions.R_H33.float().transpose(1, 2) + motions.t_H3.float()[:, None]
    squared_HNS = sum((moved_HN3[..., i, None] - slots.x_NS3[..., i]) ** 2 for i in range(3))
    return (1.0 - (squared_HNS / slots.gate2_NS).amin(dim=2).clamp(max=1.0)).sum(dim=1)


def match(R_33: Tensor, t_3: Tensor, slots: Slots, variance_N: Tensor) -> Agreement:
    """Find what agrees with a pose, all in float64; twin: `refinement.match`."""
    x_NS3 = slots.x_NS3 - t_3
    squared_NS = ((x_NS3 - (slots.y_N3 @ R_33.T)[:, None]) ** 2).sum(dim=2)
    relative_N, best_N = (squared_NS / slots.gate2_NS).min(dim=1)
    agree_N = relative_N < 1.0
    squared_N = squared_NS.gather(1, best_N[:, None])[:, 0]
    x_N3 = x_NS3.gather(1, best_N[:, None, None].expand(-1, -1, 3))[:, 0]
    residual2_N = torch.where(agree_N, squared_N / 3.0, 0.0)
    weight_N = torch.where(agree_N, 1.0 / (variance_N + residual2_N), 0.0)
    return Agreement(agree_N, relative_N, residual2_N, weight_N,
                     torch.where(agree_N[:, None], x_N3, 0.0))


def spread_across(
    R_33: Tensor, y_N3: Tensor, found: Agreement, sensor: SensorConfig
) -> Tensor:
    """Return how far off what agrees is, across the line of sight; twin: that of `refinement`."""
    ray_N3 = y_N3 @ R_33.T
    along_N = ((found.x_N3 - ray_N3) * ray_N3).sum(dim=1) / ray_N3.norm(dim=1)
    across2_N = 3.0 * found.residual2_N - along_N * along_N
    ratio2_N = across2_N / across_variance(sensor.depth_sigma_m(y_N3[:, 2]))
    rising_N = torch.where(found.agree_N, ratio2_N, torch.inf).sort().values
    middle_1 = (found.agree_N.sum()[None] - 1).clamp(min=0) // 2
    return rising_N.gather(0, middle_1)[0].clamp(min=0.0).sqrt()


def fit(
    found: Agreement, y_N3: Tensor, t_3: Tensor, turns_16_10: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the pose (R (3, 3), t (3,)) that fits best; `t_3` is the camera center so far."""
    weight_N = found.weight_N / found.weight_N.sum()
    center_y, center_x = weight_N @ y_N3, weight_N @ found.x_N3
    cross_33 = ((y_N3 - center_y) * weight_N[:, None]).T @ (found.x_N3 - center_x)
    R_33 = rotation(cross_33, turns_16_10)
    return R_33, center_x + t_3 - R_33 @ center_y


def rotation(cross_33: Tensor, turns_16_10: Tensor) -> Tensor:
    """Return the rotation (3, 3) for sum w y x^T = cross; twin: `kabsch_of_moments`.

    Its quaternion is the eigenvector of the largest eigenvalue of a symmetric matrix of 4x4 (Horn
    1987). Powers of that matrix, once it has no negative eigenvalues, come to the quaternion's
    outer product, without the branches of a solver. NaN where cross is zero.
    """
    numbers_10 = torch.cat([cross_33.flatten(), 2.0 * cross_33.norm()[None]])
    A_44 = (turns_16_10 @ numbers_10).reshape(4, 4)
    for number in range(_SQUARINGS):
        if number % _PER_SCALING == 0:
            A_44 = A_44 / A_44.trace()
        A_44 = A_44 @ A_44
    A_44 = A_44 / A_44.trace()
    return (A_44.flatten() @ turns_16_10[:, :9]).reshape(3, 3).T


def quaternion_table(device: str) -> Tensor:
    """Return (16, 10) float64: q q^T of a unit quaternion (w, x, y, z) times nine columns is R^T.

    Times a cross-covariance, they are the matrix of Horn 1987, since for all q
    q^T K q = tr(R cross). The last column is the unit matrix.
    """
    table = np.zeros((4, 4, 3, 3))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        w, a, b, c = 0, 1 + i, 1 + j, 1 + k
        for square, sign in ((w, 1), (a, 1), (b, -1), (c, -1)):
            table[square, square, i, i] = sign
        # R_ji = 2 (q_i q_j + w q_k), R_ij = 2 (q_i q_j - w q_k)
        for row, column, sign in ((i, j, 1), (j, i, -1)):
            for m, n, value in ((a, b, 1), (w, c, sign)):
                table[m, n, row, column] += value
                table[n, m, row, column] += value
    both = np.concatenate([table.reshape(16, 9), np.eye(4).reshape(16, 1)], axis=1)
    return torch.from_numpy(both).to(device)


def information(found: Agreement) -> Tensor:
    """What residuals say of the pose, and their scatter (2, 6, 6); see `pose_covariance`."""
    weight_N, residual2_N = found.weight_N, found.residual2_N
    squared_N = weight_N * weight_N * residual2_N
    weights_2N = torch.stack([weight_N - 2 / 3 * squared_N, squared_N])
    axes_133 = torch.eye(3, dtype=weight_N.dtype, device=weight_N.device)[None]
    turned_N33 = torch.linalg.cross(axes_133, found.x_N3[:, None])
    jacobian_N63 = torch.cat([axes_133.expand_as(turned_N33), turned_N33], dim=1)
    return torch.einsum("wn,nri,nsi->wrs", weights_2N, jacobian_N63, jacobian_N63)
