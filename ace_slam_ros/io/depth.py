"""Depth images from bytes: units by encoding, wrong ones refused; the `compressedDepth` codec."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ..core.data.depth.sparse import fill_sparse
from ..core.errors import DataError
from .images import Buffer, byte_view, decode_file, encode_png, image_array
from .rvl import decode_rvl

if TYPE_CHECKING:
    from ..core.geometry.arrays import Float32Image

#: What `decode_depth` understands, as shown to users.
DEPTH_ENCODINGS = "16UC1 or mono16 (millimeters), 32FC1 (meters)"

#: What to do about a unit that is wrong in messages.
ROS_UNITS = ("16UC1 holds millimeters, 32FC1 meters: correct the publisher, or set "
             "sensor.depth_unit_m")
#: Depth outside of this is no measurement: no camera of this kind sees so near or so far.
_NEAREST_M, _FARTHEST_M = 0.05, 60.0
#: From here on depth is a far plane, whatever `sensor.max_depth_m`, which ends here.
_NOWHERE_M = 100.0
#: An image whose measured pixels lie within that range to a smaller share has another unit: the
#: sky may be most of a picture, but in millimeters for meters nothing lies within.
_LEAST_IN_RANGE = 0.05
#: So many of the pixels looked at suffice to judge; else all are looked at.
_ENOUGH = 50
#: The largest integer, with which some drivers mark that they measured nothing.
_FULL = np.uint16(65535)

_HEADER = struct.Struct("<iff")  # compression format, then the two quantization parameters
_INVERSE_DEPTH = 1


def decode_depth(
    array: npt.NDArray[Any], encoding: str, scale: float | None = None
) -> Float32Image:
    """Convert stored depth to meters.

    Args:
        array: (H, W) uint16 or float32 as stored.
        encoding: 16UC1, mono16 or 32FC1.
        scale: stored units per meter of the integer encodings, default 1000 (millimeters; the
            TUM benchmark's PNG files hold 5000 per meter).

    Returns:
        (H, W) float32 meters, 0 where there is no measurement (0, negative, NaN, infinite; of
        integers also 65535).

    Raises:
        DataError: another encoding, dtype or shape.
    """
    key = encoding.lower()
    wanted = {"16uc1": np.uint16, "mono16": np.uint16, "32fc1": np.float32}.get(key)
    if wanted is None or array.dtype != wanted or array.ndim != 2:
        raise DataError(
            f"depth encoding '{encoding}' ({array.dtype}, shape {array.shape}) is not supported: "
            f"publish {DEPTH_ENCODINGS}"
        )
    if wanted is np.uint16:
        # one pass and one buffer: converted block by block while it divides
        meters = np.asarray(np.divide(array, np.float32(scale or 1000.0), dtype=np.float32))
        if array.size and array.max() == _FULL:
            meters[array == _FULL] = 0.0
        return meters
    depth_m = np.array(array, np.float32)
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0.0))] = 0.0
    return depth_m


def decode_depth_image(
    data: Buffer, encoding: str, width: int, height: int, step: int = 0,
    is_bigendian: bool | int = False, scale: float | None = None,
) -> Float32Image:
    """Decode a raw depth image message to meters (H, W), 0 = missing; scale as `decode_depth`.

    Raises:
        DataError: the encoding is no depth encoding, or `data` is too short.
    """
    array = depth_array(data, encoding, width, height, step, is_bigendian)
    return decode_depth(array, encoding, scale)


def units_per_meter(depth_unit_m: float) -> float | None:
    """Return the scale for `decode_depth` of a parameter `sensor.depth_unit_m`."""
    return 1.0 / depth_unit_m if depth_unit_m > 0.0 else None


def depth_array(
    data: Buffer, encoding: str, width: int, height: int, step: int = 0,
    is_bigendian: bool | int = False,
) -> npt.NDArray[Any]:
    """View a raw depth image message as its stored values (H, W), uint16 or float32.

    Raises:
        DataError: the encoding is no depth encoding, or `data` is too short.
    """
    if encoding.lower() not in ("16uc1", "mono16", "32fc1"):
        raise DataError(
            f"depth encoding '{encoding}' is not supported: publish {DEPTH_ENCODINGS}")
    return image_array(data, encoding, width, height, step, is_bigendian)


def depth_to_stored(
    depth_m: npt.NDArray[np.float32], depth_scale: float
) -> npt.NDArray[np.uint16]:
    """Round meters (H, W) to stored uint16 units; what does not fit 16 bits becomes missing."""
    units = np.rint(np.asarray(depth_m, np.float64) * depth_scale)
    with np.errstate(invalid="ignore"):
        fits = (units > 0.0) & (units <= 65535.0)
    return np.where(fits, units, 0.0).astype(np.uint16)


def has_depth(depth_m: Float32Image) -> bool:
    """Tell whether any pixel holds a measurement."""
    return bool((depth_m[::16, ::16] > 0.0).any() or (depth_m > 0.0).any())


def usable_depth(
    depth_m: Float32Image | None, encoding: str, *, required: bool, advice: str = ROS_UNITS
) -> Float32Image | None:
    """Return a depth image (H, W) that can be used; None when nothing is measured.

    Far planes become missing; sparse depth is made dense, see `fill_sparse`.

    Args:
        depth_m: meters, 0 = missing; None without a depth image.
        encoding: as which it came, for people.
        required: refuse an image without any measurement.
        advice: what to do about a wrong unit.

    Raises:
        DataError: nothing is measured although it is required, or the unit is wrong.
    """
    if depth_m is None or not has_depth(depth_m):
        if required:
            raise DataError(
                "the depth image holds no measurement, it is zero or NaN everywhere: check the "
                "sensor's range and that its depth stream is on")
        return None
    if wrong := unit_problem(depth_m, encoding, advice):
        raise DataError(wrong)
    if depth_m.max() >= _NOWHERE_M:
        depth_m = np.where(depth_m < _NOWHERE_M, depth_m, np.float32(0.0))
    return fill_sparse(depth_m)


def unit_problem(depth_m: Float32Image, encoding: str, advice: str = ROS_UNITS) -> str:
    """Say that a depth image (H, W) holds numbers of another unit; empty when they make sense.

    One in sixteen of the rows and columns is looked at, if that is enough. The largest value does
    not count beside others: it is the far plane of simulators and of clipped images.
    """
    some = depth_m[::16, ::16]
    known = some[some > 0.0]
    if known.size < _ENOUGH:
        known = depth_m[depth_m > 0.0]
    if not known.size:
        return ""
    largest_m = float(known.max())
    nearer = known[known < largest_m]
    if nearer.size:
        known = nearer
    in_range = (known >= _NEAREST_M) & (known <= _FARTHEST_M)
    if in_range.mean() >= _LEAST_IN_RANGE:
        return ""
    if not nearer.size and largest_m > _FARTHEST_M:
        return (f"every measured pixel is {largest_m:.4g} m away as {encoding}: nothing but the "
                f"far plane is in sight, or the unit is wrong; {advice}")
    median_m = float(np.median(known))
    seems = "millimeters" if median_m > _NEAREST_M else "meters"
    return f"median depth {median_m:.4g} m as {encoding}: the values look like {seems}; {advice}"


def decode_depth_png(data: Buffer) -> npt.NDArray[np.uint16]:
    """Decode a 16-bit single-channel PNG to its stored values (H, W).

    Raises:
        DataError: truncated, damaged, 8-bit or colored.
    """
    array = decode_file(data, cv2.IMREAD_UNCHANGED)
    if array.dtype != np.uint16 or array.ndim != 2:
        channels = 1 if array.ndim == 2 else array.shape[2]
        raise DataError(
            f"depth image has {array.dtype.itemsize * 8} bits and {channels} channel(s): depth "
            "must be a 16-bit single-channel PNG"
        )
    return array


def decode_compressed_depth(data: Buffer, format: str = "") -> tuple[npt.NDArray[Any], str]:
    """Decode a `compressedDepth` message, or a 16-bit PNG sent through `compressed`.

    Args:
        data: 12 bytes of quantization header and a PNG or RVL; or a bare PNG.
        format: the message's format, such as "16UC1; compressedDepth png".

    Returns:
        (array (H, W), encoding): uint16 with "16UC1", or float32 meters with "32FC1" where NaN
        marks missing values. `decode_depth` turns both into meters.

    Raises:
        DataError: truncated or damaged, or no depth encoding.

    Source: wire format of image_transport_plugins/compressed_depth_image_transport.
    """
    encoding = format.split(";")[0].strip() or "16UC1"
    if "compresseddepth" not in format.lower():
        return decode_depth_png(data), "16UC1"
    view = byte_view(data)
    if len(view) <= _HEADER.size:
        raise DataError(f"compressedDepth message of {len(view)} bytes is truncated")
    _, quant_a, quant_b = _HEADER.unpack(view[:_HEADER.size])
    decode = decode_rvl if "rvl" in format.lower() else decode_depth_png
    stored = decode(view[_HEADER.size:])
    if encoding.upper() in ("16UC1", "MONO16"):
        return stored, "16UC1"
    if encoding.upper() != "32FC1":
        raise DataError(
            f"compressedDepth of encoding '{encoding}' is not supported: publish "
            f"{DEPTH_ENCODINGS}"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = np.float32(quant_a) / (stored.astype(np.float32) - np.float32(quant_b))
    depth_m[stored == 0] = np.nan
    return depth_m, "32FC1"


def encode_compressed_depth(
    array: npt.NDArray[Any], encoding: str, *, max_depth_m: float = 10.0,
    quantization: float = 100.0,
) -> tuple[bytes, str]:
    """Encode stored depth for a `compressedDepth` topic.

    Args:
        array: (H, W) uint16 for 16UC1 (lossless), float32 meters for 32FC1.
        encoding: 16UC1 or 32FC1.
        max_depth_m: farther 32FC1 depth becomes missing.
        quantization: 32FC1 is stored as inverse depth; the step at depth z is about
            z^2 / (quantization * (quantization + 1)) meters.

    Returns:
        (data, format) of the message.

    Raises:
        DataError: the encoding or dtype is none of the two.
    """
    decode_depth(array[:0], encoding)  # refuses wrong dtypes and encodings
    if array.dtype == np.uint16:
        return _HEADER.pack(0, 0.0, 0.0) + encode_png(array), "16UC1; compressedDepth png"
    quant_a = quantization * (quantization + 1.0)
    quant_b = 1.0 - quant_a / max_depth_m
    valid = np.isfinite(array) & (array > 0.0) & (array <= max_depth_m)
    inverse = np.zeros(array.shape, np.float64)
    inverse[valid] = np.rint(quant_a / array[valid].astype(np.float64) + quant_b)
    inverse[inverse > 65535.0] = 0.0  # nearer than the 16 bits reach
    header = _HEADER.pack(_INVERSE_DEPTH, quant_a, quant_b)
    return header + encode_png(inverse.astype(np.uint16)), "32FC1; compressedDepth png"
