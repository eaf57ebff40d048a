"""What tracks tell: of unsure points, and of patches that look otherwise than they did."""

from dataclasses import replace

import numpy as np

from ace_slam_ros.core.odometry.residuals import (
    Linearized,
    normal_equations,
    whiten,
    whitening,
)


def test_whitened_steps_are_standard_deviations():
    """The slow twin inverts the covariance of each track."""
    rng = np.random.default_rng(29)
    A = rng.normal(size=(30, 2, 2))
    misfit = A @ A.transpose(0, 2, 1)
    misfit[:3] = 0.0
    steps = rng.normal(size=(30, 2))
    white = whitening(misfit[:, [0, 0, 1], [0, 1, 1]], 1.5)
    for n in range(30):
        covariance = 2.4 * misfit[n] + (0.6 * 1.5) ** 2 * np.eye(2)
        expected = steps[n] @ np.linalg.inv(covariance) @ steps[n]
        assert np.isclose(np.square(whiten(steps[n:n + 1], white[n:n + 1])).sum(), expected)


def test_equations_of_unsure_points_agree_with_dense_covariances():
    """The slow twin inverts the covariance of each point's three residuals."""
    rng = np.random.default_rng(26)
    r, J, off = rng.normal(size=(20, 3)), rng.normal(size=(20, 3, 6)), rng.normal(size=(20, 3))
    own, robust = rng.uniform(0.5, 2.0, (20, 3)), rng.uniform(0.1, 1.0, 20)
    own[:5, 2], robust[5:8] = np.inf, 0.0  # without depth, and cut off
    H, g = np.zeros((6, 6)), np.zeros(6)
    for n in range(20):
        kept = slice(2 if n < 5 else 3)
        covariance = np.outer(off[n, kept], off[n, kept]) + np.diag(own[n, kept] ** 2)
        W = robust[n] * np.linalg.inv(covariance)
        H += J[n, kept].T @ W @ J[n, kept]
        g += J[n, kept].T @ W @ r[n, kept]
    at = Linearized(np.ones(20), r.T, J.transpose(2, 1, 0), off.T / 2.0)
    weight = (robust[:, None] / own**2).T
    found = normal_equations(at, weight, robust, share=2.0)
    assert np.allclose(found[0], H) and np.allclose(found[1], g)
    exact = normal_equations(replace(at, off_3n=None), weight, robust)
    assert np.allclose(exact[0], normal_equations(at, weight, robust, share=0.0)[0])
