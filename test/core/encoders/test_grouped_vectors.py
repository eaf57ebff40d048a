"""The search in groups of vectors: what brute force finds in these groups, by either way."""

import numpy as np
import pytest

from ace_slam_ros.core.encoders.grouped_vectors import NOTHING, GroupedVectors


def unit(count, seed, inputs=16):
    found = np.random.default_rng(seed).normal(size=(count, inputs)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def brute_force(vectors, centers, probes, queries):
    """Cosines of each query, one vector after the other."""
    cosine = np.full((len(queries), len(vectors)), NOTHING)
    group = [int(np.argmax(centers @ vector)) for vector in vectors]
    for n, query in enumerate(queries):
        searched = np.argsort(-(centers @ query))[:probes]
        for k, vector in enumerate(vectors):
            if group[k] in searched:
                cosine[n, k] = vector @ query
    return cosine


@pytest.mark.parametrize(("vectors", "groups", "probes"), [
    (1, 1, 4), (40, 1, 4), (60, 7, 2), (300, 20, 4), (300, 20, 20), (5, 30, 16)])
def test_both_ways_find_what_brute_force_finds(vectors, groups, probes):
    known, centers, queries = unit(vectors, 1), unit(groups, 2), unit(80, 3)
    grouped = GroupedVectors(known, centers, probes)
    truth = brute_force(known, centers, probes, queries)
    cosines = grouped.cosines(queries)
    np.testing.assert_allclose(cosines, truth, atol=1e-5)
    count = min(5, vectors)
    found = grouped.nearest(queries, count)
    assert found.shape == (80, count) and found.dtype == np.int64
    best = -np.sort(-truth, axis=1)[:, :count]
    filled = best > NOTHING
    np.testing.assert_allclose(
        np.take_along_axis(truth, found, axis=1)[filled], best[filled], atol=1e-5)
    assert (found[~filled] == grouped.first).all(), "where the groups hold fewer"
    assert np.array_equal(grouped.nearest_twin(queries, count), found)


def test_no_vectors_and_no_queries():
    centers = unit(3, 1)
    none = GroupedVectors(np.zeros((0, 16), np.float32), centers, 4)
    assert none.cosines(centers).shape == (3, 0)
    some = GroupedVectors(centers, centers, 4)
    assert some.nearest(unit(4, 2)[:0], 2).shape == (0, 2)


def test_groups_beyond_the_probes_are_not_searched():
    """Each vector is its own center: with one probe a query finds that one only."""
    known = unit(12, 1)
    grouped = GroupedVectors(known, known, 1)
    assert np.array_equal(grouped.nearest(known, 1)[:, 0], np.arange(12))
    assert ((grouped.cosines(known) > NOTHING).sum(axis=1) == 1).all()
