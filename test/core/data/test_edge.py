"""Edges reverse and chain as poses do."""

import numpy as np
import pytest

from ace_slam_ros.core.data.edge import Edge, EdgeKind, adjoint_66
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose


def test_edges_reverse_and_chain():
    rng = np.random.default_rng(3)
    A, B = (exp_se3(rng.normal(size=6) * 0.4) for _ in range(2))
    S = np.diag(rng.uniform(1e-4, 1e-3, 6))
    e, f = Edge(0, 1, A, S, EdgeKind.LOOP), Edge(1, 2, B, 2 * S, EdgeKind.ODOMETRY)
    assert np.allclose(e.reversed().reversed().covariance_66, S)
    assert np.allclose(e.then(f).T_a_b, A @ B) and e.then(f).kind is EdgeKind.LOOP
    xi = rng.normal(size=6) * 1e-4
    assert np.allclose(A @ exp_se3(xi) @ invert_pose(A), exp_se3(adjoint_66(A) @ xi), atol=1e-9)
    T_a, T_b = np.eye(4), exp_se3(xi) @ A
    assert e.squared_error(T_a, T_b) == pytest.approx(xi @ np.linalg.solve(S, xi), rel=1e-6)
    back = e.reversed().squared_error(T_b, T_a)
    assert back == pytest.approx(e.squared_error(T_a, T_b), rel=1e-6)
