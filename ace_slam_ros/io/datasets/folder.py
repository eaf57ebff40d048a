"""A folder of image files as a source of frames, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ...core.errors import DataError
from ..depth import decode_depth_png
from ..images import check_complete, decode_compressed_image
from ..pairs import PairReader, PairSource
from ..source import ReadOptions
from .depth_unit import depth_unit

if TYPE_CHECKING:
    from ...core.geometry.arrays import UInt8Image
    from .recording import Recording


class FolderSource(PairSource):
    """Reads the images that a `Recording` names.

    Args:
        path: the folder.
        recording: what its layout says of it.
        require_depth: deliver only frames with usable depth.
        options: the slop of pairs; the unit of depth, else as the recording says or as fits the
            images; a folder has neither topics nor times of arrival.

    Raises:
        DataError: what a folder does not have is asked for, no images are listed, or nothing can
            be paired.
        CalibrationError: the unit of depth is not told and cannot be guessed.
    """

    def __init__(
        self, path: Path, recording: Recording, *, require_depth: bool = True,
        options: ReadOptions | None = None,
    ) -> None:
        super().__init__(path, require_depth)
        options = options or ReadOptions()
        self._refuse(options)
        self.layout, self._shrink = recording.layout, recording.shrink
        self.raw_camera = recording.camera
        self.camera = self.raw_camera.without_distortion()
        self.registration, self.device_names = recording.registration, recording.device_names
        self._set_truth(recording.truth)
        for what, how in recording.assumptions.items():
            self.assume(what, how)
        color, depth = recording.color, recording.depth
        depth_ns = np.empty(0, np.int64) if depth is None else depth.stamps_ns
        within = f"within {options.slop_s * 1e3:g} ms"
        pairs = self._choose_pairs(
            color.stamps_ns, depth_ns, options.slop_ns,
            lambda i: f"{color.names[i]}: no depth {within}",
            f"none of {len(color.names)} color and {len(depth_ns)} depth stamps lie {within}")
        self._color_names = [color.names[i] for i, _ in pairs]
        self._depth = [
            None if j is None or depth is None else (int(depth_ns[j]), depth.names[j])
            for _, j in pairs]
        self._set_unit(depth_unit(
            recording.calibration, recording.units_per_meter, options.depth_unit_m,
            [partial(self._read_depth, d[1]) for d in self._depth if d is not None]))

    def _refuse(self, options: ReadOptions) -> None:
        if options.names_topics:
            raise DataError(f"{self.path} is a folder of images, which has no topics: leave out "
                            "--color, --depth, --info")
        if options.stamps != "header":
            raise DataError(f"{self.path} is a folder of images, which has no times of arrival: "
                            "leave out ros.stamps")

    def summary(self) -> dict[str, Any]:
        """Return what a summary says of a recording."""
        return super().summary() | {"layout": self.layout}

    def _readers(self, start: int, stop: int) -> Iterator[PairReader]:
        for index in range(start, stop):
            depth = self._depth[index]
            stamp_ns = int(self.stamps_ns[index])
            depth_ns = stamp_ns if depth is None else depth[0]
            read_depth: Callable[[], npt.NDArray[Any]] | None = None
            if depth is not None:
                read_depth = partial(self._read_depth, depth[1])
            read_color = partial(self._read_color, self._color_names[index])
            yield PairReader(stamp_ns, depth_ns, read_color, read_depth)

    def _read_color(self, name: str) -> tuple[bytes | UInt8Image, str]:
        data = self._bytes(name)
        kind = check_complete(data)
        if self._shrink == 1.0:
            return data, kind
        size = (self.raw_camera.width, self.raw_camera.height)
        image = decode_compressed_image(data, kind)
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), ""

    def _read_depth(self, name: str) -> npt.NDArray[Any]:
        return decode_depth_png(self._bytes(name))

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {name}: {error}") from error
