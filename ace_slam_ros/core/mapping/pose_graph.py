"""The pose graph: keyframes joined by relative poses, solved robustly with GTSAM.

Odometry is believed: it drifts, but it does not lie. Every other edge may be wrong (two places
that look alike, a tracker between two parts of the map), so that these are subject to graduated
non-convexity with a truncated quadratic cost (Yang et al., "Graduated Non-Convexity for Robust
Spatial Perception", 2020). Truncating odometry as well would break a drifting chain at one edge
instead of spreading the drift.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.edge import Edge, EdgeKind, adjoint_66
from ..geometry.se3 import invert_pose, make_pose

if TYPE_CHECKING:
    from ..data.poses import SubmapPose
    from ..geometry.arrays import Float64Array

DEGREES_OF_FREEDOM = 6
#: Squared Mahalanobis distance that one right edge in a thousand exceeds.
CHI2_LIMIT = 22.46
#: Tethers keep keyframes without odometry near the one before them: no edge, little is known.
_TETHER_M, _TETHER_RAD = 0.3, np.deg2rad(5.0)
#: Rotation before translation, as GTSAM orders a twist.
_GTSAM_ORDER = np.array([3, 4, 5, 0, 1, 2])


@dataclass(frozen=True)
class Correction:
    """What an optimization found.

    Attributes:
        poses: id -> corrected T_map_cam.
        error_before, error_after: see `PoseGraph.robust_error`.
        rejected: edges that the corrected poses contradict.
    """

    poses: dict[int, Float64Array]
    error_before: float
    error_after: float
    rejected: int


def graph_available() -> bool:
    """Whether GTSAM is installed; without it the mapper corrects nothing."""
    return importlib.util.find_spec("gtsam") is not None


class PoseGraph:
    """Edges between keyframes; their poses are the caller's."""

    def __init__(self) -> None:
        self._edges: dict[tuple[int, int, EdgeKind], Edge] = {}

    def __len__(self) -> int:
        return len(self._edges)

    @property
    def edges(self) -> list[Edge]:
        """All edges, in the order they came."""
        return list(self._edges.values())

    def add(self, edge: Edge) -> None:
        """Add an edge; one of the same kind between the same keyframes is replaced."""
        if edge.a > edge.b:
            edge = edge.reversed()
        self._edges[edge.a, edge.b, edge.kind] = edge

    def at(self, identifier: int) -> list[Edge]:
        """Return the edges of a keyframe, each starting at it."""
        return [e if e.a == identifier else e.reversed() for e in self._edges.values()
                if identifier in (e.a, e.b)]

    def remove(self, identifier: int) -> None:
        """Take a keyframe out; its surest neighbor inherits its other edges.

        The number of edges does not grow, and what was connected stays connected.
        """
        around = self.at(identifier)
        self._edges = {k: e for k, e in self._edges.items() if identifier not in k[:2]}
        if not around:
            return
        heir = min(around, key=lambda e: (float(np.trace(e.covariance_66)), e.b))
        for edge in around:
            if edge.b != heir.b:
                inherited = heir.reversed().then(edge)
                known = [e for e in self.at(heir.b) if e.b == edge.b and e.kind == inherited.kind]
                if not known:
                    self.add(inherited)

    def robust_error(self, poses: dict[int, Float64Array]) -> float:
        """Sum of squared errors, truncated where an edge may be wrong; id -> T_map_cam."""
        total = 0.0
        for edge in self._edges.values():
            error = edge.squared_error(poses[edge.a], poses[edge.b])
            total += error if edge.kind is EdgeKind.ODOMETRY else min(error, CHI2_LIMIT)
        return total

    def optimize(self, submap_poses: dict[int, SubmapPose]) -> Correction:
        """Find the poses that the edges agree with; the oldest of a submap stays where it is.

        Args:
            submap_poses: of every keyframe by id, the start.
        """
        poses = {i: pose.T_map_cam for i, pose in submap_poses.items()}
        submaps = {i: pose.submap for i, pose in submap_poses.items()}
        found = _solve(self._edges.values(), poses, submaps)
        rejected = sum(e.squared_error(found[e.a], found[e.b]) > CHI2_LIMIT
                       for e in self._edges.values() if e.kind is not EdgeKind.ODOMETRY)
        return Correction(found, self.robust_error(poses), self.robust_error(found), rejected)


def _solve(
    edges: Iterable[Edge], poses: dict[int, Float64Array], submaps: dict[int, int]
) -> dict[int, Float64Array]:
    """Find out which edges to believe, then solve with these alone from where the poses were.

    The second solution forgets where edges that turned out wrong had pulled the first one.
    """
    import gtsam  # 40 MB, and only the mapper needs it

    identifiers = sorted(poses)
    start = gtsam.Values()
    for identifier in identifiers:
        start.insert(identifier, gtsam.Pose3(poses[identifier]))
    factors = _framework(gtsam, identifiers, poses, submaps)
    sure = list(range(len(factors)))
    for edge in edges:
        if edge.kind is EdgeKind.ODOMETRY:
            sure.append(len(factors))
        factors.append(_factor(gtsam, edge))
    parameters = gtsam.GncLMParams()
    parameters.setLossType(gtsam.GncLossType.TLS)
    parameters.setKnownInliers(sure)
    judge = gtsam.GncLMOptimizer(_graph(gtsam, factors), start, parameters)
    judge.setInlierCostThresholds(0.5 * CHI2_LIMIT)
    judge.optimize()
    believed = [f for f, weight in zip(factors, judge.getWeights(), strict=True) if weight > 0.5]
    tight = gtsam.LevenbergMarquardtParams()
    tight.setRelativeErrorTol(1e-9)
    tight.setAbsoluteErrorTol(1e-9)
    result = gtsam.LevenbergMarquardtOptimizer(_graph(gtsam, believed), start, tight).optimize()
    return {i: _rigid(result.atPose3(i).matrix()) for i in identifiers}


def _framework(
    gtsam: Any, identifiers: list[int], poses: dict[int, Float64Array], submaps: dict[int, int]
) -> list[Any]:
    """Return the factors that are no measurement.

    They fix the first pose of each submap, which no edge joins to another one, and tether the
    others.
    """
    fixed = gtsam.noiseModel.Isotropic.Sigma(6, 1e-6)
    loose = gtsam.noiseModel.Diagonal.Sigmas(np.repeat([_TETHER_RAD, _TETHER_M], 3))
    factors, last = [], dict[int, int]()
    for identifier in identifiers:
        before = last.get(submaps[identifier])
        last[submaps[identifier]] = identifier
        if before is None:
            factors.append(
                gtsam.PriorFactorPose3(identifier, gtsam.Pose3(poses[identifier]), fixed))
        else:
            factors.append(gtsam.BetweenFactorPose3(
                before, identifier,
                gtsam.Pose3(invert_pose(poses[before]) @ poses[identifier]), loose))
    return factors


def _factor(gtsam: Any, edge: Edge) -> Any:
    Ad = adjoint_66(invert_pose(edge.T_a_b))  # GTSAM perturbs on the right, in the frame of b
    covariance = (Ad @ edge.covariance_66 @ Ad.T)[np.ix_(_GTSAM_ORDER, _GTSAM_ORDER)]
    return gtsam.BetweenFactorPose3(edge.a, edge.b, gtsam.Pose3(edge.T_a_b),
                                    gtsam.noiseModel.Gaussian.Covariance(covariance))


def _graph(gtsam: Any, factors: list[Any]) -> Any:
    graph = gtsam.NonlinearFactorGraph()
    for factor in factors:
        graph.add(factor)
    return graph


def _rigid(T_44: Float64Array) -> Float64Array:
    """Remove the rounding of many products from a rotation."""
    U, _, Vt = np.linalg.svd(T_44[:3, :3])
    return make_pose(U @ Vt, T_44[:3, 3])
