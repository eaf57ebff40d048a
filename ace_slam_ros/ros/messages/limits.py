"""The largest inputs that are taken, checked before memory is spent on them.

Whoever can publish on the network can otherwise fill a robot's memory with one message.
`docs/interfaces.md` lists the limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DataError

if TYPE_CHECKING:
    from ...core.data.keyframe import Keyframe

#: Pixels of an image, of color, depth or calibration: those of the largest RGB-D cameras.
LARGEST_WIDTH, LARGEST_HEIGHT = 4096, 3072
LARGEST_PIXELS = LARGEST_WIDTH * LARGEST_HEIGHT
#: Bytes of a compressed image.
LARGEST_COMPRESSED = 64 << 20
#: Features of a keyframe, unless `features.count` allows more, and numbers of a descriptor.
MOST_FEATURES, LARGEST_DIMENSION = 4096, 1024
#: Distance of a point from its camera, and along an axis of anything from the origin of its frame,
#: which may be that of the earth; meters.
FARTHEST_POINT_M, FARTHEST_POSE_M = 1e3, 1e8
#: An encoder's cells may reach over the edge of an image so far.
_BESIDE_PX = 64.0

_PNG = b"\x89PNG\r\n\x1a\n"
#: JPEG markers of a frame header, which holds the size.
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def check_size(width: int, height: int, what: str) -> None:
    """Refuse an image that is larger than any RGB-D camera's.

    Raises:
        DataError: it is; the limit is named.
    """
    if width * height > LARGEST_PIXELS:
        raise DataError(
            f"{what} of {width}x{height} is larger than the {LARGEST_WIDTH}x{LARGEST_HEIGHT} "
            "pixels that are taken: choose a lower resolution in the camera driver")


def check_compressed(data: bytes | memoryview, what: str) -> None:
    """Refuse a compressed image by its header alone; what is none is told by the decoder.

    Raises:
        DataError: the bytes or the pixels are too many.
    """
    if len(data) > LARGEST_COMPRESSED:
        raise DataError(f"{what} has {len(data)} bytes, more than the {LARGEST_COMPRESSED} that "
                        "are taken: choose a lower resolution or quality")
    size = encoded_size(data)
    if size is not None:
        check_size(*size, what)


def encoded_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Width and height in the header of a PNG or JPEG; None where there is no such header.

    A compressedDepth message has 12 bytes before it.
    """
    for start in (0, 12):
        header = data[start + 16:start + 24]
        if data[start:start + 8] == _PNG and len(header) == 8:
            return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _JPEG_FRAMES:
            height, width = data[at + 5:at + 7], data[at + 7:at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return None


def check_counts(identifier: int, count: int, dimension: int, most: int) -> None:
    """Refuse a keyframe message of too many features.

    Raises:
        DataError: the limit is named.
    """
    if count > most or dimension > LARGEST_DIMENSION:
        raise DataError(
            f"keyframe {identifier}: {count} features of dimension {dimension}, at most {most} of "
            f"{LARGEST_DIMENSION} are taken: set features.count alike in all nodes")


def check_keyframe(keyframe: Keyframe) -> None:
    """Refuse a keyframe whose features lie where no camera can have seen them.

    Raises:
        DataError: a pixel is outside of the image, or a point too far away.
    """
    camera, where = keyframe.camera, f"keyframe {keyframe.id}"
    check_size(camera.width, camera.height, where)
    if not len(keyframe.pixels_N2):
        return
    outside = (keyframe.pixels_N2 < -_BESIDE_PX) | (
        keyframe.pixels_N2 > (camera.width + _BESIDE_PX, camera.height + _BESIDE_PX))
    if outside.any():
        raise DataError(f"{where}: features lie outside of its image of "
                        f"{camera.width}x{camera.height}")
    if np.abs(keyframe.points_cam_N3).max() > FARTHEST_POINT_M:
        raise DataError(f"{where}: points are more than {FARTHEST_POINT_M:g} m from the camera")
