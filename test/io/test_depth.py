"""The compressedDepth codec and the units of depth."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import (
    decode_compressed_depth,
    decode_depth,
    encode_compressed_depth,
    encode_png,
)
from ace_slam_ros.io.depth import unit_problem, usable_depth

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)


def test_decode_depth_units_and_missing_values():
    units = np.array([[0, 1000, 65535]], np.uint16)
    np.testing.assert_allclose(decode_depth(units, "16UC1"), [[0, 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(decode_depth(units, "mono16", 5000), [[0, 0.2, 0]], rtol=1e-6)
    meters = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 2.5]], np.float32)
    np.testing.assert_array_equal(decode_depth(meters, "32FC1"), [[0, 0, 0, 0, 0, 2.5]])
    assert np.isnan(meters[0, 0]), "the caller's array is left alone"
    with pytest.raises(DataError, match="16UC1"):
        decode_depth(units.astype(np.uint8), "16UC1")
    with pytest.raises(DataError, match="16UC1"):
        decode_depth(units, "32FC1")


@given(sizes, seeds)
@settings(max_examples=30, deadline=None)
def test_compressed_depth_integers_are_exact(size, seed):
    stored = np.random.default_rng(seed).integers(0, 65536, size).astype(np.uint16)
    data, format = encode_compressed_depth(stored, "16UC1")
    assert format == "16UC1; compressedDepth png"
    array, encoding = decode_compressed_depth(data, format)
    assert encoding == "16UC1"
    np.testing.assert_array_equal(array, stored)
    bare, _ = decode_compressed_depth(data[12:], "16UC1; png compressed ")
    np.testing.assert_array_equal(bare, stored)


@given(sizes, seeds, st.floats(2.0, 20.0), st.floats(50.0, 150.0))
@settings(max_examples=40, deadline=None)
def test_compressed_depth_floats_stay_within_the_quantum(size, seed, max_depth_m, quantization):
    rng = np.random.default_rng(seed)
    depth_m = rng.uniform(0.5, max_depth_m, size).astype(np.float32)
    holes = rng.choice([0.0, -1.0, np.nan, np.inf, max_depth_m * 1.01], size).astype(np.float32)
    is_hole = rng.random(size) < 0.3
    stored = np.where(is_hole, holes, depth_m)
    data, format = encode_compressed_depth(
        stored, "32FC1", max_depth_m=max_depth_m, quantization=quantization)
    array, encoding = decode_compressed_depth(data, format)
    assert encoding == "32FC1"
    assert np.isnan(array[is_hole]).all()
    # Half a step of inverse depth, to first order, and its curvature.
    quantum = depth_m**2 / (quantization * (quantization + 1))
    error = np.abs(array - depth_m)[~is_hole]
    assert (error <= 0.5 * quantum[~is_hole] * (1 + 2 * quantum[~is_hole]) + 1e-4).all()


def test_compressed_depth_follows_the_wire_format():
    """A message laid out by hand: header (format, A, B), then PNG of A / depth + B."""
    inverse = np.array([[0, 1000, 2000]], np.uint16)
    data = struct.pack("<iff", 1, 10100.0, -1009.0) + encode_png(inverse)
    array, _ = decode_compressed_depth(data, "32FC1; compressedDepth")
    np.testing.assert_allclose(array, [[np.nan, 10100 / 2009, 10100 / 3009]], rtol=1e-6)


def test_compressed_depth_errors():
    good, format = encode_compressed_depth(np.ones((4, 4), np.uint16), "16UC1")
    for data, text, fix in (
        (good[:9], format, "truncated"), (good[:-20], format, "truncated"),
        (good, "16UC1; compressedDepth rvl", "damaged"), (good, "8UC1; compressedDepth", "16UC1"),
        (good[:12] + encode_png(np.ones((4, 4), np.uint8)), format, "16-bit"),
    ):
        with pytest.raises(DataError, match=fix):
            decode_compressed_depth(data, text)
    with pytest.raises(DataError, match="16UC1"):
        encode_compressed_depth(np.ones((4, 4), np.uint8), "16UC1")


def picture(*shares):
    """Depth (48, 64) of (share of the rows, meters or a range of meters)."""
    rng, rows = np.random.default_rng(2), []
    for share, depth in shares:
        low, high = depth if isinstance(depth, tuple) else (depth, depth)
        rows.append(rng.uniform(low, high, (round(48 * share), 64)))
    return np.concatenate(rows).astype(np.float32)


@pytest.mark.parametrize(("depth_m", "problem"), [
    (picture((1.0, (0.5, 4.0))), ""),
    (picture((0.9, 100.0), (0.1, (1.0, 3.0))), ""),  # the far plane of a simulator
    (picture((0.9, (70.0, 200.0)), (0.1, (1.0, 3.0))), ""),  # far away outdoors
    (picture((1.0, 100.0)), "nothing but the far plane"),
    (picture((0.5, 0.0), (0.5, 1.5)), ""),  # one flat wall
    (picture((0.9, 65535.0), (0.1, (500.0, 4000.0))), "look like millimeters"),
    (picture((1.0, (500.0, 4000.0))), "look like millimeters"),
    (picture((1.0, (0.0005, 0.004))), "look like meters"),
])
def test_far_planes_are_no_unit(depth_m, problem):
    found = unit_problem(depth_m, "32FC1")
    assert problem in found and bool(problem) == bool(found)


def test_sparse_depth_is_made_dense_where_it_enters():
    """The same gate for recordings and nodes."""
    depth_m = np.full((48, 64), 2.0, np.float32)
    assert usable_depth(depth_m, "32FC1", required=True) is depth_m
    sparse = np.where(np.random.default_rng(1).random(depth_m.shape) < 0.1, depth_m, 0)
    np.testing.assert_allclose(usable_depth(sparse, "32FC1", required=True)[4:-4, 4:-4], 2.0)


def test_a_few_rows_tell_the_unit():
    """Every sixteenth row, none of which is among those that are looked at first."""
    depth_m = np.zeros((48, 64), np.float32)
    depth_m[8::16] = np.linspace(500, 4000, 64)
    assert "millimeters" in unit_problem(depth_m, "32FC1")
