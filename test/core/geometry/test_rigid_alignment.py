"""Rigid alignment against brute force."""

import numpy as np
from helpers.strategies import twists
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from ace_slam_ros.core.geometry.rigid_alignment import kabsch, kabsch_batch
from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    transform_points,
)


@given(twists, st.integers(0, 1000))
def test_kabsch_recovers_a_pose_exactly(xi, seed):
    rng = np.random.default_rng(seed)
    T = exp_se3(xi)
    points = rng.normal(size=(12, 3))
    found = kabsch(points, transform_points(T, points), rng.uniform(0.1, 1, 12))
    assert np.allclose(found, T, atol=1e-8)
    assert np.isclose(np.linalg.det(found[:3, :3]), 1)


def test_weighted_kabsch_reaches_the_minimum_that_a_search_finds():
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(2, 9, 3))
    weights = rng.uniform(0.1, 2.0, 9)

    def cost(T):
        return float(weights @ np.square(target - transform_points(T, source)).sum(axis=1))

    found = kabsch(source, target, weights)
    searched = min(
        minimize(lambda xi: cost(exp_se3(xi)), rng.normal(size=6), method="BFGS").fun
        for _ in range(8))
    assert cost(found) <= searched + 1e-6


def test_batched_kabsch_equals_one_by_one():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 40, 3, 3))
    for T, s, t in zip(kabsch_batch(a, b), a, b, strict=True):
        assert np.allclose(T, kabsch(s, t), atol=1e-7)
