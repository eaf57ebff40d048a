"""Flat hypotheses, matches and covariance against slow twins."""

import numpy as np
import pytest
from helpers.coordinates import SENSOR, flat, scene

from ace_slam_ros.core.geometry.se3 import cross_matrices, exp_se3
from ace_slam_ros.core.localization.hypotheses import Hypotheses, flatten_reference
from ace_slam_ros.core.localization.refinement import (
    SHARED_ERRORS,
    across_variance,
    cauchy_weight,
    core_variance,
    match,
    match_reference,
    pose_covariance,
    spread_across,
)


def test_hypotheses_are_listed_as_by_the_slow_twin():
    rng = np.random.default_rng(1)
    _, features, predictions, _ = scene(rng, count=80)
    predictions.sigma_m_NS[::5] = np.inf
    wanted = rng.random(80) < 0.8
    known = Hypotheses.of(features.points_cam_N3, predictions, wanted)
    row_n, count_n, x_M3, sigma_M = flatten_reference(
        wanted, predictions.coords_map_NS3, predictions.sigma_m_NS)
    assert np.array_equal(known.row_n, row_n) and np.array_equal(known.count_n, count_n)
    assert np.array_equal(known.x_M3, x_M3) and np.array_equal(known.sigma_M, sigma_M)
    assert np.array_equal(known.y_n3, features.points_cam_N3[row_n])
    assert known.start_n.tolist() == [0, *np.cumsum(count_n)[:-1]]
    assert known.owner_M.tolist() == sum(([i] * c for i, c in enumerate(count_n)), [])


@pytest.mark.parametrize("outliers", [0.2, 0.8])
def test_matches_equal_the_slow_twin(outliers):
    rng = np.random.default_rng(2)
    T, features, predictions, _ = scene(rng, outliers=outliers)
    known = flat(features, predictions)
    variance_n = core_variance(known.y_n3[:, 2], SENSOR)
    near = T @ exp_se3(rng.normal(scale=0.01, size=6))
    a, b = (find(near, known, variance_n) for find in (match, match_reference))
    assert np.array_equal(a.best_n, b.best_n) and (a.best_n >= 0).any() and (a.best_n < 0).any()
    assert np.allclose(a.relative_n, b.relative_n, atol=1e-9)
    assert np.allclose(a.residual2_n, b.residual2_n, atol=1e-12)
    assert np.allclose(a.fit(), b.fit(), atol=1e-9)


def test_covariance_equals_sums_over_features():
    rng = np.random.default_rng(3)
    x, center = rng.normal(size=(50, 3)) * 3, rng.normal(size=3)
    variance, residual2 = rng.uniform(1e-4, 1e-3, (2, 50))
    weight = cauchy_weight(variance, residual2)
    J = np.concatenate(
        [np.tile(np.eye(3), (50, 1, 1)), -cross_matrices(x - center)], axis=2)
    slope = weight - 2 / 3 * residual2 * weight**2
    scatter = np.einsum("n,nki,nkj->ij", weight**2 * residual2, J, J)
    bread = np.linalg.inv(np.einsum("n,nki,nkj->ij", slope, J, J))
    expected = bread @ scatter @ bread * SHARED_ERRORS
    assert np.allclose(pose_covariance(x, center, variance, residual2), expected, rtol=1e-6)


def test_what_is_off_along_the_line_of_sight_is_no_spread():
    rng = np.random.default_rng(4)
    T, y_n3 = exp_se3(rng.normal(size=6)), rng.uniform([-1, -1, 1], [1, 1, 3], (101, 3))
    ray_n3 = y_n3 / np.linalg.norm(y_n3, axis=1, keepdims=True)
    across_n3 = np.cross(ray_n3, rng.normal(size=(101, 3)))
    across_n3 /= np.linalg.norm(across_n3, axis=1, keepdims=True)
    unit_n1 = np.sqrt(across_variance(SENSOR.depth_sigma_m(y_n3[:, 2])))[:, None]
    assert (unit_n1 > 0.01).all() and (unit_n1 < 0.02).all()
    along_n1 = rng.normal(size=(101, 1)) * 0.05
    off_n1 = rng.permutation(np.arange(101))[:, None] * 0.03
    x_n3 = (y_n3 + along_n1 * ray_n3 + off_n1 * unit_n1 * across_n3) @ T[:3, :3].T + T[:3, 3]
    assert np.isclose(spread_across(T, y_n3, x_n3, SENSOR), 1.5, atol=1e-3)
