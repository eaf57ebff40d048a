"""Edges of the pose graph: relative poses of two keyframes with their covariance."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.se3 import cross_matrices, invert_pose, log_se3, rotation_angle_rad

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array


class EdgeKind(enum.IntEnum):
    """Where an edge comes from; saved with a map."""

    ODOMETRY = 0  # the tracker's relative pose of successive keyframes
    ALIGNED = 1   # features and surfaces of two successive keyframes
    LOOP = 2      # the same between keyframes that are not successive
    RETURN = 3    # the tracker's relative pose where it went over to an older keyframe


@dataclass(frozen=True)
class Edge:
    """A relative pose of two keyframes.

    Attributes:
        a, b: keyframe ids.
        T_a_b: (4, 4) pose of camera b in camera a.
        covariance_66: of a left twist of T_a_b (frame of a), translation first.
        kind: where it comes from.
    """

    a: int
    b: int
    T_a_b: Float64Array
    covariance_66: Float64Array
    kind: EdgeKind

    def reversed(self) -> Edge:
        """Return the same measurement as pose of a in b."""
        T_b_a = invert_pose(self.T_a_b)
        Ad = adjoint_66(T_b_a)
        return Edge(self.b, self.a, T_b_a, Ad @ self.covariance_66 @ Ad.T, self.kind)

    def then(self, other: Edge) -> Edge:
        """Chain with an edge that starts where this one ends."""
        Ad = adjoint_66(self.T_a_b)
        return Edge(self.a, other.b, self.T_a_b @ other.T_a_b,
                    self.covariance_66 + Ad @ other.covariance_66 @ Ad.T,
                    max(self.kind, other.kind))

    def squared_error(self, T_map_a: Float64Array, T_map_b: Float64Array) -> float:
        """Squared Mahalanobis distance of the edge from two poses."""
        gap = log_se3(invert_pose(T_map_a) @ T_map_b @ invert_pose(self.T_a_b))
        return float(gap @ np.linalg.solve(self.covariance_66, gap))


def odometry_edge(
    a: int, b: int, T_a_b: Float64Array, kind: EdgeKind = EdgeKind.ODOMETRY
) -> Edge:
    """Return the edge of a relative pose that the tracker estimated.

    Its noise: hundreds of corners, followed to a fraction of a pixel, leave two millimeters; what
    they share (calibration, depth bias) is a percent of the step, the drift of a fair tracker.
    """
    step_m = float(np.linalg.norm(T_a_b[:3, 3]))
    step_rad = rotation_angle_rad(T_a_b[:3, :3])
    sigma_m, sigma_rad = 0.002 + 0.01 * step_m, np.deg2rad(0.05) + 0.01 * step_rad
    return Edge(a, b, T_a_b, np.diag(np.repeat([sigma_m, sigma_rad], 3) ** 2), kind)


def adjoint_66(T_44: Float64Array) -> Float64Array:
    """Matrix that carries a twist (translation first) through T: T exp(xi) T^-1 = exp(Ad xi)."""
    R, t = T_44[:3, :3], T_44[:3, 3]
    Ad = np.zeros((6, 6))
    Ad[:3, :3] = Ad[3:, 3:] = R
    Ad[:3, 3:] = cross_matrices(t[None])[0] @ R
    return Ad
