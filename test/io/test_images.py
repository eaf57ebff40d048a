"""Image encodings: what each means, and damage that is refused."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import (
    decode_compressed_image,
    decode_depth_image,
    decode_image,
    encode_jpeg,
    encode_png,
)
from ace_slam_ros.io.images import eight_bits

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
paddings = st.integers(0, 7)
seeds = st.integers(0, 2**32 - 1)


def pad_rows(rows: np.ndarray, padding: int, cut_last: bool = False) -> bytes:
    """Lay out (H, ...) rows with `padding` bytes of junk after each."""
    flat = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    padded = np.pad(flat, ((0, 0), (0, padding)), constant_values=0xAB).tobytes()
    return padded[:len(padded) - padding] if cut_last else padded


@given(sizes, paddings, seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_color_encodings_with_padding(size, padding, seed, cut_last):
    assume(size != (1, 1))  # OpenCV 4.5.4 converts no single pixel
    height, width = size
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    alpha = np.full((height, width, 1), 7, np.uint8)
    layouts = {
        "rgb8": rgb, "bgr8": rgb[..., ::-1], "8UC3": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], 2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], 2),
    }
    for encoding, stored in layouts.items():
        data = pad_rows(stored, padding, cut_last)
        step = width * stored.shape[2] + padding
        np.testing.assert_array_equal(decode_image(data, encoding, width, height, step), rgb)
    gray = rgb[..., 0]
    data = memoryview(pad_rows(gray, padding, cut_last))
    decoded = decode_image(data, "mono8", width, height, width + padding)
    np.testing.assert_array_equal(decoded, gray)


@given(sizes, paddings, seeds, st.booleans())
@example((1, 4), 0, 1600, False)  # holds 65535
@settings(max_examples=40, deadline=None)
def test_wide_elements_honor_byte_order(size, padding, seed, big):
    height, width = size
    rng = np.random.default_rng(seed)
    order = ">" if big else "<"
    units = rng.integers(0, 65536, (height, width)).astype(np.uint16)
    data = pad_rows(units.astype(f"{order}u2"), padding)
    step = width * 2 + padding
    depth_m = decode_depth_image(data, "16UC1", width, height, step, big)
    measured = np.where(units == 65535, 0, units)  # which is no measurement
    np.testing.assert_allclose(depth_m, measured / 1000.0, rtol=1e-6)
    np.testing.assert_array_equal(
        decode_image(data, "mono16", width, height, step, big), eight_bits(units))
    meters = rng.uniform(0.1, 9.0, (height, width)).astype(np.float32)
    data = pad_rows(meters.astype(f"{order}f4"), padding)
    depth_m = decode_depth_image(data, "32FC1", width, height, width * 4 + padding, big)
    np.testing.assert_array_equal(depth_m, meters)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bits_count_as_many_as_the_camera_fills(bits):
    values = np.array([[0, 1, 2**(bits - 1), 2**bits - 1]], np.uint16)
    expected = np.array([[0, 1 >> (bits - 8), 128, 255]], np.uint8)
    np.testing.assert_array_equal(decode_image(values.tobytes(), "mono16", 4, 1), expected)
    rgb = np.stack([values, values // 2, values // 4], axis=2)
    for encoding, stored in (("rgb16", rgb), ("bgr16", rgb[..., ::-1])):
        found = decode_image(np.ascontiguousarray(stored).tobytes(), encoding, 4, 1)
        np.testing.assert_array_equal(found[..., 0], expected)
        np.testing.assert_array_equal(found[..., 2], expected // 4)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns(pattern, bits):
    color = {"r": 200, "g": 100, "b": 50}
    tile = np.array([color[letter] for letter in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (4, 5)).astype(np.uint8)
    data = mosaic if bits == 8 else mosaic.astype(np.uint16) << 8
    found = decode_image(data.tobytes(), f"bayer_{pattern}{bits}", 10, 8)
    np.testing.assert_array_equal(found[2:-2, 2:-2], np.full((4, 6, 3), [200, 100, 50]))
    with pytest.raises(DataError, match="too small"):
        decode_image(data.tobytes(), f"bayer_{pattern}{bits}", 2, 2)


@pytest.mark.parametrize(("encoding", "order"), [("nv12", "UV"), ("nv21", "VU")])
def test_half_color(encoding, order):
    red = {"U": 90, "V": 240}
    rows = np.full((6, 4), 81, np.uint8)
    rows[4:] = np.tile([red[letter] for letter in order], 2)
    for padding in (0, 3):
        found = decode_image(pad_rows(rows, padding), encoding, 4, 4, 4 + padding)
        assert found.shape == (4, 4, 3)
        assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 3
    for width, height, words in ((3, 4, "odd width"), (4, 3, "odd height"), (4, 8, "truncated")):
        with pytest.raises(DataError, match=words):
            decode_image(rows.tobytes(), encoding, width, height)


@pytest.mark.parametrize(("encoding", "order"), [
    ("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")])
def test_yuv422_byte_order(encoding, order):
    red = {"Y": 81, "U": 90, "V": 240}  # BT.601 red
    data = bytes(red[letter] for letter in order) * 4
    image = decode_image(data, encoding, 4, 2)
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 3


def test_raw_image_errors_name_the_fix():
    with pytest.raises(DataError, match="'yuv444' is not supported: .*rgb8.*bayer_rggb8"):
        decode_image(bytes(4), "yuv444", 2, 2)
    with pytest.raises(DataError, match="truncated"):
        decode_image(bytes(11), "rgb8", 2, 2)
    with pytest.raises(DataError, match="step 5"):
        decode_image(bytes(100), "rgb8", 2, 2, step=5)
    with pytest.raises(DataError, match="32FC1"):
        decode_image(bytes(100), "32FC1", 2, 2)
    with pytest.raises(DataError, match="odd width"):
        decode_image(bytes(100), "yuv422", 3, 2)
    for encoding in ("mono8", "8UC1", "rgb8", "64FC1"):
        with pytest.raises(DataError, match="16UC1.*32FC1"):
            decode_depth_image(bytes(100), encoding, 2, 2)


@pytest.mark.parametrize("format", ["jpeg", "rgb8; jpeg compressed bgr8", "", "bgr8; png"])
def test_compressed_color(format):
    image = np.zeros((16, 24, 3), np.uint8)
    image[..., 0] = 200
    data = encode_png(image) if "png" in format else encode_jpeg(image)
    decoded = decode_compressed_image(data, format)
    assert np.abs(decoded.astype(int) - image).max() <= 4
    swapped = decode_compressed_image(data, "rgb8; jpeg compressed rgb8")
    assert swapped[0, 0, 2] > 190, "the publisher's red and blue were never swapped"
    gray = decode_compressed_image(encode_png(image[..., 0]))
    np.testing.assert_array_equal(gray, image[..., 0])


@given(st.data(), seeds, st.sampled_from(["jpeg", "png"]))
@settings(max_examples=60, deadline=None)
def test_truncated_images_are_refused_wherever_they_end(data, seed, kind):
    image = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
    whole = encode_jpeg(image) if kind == "jpeg" else encode_png(image)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DataError):
        decode_compressed_image(whole[:cut])
    assert decode_compressed_image(whole).shape == image.shape


def test_damaged_png_is_refused_and_padded_jpeg_accepted():
    image = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    data = bytearray(encode_png(image))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(DataError, match="checksum"):
        decode_compressed_image(bytes(data))
    padded = encode_jpeg(image) + bytes(5)
    assert decode_compressed_image(padded).shape == (20, 20)
    with pytest.raises(DataError, match="neither JPEG nor PNG"):
        decode_compressed_image(b"GIF89a" + bytes(100))


def test_png_with_valid_frame_but_bad_pixels_is_refused():
    """Checksums all match, the compressed stream inside is nonsense."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(
            ">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"nonsense") + chunk(b"IEND", b"")
    with pytest.raises(DataError):
        decode_compressed_image(data)


def test_opencv_agrees_on_red():
    """Guards against a double swap: what OpenCV writes as red reads back as red."""
    bgr = np.zeros((8, 8, 3), np.uint8)
    bgr[..., 2] = 255
    assert decode_compressed_image(cv2.imencode(".png", bgr)[1].tobytes())[0, 0].tolist() == [
        255, 0, 0]
