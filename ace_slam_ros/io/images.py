"""Color images from bytes: raw ROS encodings, JPEG and PNG, with damage detected."""

from __future__ import annotations

import zlib
from array import array
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from ..core.errors import DataError

if TYPE_CHECKING:
    from ..core.geometry.arrays import UInt8Image

#: What message fields and files come as.
Buffer: TypeAlias = "bytes | bytearray | memoryview | array[int] | npt.NDArray[Any]"

#: encoding -> (dtype, channels) of images whose pixels are whole elements.
_LAYOUT: dict[str, tuple[str, int]] = {
    "rgb8": ("u1", 3), "bgr8": ("u1", 3), "rgba8": ("u1", 4), "bgra8": ("u1", 4),
    "8uc3": ("u1", 3), "8uc4": ("u1", 4), "mono8": ("u1", 1), "8uc1": ("u1", 1),
    "mono16": ("u2", 1), "16uc1": ("u2", 1), "32fc1": ("f4", 1),
    "yuv422": ("u1", 2), "uyvy": ("u1", 2), "yuv422_yuy2": ("u1", 2), "yuyv": ("u1", 2),
    "nv12": ("u1", 1), "nv21": ("u1", 1),
    "rgb16": ("u2", 3), "bgr16": ("u2", 3), "rgba16": ("u2", 4), "bgra16": ("u2", 4),
    **{f"bayer_{p}{bits}": (f"u{bits // 8}", 1) for p in ("rggb", "bggr", "gbrg", "grbg")
       for bits in (8, 16)},
}
#: Encodings whose color follows the brightness in half as many rows again.
_HALF_COLOR = ("nv12", "nv21")
#: encoding -> OpenCV conversion to RGB; None = already RGB or gray.
_TO_RGB: dict[str, int | None] = {
    "rgb8": None, "mono8": None, "8uc1": None,
    "bgr8": cv2.COLOR_BGR2RGB, "8uc3": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB, "8uc4": cv2.COLOR_BGRA2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY, "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2, "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21,
    "mono16": None, "rgb16": None, "bgr16": cv2.COLOR_BGR2RGB, "rgba16": cv2.COLOR_RGBA2RGB,
    "bgra16": cv2.COLOR_BGRA2RGB,
    # OpenCV names a pattern by its second row and column.
    **{f"bayer_{ours}{bits}": code for bits in (8, 16) for ours, code in (
        ("rggb", cv2.COLOR_BayerBG2RGB), ("bggr", cv2.COLOR_BayerRG2RGB),
        ("gbrg", cv2.COLOR_BayerGR2RGB), ("grbg", cv2.COLOR_BayerGB2RGB))},
}
#: encoding -> OpenCV conversion to gray, where color goes first over RGB with the same result.
_TO_GRAY: dict[str, int] = {
    "rgb8": cv2.COLOR_RGB2GRAY, "bgr8": cv2.COLOR_BGR2GRAY, "8uc3": cv2.COLOR_BGR2GRAY,
    "rgba8": cv2.COLOR_RGBA2GRAY, "bgra8": cv2.COLOR_BGRA2GRAY, "8uc4": cv2.COLOR_BGRA2GRAY,
}
#: Color encodings `decode_image` understands, in ROS spelling.
COLOR_ENCODINGS = (
    "rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "8UC1", "8UC3", "8UC4", "yuv422",
    "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21", "rgb16", "bgr16", "rgba16", "bgra16",
    *(name for name in _LAYOUT if name.startswith("bayer_")),
)

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def image_array(
    data: Buffer, encoding: str, width: int, height: int, step: int = 0,
    is_bigendian: bool | int = False,
) -> npt.NDArray[Any]:
    """View a raw image message as an array (H, W) or (H, W, C) of native byte order.

    Args:
        data: the message's bytes, row after row.
        encoding: ROS encoding name, any letter case.
        width: pixels per row.
        height: rows.
        step: bytes per row including padding; 0 = no padding.
        is_bigendian: byte order of elements of more than one byte.

    Returns:
        uint8, uint16 or float32; a view of `data` where byte order and padding allow. Of nv12 and
        nv21 (3/2 H, W): brightness, then color.

    Raises:
        DataError: the encoding is unknown, or `data` is shorter than the size says.
    """
    layout = _LAYOUT.get(encoding.lower())
    if layout is None:
        raise DataError(
            f"image encoding '{encoding}' is not supported: publish one of "
            f"{', '.join(COLOR_ENCODINGS)} for color, 16UC1 or 32FC1 for depth"
        )
    if encoding.lower() in _HALF_COLOR:
        height += height // 2
    kind, channels = layout
    flat = data.reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else np.frombuffer(
        data, np.uint8)
    row = width * channels * int(kind[1])
    step = step or row
    if width <= 0 or height <= 0 or step < row or len(flat) < step * (height - 1) + row:
        raise DataError(
            f"{encoding} image of {width}x{height} with step {step} holds {len(flat)} bytes: the "
            "message is truncated or its size fields are wrong"
        )
    # The last row may come without its padding, so the view must not reach beyond `row` there.
    rows = np.lib.stride_tricks.as_strided(flat, (height, row), (step, 1), writeable=False)
    if kind == "u1":
        pixels: npt.NDArray[Any] = np.ascontiguousarray(rows)
    else:
        order = ">" if is_bigendian else "<"
        stored = np.ascontiguousarray(rows).view(f"{order}{kind}")
        pixels = stored.astype(kind, copy=False)
    return pixels.reshape((height, width) if channels == 1 else (height, width, channels))


def decode_image(
    data: Buffer, encoding: str, width: int, height: int, step: int = 0,
    is_bigendian: bool | int = False, *, gray: bool = False,
) -> UInt8Image:
    """Decode a raw color or gray image message.

    Args: as `image_array`, and
        gray: the caller needs no color; (H, W) is returned where that spares a conversion.

    Returns:
        (H, W, 3) uint8 RGB, or (H, W) uint8 gray for the mono encodings. Of 16 bits the upper 8
        that are used count, see `eight_bits`.

    Raises:
        DataError: the encoding is no color encoding, or `data` is too short.
    """
    key = encoding.lower()
    if key not in _TO_RGB:
        raise DataError(
            f"color image encoding '{encoding}' is not supported: publish one of "
            f"{', '.join(COLOR_ENCODINGS)}"
        )
    pixels = image_array(data, encoding, width, height, step, is_bigendian)
    if pixels.dtype == np.uint16:
        pixels = eight_bits(pixels)
    if gray and key in _TO_GRAY:
        return np.asarray(cv2.cvtColor(pixels, _TO_GRAY[key]), np.uint8)
    code = _TO_RGB[key]
    if code is None:
        return pixels
    if (pixels.shape[2:] == (2,) or key in _HALF_COLOR) and width % 2:
        raise DataError(f"{encoding} image of odd width {width}: two pixels share their color")
    if key in _HALF_COLOR and height % 2:
        raise DataError(f"{encoding} image of odd height {height}: two rows share their color")
    if key.startswith("bayer_") and min(width, height) < 3:
        raise DataError(f"{encoding} image of {width}x{height} is too small for its pattern")
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def eight_bits(pixels: npt.NDArray[np.uint16]) -> UInt8Image:
    """Return the upper 8 of the bits that a picture uses: 8, 10, 12, 14 or 16.

    Cameras of fewer bits fill the lower ones, whatever the encoding is called; light that
    saturates tells how many. A view keeps its brightness while its brightest pixel does.
    """
    used = int(pixels.max(initial=0)).bit_length()
    shift = max(used + used % 2 - 8, 0)
    return (pixels >> shift).astype(np.uint8)


def byte_view(data: Buffer) -> memoryview:
    """Return a flat view of the bytes, without a copy."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    return memoryview(data).cast("B")


def check_complete(data: Buffer) -> str:
    """Check that JPEG or PNG bytes are complete, because decoders fill what is missing silently.

    Returns:
        "jpeg" or "png".

    Raises:
        DataError: the bytes are empty, of another format, truncated or damaged.
    """
    view = byte_view(data)
    if bytes(view[:8]) == _PNG_MAGIC:
        _check_png(view)
        return "png"
    if bytes(view[:3]) == b"\xff\xd8\xff":
        # Cameras pad with zeros; anything else after the end marker is a cut or a splice.
        if not bytes(view[-64:]).rstrip(b"\0").endswith(b"\xff\xd9"):
            raise DataError("JPEG is truncated: its end marker is missing")
        return "jpeg"
    if len(view) == 0:
        raise DataError("image holds no bytes")
    raise DataError("compressed image is neither JPEG nor PNG")


def _check_png(view: memoryview) -> None:
    position = len(_PNG_MAGIC)
    while position + 12 <= len(view):
        length = int.from_bytes(view[position:position + 4], "big")
        end = position + 12 + length
        if end > len(view):
            break
        kind = bytes(view[position + 4:position + 8])
        stored = int.from_bytes(view[end - 4:end], "big")
        if zlib.crc32(view[position + 4:end - 4]) != stored:
            raise DataError("PNG is damaged: a checksum does not match")
        if kind == b"IEND":
            return
        position = end
    raise DataError("PNG is truncated: its end is missing")


def decode_file(data: Buffer, flags: int) -> npt.NDArray[Any]:
    """Decode complete JPEG or PNG bytes with OpenCV read flags; channels stay in BGR order.

    Raises:
        DataError: the bytes are truncated, damaged or of another format.
    """
    check_complete(data)
    raw = data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
    try:
        pixels = cv2.imdecode(raw, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DataError(f"image cannot be decoded: {error.err}") from error
    if pixels is None or pixels.size == 0:
        raise DataError("image cannot be decoded: its data is damaged")
    return np.asarray(pixels)


def decode_compressed_image(data: Buffer, format: str = "") -> UInt8Image:
    """Decode the JPEG or PNG bytes of a `CompressedImage` message or an image file.

    Args:
        data: the compressed bytes.
        format: the message's format, such as "jpeg" or "rgb8; jpeg compressed bgr8".

    Returns:
        (H, W, 3) uint8 RGB or (H, W) uint8 gray; of 16 bits see `eight_bits`.

    Raises:
        DataError: the bytes are truncated, damaged or of another format.
    """
    if "compressedDepth" in format:
        raise DataError("a compressedDepth message came as color: check the color topic")
    pixels = decode_file(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if pixels.dtype == np.uint16:
        pixels = eight_bits(pixels)
    if pixels.ndim == 2:
        return np.asarray(pixels, np.uint8)
    if "compressed rgb" in format:  # the publisher did not swap channels before compressing
        return np.asarray(pixels, np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def encode_jpeg(image: UInt8Image, quality: int = 95) -> bytes:
    """Compress an RGB or gray image to JPEG bytes, `quality` 1..100."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: npt.NDArray[Any]) -> bytes:
    """Compress an RGB or gray uint8, or a gray uint16 image to PNG bytes, without loss."""
    if image.dtype == np.uint16 and hasattr(cv2, "IMWRITE_PNG_FILTER"):
        # Depth cameras quantize: the same few values repeat exactly, and predicting a pixel from
        # its neighbor would hide that. A third smaller in the same time.
        return _encode(".png", image, [
            cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE])
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _encode(suffix: str, image: npt.NDArray[Any], options: list[int]) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(suffix, bgr, options)
    if not done:
        raise DataError(f"cannot compress a {image.dtype} image of shape {image.shape}")
    return data.tobytes()
