"""Image encodings, the compressedDepth codec and calibration messages."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import CalibrationError, DataError
from ace_slam_ros.io import (
    camera_from_info,
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_depth_image,
    decode_image,
    encode_compressed_depth,
    encode_jpeg,
    encode_png,
    read_camera_yaml,
    write_camera_yaml,
)

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
@settings(max_examples=40, deadline=None)
def test_wide_elements_honor_byte_order(size, padding, seed, big):
    height, width = size
    rng = np.random.default_rng(seed)
    order = ">" if big else "<"
    units = rng.integers(0, 65536, (height, width)).astype(np.uint16)
    data = pad_rows(units.astype(f"{order}u2"), padding)
    step = width * 2 + padding
    depth_m = decode_depth_image(data, "16UC1", width, height, step, big)
    np.testing.assert_allclose(depth_m, units / 1000.0, rtol=1e-6)
    np.testing.assert_array_equal(
        decode_image(data, "mono16", width, height, step, big), units >> 8)
    meters = rng.uniform(0.1, 9.0, (height, width)).astype(np.float32)
    data = pad_rows(meters.astype(f"{order}f4"), padding)
    depth_m = decode_depth_image(data, "32FC1", width, height, width * 4 + padding, big)
    np.testing.assert_array_equal(depth_m, meters)


@pytest.mark.parametrize(("encoding", "order"), [
    ("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")])
def test_yuv422_byte_order(encoding, order):
    red = {"Y": 81, "U": 90, "V": 240}  # BT.601 red
    data = bytes(red[letter] for letter in order) * 4
    image = decode_image(data, encoding, 4, 2)
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 3


def test_raw_image_errors_name_the_fix():
    with pytest.raises(DataError, match="bayer_rggb8.*rgb8"):
        decode_image(bytes(4), "bayer_rggb8", 2, 2)
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


def test_decode_depth_units_and_missing_values():
    units = np.array([[0, 1000, 65535]], np.uint16)
    np.testing.assert_allclose(decode_depth(units, "16UC1"), [[0, 1, 65.535]], rtol=1e-6)
    np.testing.assert_allclose(decode_depth(units, "mono16", 5000), [[0, 0.2, 13.107]], rtol=1e-6)
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
        (good, "16UC1; compressedDepth rvl", "png"), (good, "8UC1; compressedDepth", "16UC1"),
        (good[:12] + encode_png(np.ones((4, 4), np.uint8)), format, "16-bit"),
    ):
        with pytest.raises(DataError, match=fix):
            decode_compressed_depth(data, text)
    with pytest.raises(DataError, match="16UC1"):
        encode_compressed_depth(np.ones((4, 4), np.uint8), "16UC1")


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


K = [500.0, 0, 320.0, 0, 510.0, 240.0, 0, 0, 1]


def test_camera_from_info_plain():
    camera = camera_from_info(640, 480, K, [0.1, 0, 0, 0, 0], "plumb_bob")
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 320, 240)
    assert camera.distortion == (0.1, 0, 0, 0, 0)


def test_camera_from_info_binning_and_roi_match_an_image():
    """A point's pixel in the cropped, binned image is the camera's projection."""
    full = camera_from_info(640, 480, K, [], "")
    part = camera_from_info(640, 480, K, [], "", 2, 2, (100, 40, 400, 300))
    assert (part.width, part.height) == (200, 150)
    point = np.array([[0.1, -0.2, 2.0]])
    u, v = full.project(point)[0]
    # Full pixel u covers [u - 0.5, u + 0.5]; cropping shifts it, binning halves the edges.
    expected = [(u - 100 + 0.5) / 2 - 0.5, (v - 40 + 0.5) / 2 - 0.5]
    np.testing.assert_allclose(part.project(point)[0], expected)


@pytest.mark.parametrize(("k", "d", "fix"), [
    ([0.0] * 9, [], "calibrate the camera"), ([], [], "calibrate the camera"),
    ([np.nan, *K[1:]], [], "calibrate"), (K, [0.1, 0.2], "2 distortion coefficients"),
    (K, [np.nan] * 5, "NaN"),
])
def test_camera_from_info_refuses(k, d, fix):
    with pytest.raises(CalibrationError, match=fix):
        camera_from_info(640, 480, k, d, "plumb_bob")


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(1e-3, 1e6))
@settings(max_examples=20, deadline=None)
def test_camera_yaml_round_trip(tmp_path_factory, d, scale):
    path = tmp_path_factory.mktemp("yaml") / "camera.yaml"
    camera = camera_from_info(640, 480, [517.306408, *K[1:]], d, "plumb_bob")
    write_camera_yaml(path, camera, scale)
    assert read_camera_yaml(path) == (camera, scale)


@pytest.mark.parametrize(("text", "fix"), [
    (None, "missing: write.*fx: 525"), ("", "write e.g."), ("- 1", "write e.g."),
    ("width: 640", "'height' must be a number"), ("{a: [", "not yaml"),
    ("{width: 640, height: 480, fx: zero, fy: 1, cx: 1, cy: 1}", "'fx' must be a number"),
    ("{width: 640, height: 480, fx: 0, fy: 1, cx: 1, cy: 1}", "fx=0.0"),
    ("{width: 640, height: 480, fx: .nan, fy: 1, cx: 1, cy: 1}", "fx=nan"),
    ("{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, d: 3}", "list of numbers"),
    ("{width: .inf, height: 480, fx: 1, fy: 1, cx: 1, cy: 1}", "width=inf"),
    ("{width: 64.5, height: 480, fx: 1, fy: 1, cx: 1, cy: 1}", "width=64.5"),
    ("{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, depth_scale: 0}", "not positive"),
    ("{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, distortion_model: x}", "unknown"),
])
def test_camera_yaml_errors(tmp_path, text, fix):
    path = tmp_path / "camera.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CalibrationError, match=fix) as caught:
        read_camera_yaml(path)
    assert "\n" not in str(caught.value)


def test_opencv_agrees_on_red():
    """Guards against a double swap: what OpenCV writes as red reads back as red."""
    bgr = np.zeros((8, 8, 3), np.uint8)
    bgr[..., 2] = 255
    assert decode_compressed_image(cv2.imencode(".png", bgr)[1].tobytes())[0, 0].tolist() == [
        255, 0, 0]
