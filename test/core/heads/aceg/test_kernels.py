"""Pointing and search: the compiled loops say what their slow twins say."""

import numpy as np
import pytest

from ace_slam_ros.core.encoders.grouped_vectors import NOTHING
from ace_slam_ros.core.heads.aceg.index import TokenIndex
from ace_slam_ros.core.heads.aceg.kernels import point, point_twin
from ace_slam_ros.core.heads.aceg.tokens import unit


@pytest.mark.parametrize("submaps", [1, 3])
def test_pointing_and_its_twin_agree(submaps):
    rng = np.random.default_rng(submaps)
    token_Nk = rng.integers(0, 60, (200, 12))
    weight_Nk = np.where(rng.random((200, 12)) < 0.2, 0, rng.random((200, 12))).astype(np.float32)
    weight_Nk[:5] = 0.0
    x_T3 = rng.uniform(-0.3, 0.3, (60, 3)).astype(np.float32)
    sigma_T = rng.uniform(0.01, 0.05, 60).astype(np.float32)
    submap_T = rng.integers(0, submaps, 60).astype(np.uint8)
    found = []
    for way in (point, point_twin):
        results = (np.empty((200, 6, 3), np.float32), np.empty((200, 6), np.float32),
                   np.empty((200, 6), np.uint8))
        way(token_Nk, weight_Nk, x_T3, sigma_T, submap_T, 0.12, 0.1, *results)
        found.append(results)
    (coords, sigma, submap), (coords_twin, sigma_twin, submap_twin) = found
    assert np.isinf(sigma[:5]).all() and np.isfinite(sigma[5:, 0]).all()
    np.testing.assert_allclose(sigma, sigma_twin, rtol=1e-3)
    np.testing.assert_allclose(coords, coords_twin, atol=1e-5)
    assert np.array_equal(submap, submap_twin)


def test_a_place_is_the_weighted_mean_of_its_tokens():
    x_T3 = np.array([[0, 0, 1], [0.1, 0, 1], [3, 0, 1]], np.float32)
    results = np.empty((1, 4, 3), np.float32), np.empty((1, 4), np.float32), np.empty(
        (1, 4), np.uint8)
    point(np.array([[0, 1, 2]]), np.array([[3, 1, 2]], np.float32), x_T3,
          np.full(3, 0.02, np.float32), np.zeros(3, np.uint8), 0.12, 0.1, *results)
    coords, sigma, _ = results
    np.testing.assert_allclose(coords[0, :2], [[0.025, 0, 1], [3, 0, 1]], atol=1e-6)
    assert sigma[0, 0] == pytest.approx(np.sqrt(0.02**2 + 0.01 * 3 / 16 / 3), rel=1e-3)
    assert sigma[0, 1] == pytest.approx(0.02) and np.isinf(sigma[0, 2:]).all()


@pytest.mark.parametrize("tokens", [1, 5, 400])
def test_search_and_its_twin_agree(tokens):
    rng = np.random.default_rng(tokens)
    keys, coarse = unit(rng.normal(size=(tokens, 16))), unit(rng.normal(size=(20, 16)))
    queries = unit(rng.normal(size=(50, 16)))
    index = TokenIndex(keys, coarse)
    token_Nk, cosine_Nk = index.nearest(queries, 6)
    assert token_Nk.shape == cosine_Nk.shape == (50, 6)
    assert (np.diff(cosine_Nk, axis=1) <= 1e-4).all()
    known = cosine_Nk > NOTHING
    assert known.sum() <= 50 * tokens
    exact = np.einsum("nd,nkd->nk", queries, keys[token_Nk])
    np.testing.assert_allclose(cosine_Nk[known], exact[known], atol=1e-5)
    twin = index._groups.nearest_twin(queries, min(6, tokens))
    assert np.array_equal(token_Nk[known], np.pad(twin, ((0, 0), (0, 6 - twin.shape[1])))[known])


def test_no_tokens_are_found_in_an_empty_map():
    index = TokenIndex(np.zeros((0, 8), np.float32), unit(np.eye(8)))
    token_Nk, cosine_Nk = index.nearest(unit(np.eye(8)), 4)
    assert token_Nk.shape == (8, 4) and (cosine_Nk == NOTHING).all()
