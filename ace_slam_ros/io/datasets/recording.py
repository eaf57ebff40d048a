"""What a reader of a layout finds out about a folder: images, camera, unit, truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...core.errors import DataError
from ..images import decode_compressed_image
from .groundtruth import GroundTruth
from .text_lists import file_name, read_list

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import Float64Array, Int64Array
    from ..registration import Registration

#: Numbered images have no stamps; they are taken for those of a camera of this rate.
FRAME_NS = round(1e9 / 30.0)


class Listing(NamedTuple):
    """Images of one stream.

    Attributes:
        stamps_ns: (N,) int64, increasing.
        names: N file names, relative to the folder.
    """

    stamps_ns: Int64Array
    names: list[str]

    @staticmethod
    def of(stamped: Iterable[tuple[int, str]]) -> Listing:
        """Sort by stamp; of a repeated stamp the first counts."""
        found: dict[int, str] = {}
        for stamp_ns, name in stamped:
            found.setdefault(stamp_ns, name)
        stamps = sorted(found)
        return Listing(np.array(stamps, np.int64), [found[stamp] for stamp in stamps])


@dataclass(frozen=True)
class Recording:
    """A folder as its layout says it is to be read.

    Attributes:
        layout: name of the layout.
        color: the color images.
        depth: the depth images; None when there are none.
        camera: of the color images as delivered, with distortion.
        calibration: the file that tells camera and unit, or the folder.
        units_per_meter: of integer depth; None = not told.
        truth: poses of the color camera.
        registration: how depth of another camera comes into the color image.
        shrink: color images are resized by this factor; 1 = as they are.
        assumptions: what the layout leaves open and was assumed.
        device_names: what the files call the camera.
    """

    layout: str
    color: Listing
    depth: Listing | None
    camera: Camera
    calibration: Path
    units_per_meter: float | None
    truth: GroundTruth = field(default_factory=GroundTruth)
    registration: Registration | None = None
    shrink: float = 1.0
    assumptions: dict[str, str] = field(default_factory=dict)
    device_names: tuple[str, ...] = ()


def read_listing(path: Path) -> Listing:
    """Read a list of images: a stamp and a file name relative to the list's folder in each row.

    Rows may be in any order, separated and stamped as `read_list` understands; of a repeated
    stamp the first counts.

    Raises:
        DataError: the file cannot be read or a row is not `stamp filename`.
    """
    listed = read_list(path)
    found: list[tuple[int, str]] = []
    for row in listed.rows:
        try:
            stamp, name = listed.stamp_ns(row), file_name(row.rest)
        except ValueError:
            stamp, name = 0, ""
        if not name:
            said = f"{row.stamp} {row.rest}".strip()
            raise DataError(f"{path}:{row.line}: expected 'stamp filename', got '{said[:60]}'")
        found.append((stamp, name))
    return Listing.of(found)


def numbered(folder: Path, below: str, pattern: str) -> Listing:
    """List numbered images as of a camera of 30 Hz.

    Args:
        folder: names are relative to it.
        below: the folder in it that holds the images; "." = itself.
        pattern: matches a whole file name; its group is the number.
    """
    whole = re.compile(pattern)
    place = folder / below
    names = sorted(place.iterdir()) if place.is_dir() else []
    return Listing.of(
        (int(found.group(1)) * FRAME_NS, str(path.relative_to(folder)))
        for path in names if (found := whole.fullmatch(path.name)))


def poses_of(images: Listing, pose: Callable[[int, str], Float64Array | None]) -> list[
    tuple[int, Float64Array | None]
]:
    """Return the stamp and what `pose` says for every image, by position and name."""
    return [(int(stamp_ns), pose(i, name)) for i, (stamp_ns, name) in enumerate(
        zip(images.stamps_ns, images.names, strict=True))]


def read_matrix(path: Path) -> Float64Array | None:
    """Read a matrix (4, 4); None when it is none, as in data sets that lost the camera."""
    try:
        values = np.array([float(v) for v in path.read_text().replace(",", " ").split()])
    except (OSError, ValueError):
        return None
    return values.reshape(4, 4) if values.size == 16 else None


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        image = decode_compressed_image(path.read_bytes(), "")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return image.shape[1], image.shape[0]
