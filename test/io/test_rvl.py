"""RVL depth: the kernel, its twin, and an encoder written from the paper agree."""

import struct

import numpy as np
import pytest
from helpers.rvl import encode_rvl as encode
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import decode_compressed_depth
from ace_slam_ros.io.rvl import _decode, decode_rvl, decode_words


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_pictures_come_back_and_the_twins_agree(height, width, seed, share):
    rng = np.random.default_rng(seed)
    depth = rng.integers(1, 65536, (height, width)) * (rng.random((height, width)) < share)
    depth = depth.astype(np.uint16)
    data = encode(depth)
    np.testing.assert_array_equal(decode_rvl(data), depth)
    words = np.frombuffer(data[8:], "<u4")
    for decode in (_decode, decode_words):
        found = np.zeros(depth.size, np.uint16)
        assert decode(words, found) == depth.size
        np.testing.assert_array_equal(found, depth.ravel())


def test_a_picture_by_hand():
    """Two missing pixels, then 5 and 4: numbers 2, 2, zigzag 10 as nibbles a 1, zigzag 1."""
    data = struct.pack("<III", 4, 1, 0x22A11000)
    assert decode_rvl(data).tolist() == [[0, 0, 5, 4]]
    header = struct.pack("<iff", 0, 0.0, 0.0)
    stored, encoding = decode_compressed_depth(header + data, "16UC1; compressedDepth rvl")
    assert stored.tolist() == [[0, 0, 5, 4]] and encoding == "16UC1"
    inverse = struct.pack("<iff", 1, 100.0, 1.0)
    meters, encoding = decode_compressed_depth(inverse + data, "32FC1; compressedDepth rvl")
    assert np.isnan(meters[0, :2]).all() and encoding == "32FC1"
    np.testing.assert_allclose(meters[0, 2:], [25.0, 100 / 3], rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_damage_is_refused_and_the_twins_agree(seed, place, value):
    rng = np.random.default_rng(seed)
    depth = (rng.integers(1, 3000, (6, 9)) * (rng.random((6, 9)) < 0.7)).astype(np.uint16)
    data = bytearray(encode(depth))
    data[8 + place % (len(data) - 8)] = value
    words = np.frombuffer(bytes(data[8:]), "<u4")
    one, two = np.zeros(54, np.uint16), np.zeros(54, np.uint16)
    ends = _decode(words, one), decode_words(words, two)
    assert (ends[0] == 54) == (ends[1] == 54)
    if ends[0] == 54:
        np.testing.assert_array_equal(one, two)


def test_truncated_depth_is_refused():
    depth = np.random.default_rng(1).integers(1, 60000, (8, 8)).astype(np.uint16)
    data = encode(depth)
    for cut in (0, 5, 8, 12, len(data) - 4):
        with pytest.raises(DataError, match="truncated|damaged"):
            decode_rvl(data[:cut])
    for width, height in ((4_000_000_000, 3), (8192, 4096)):
        with pytest.raises(DataError, match=f"{width}x{height} pixels is damaged"):
            decode_rvl(struct.pack("<III", width, height, 0))
