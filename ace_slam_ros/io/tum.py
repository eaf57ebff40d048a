"""Sequences in the layout of the TUM RGB-D benchmark: reader and streaming writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import numpy.typing as npt

from ..core.data.trajectory import Trajectory, stamp_to_text, write_tum
from ..core.errors import DataError
from ..core.geometry.arrays import Int64Array
from ..core.runtime.staged_folder import staged_folder
from .calibration import TUM_DEPTH_SCALE, read_camera_yaml, write_camera_yaml
from .datasets.depth_unit import depth_unit
from .datasets.groundtruth import GroundTruth, read_groundtruth
from .datasets.text_lists import file_name, read_list
from .depth import decode_depth_png, depth_to_stored
from .images import check_complete, encode_jpeg, encode_png
from .pairs import PairReader, PairSource

if TYPE_CHECKING:
    from ..core.data.camera import Camera
    from ..core.data.frame import Frame
    from ..core.geometry.arrays import UInt8Image

Listing = tuple[Int64Array, list[str]]


def read_listing(path: Path) -> Listing:
    """Read `rgb.txt` or `depth.txt`: stamps (N,) int64 ns, increasing, and relative file names.

    Rows may be in any order, separated and stamped as `read_list` understands; of a repeated
    stamp the first counts.

    Raises:
        DataError: the file cannot be read or a line is not `stamp filename`.
    """
    listed = read_list(path)
    found: dict[int, str] = {}
    for row in listed.rows:
        try:
            stamp, name = listed.stamp_ns(row), file_name(row.rest)
        except ValueError:
            name = ""
        if not name:
            said = f"{row.stamp} {row.rest}".strip()
            raise DataError(f"{path}:{row.line}: expected 'stamp filename', got '{said[:60]}'")
        found.setdefault(stamp, name)
    stamps = sorted(found)
    return np.array(stamps, np.int64), [found[stamp] for stamp in stamps]


class TumSource(PairSource):
    """A TUM folder: `rgb.txt`, `depth.txt`, `camera.yaml`, optional `groundtruth.txt`.

    Args:
        path: the folder.
        require_depth: deliver only frames with usable depth.
        slop_ns: largest stamp gap of a pair.
        depth_unit_m: meters per unit of depth, 0 = as `camera.yaml` says, or as fits the images.

    Raises:
        DataError: a listing is missing, malformed or empty, or nothing can be paired.
        CalibrationError: `camera.yaml` is missing or wrong, or the unit of depth is not told.
    """

    def __init__(
        self, path: Path, *, require_depth: bool = True, slop_ns: int = 20_000_000,
        depth_unit_m: float = 0.0,
    ) -> None:
        super().__init__(path, require_depth)
        self.raw_camera, stated = read_camera_yaml(path / "camera.yaml")
        self.camera = self.raw_camera.without_distortion()
        truth = path / "groundtruth.txt"
        self._set_truth(read_groundtruth(truth) if truth.is_file() else GroundTruth())
        color_ns, color_names = read_listing(path / "rgb.txt")
        if len(color_ns) == 0:
            raise DataError(f"{path / 'rgb.txt'} lists no image")
        depth_ns, depth_names = self._depth_listing()
        within = f"within {slop_ns / 1e6:g} ms"
        pairs = self._choose_pairs(
            color_ns, depth_ns, slop_ns, lambda i: f"{color_names[i]}: no depth {within}",
            f"none of {len(color_ns)} color and {len(depth_ns)} depth stamps lie {within}")
        self._color_names = [color_names[i] for i, _ in pairs]
        self._depth = [
            None if j is None else (int(depth_ns[j]), depth_names[j]) for _, j in pairs]
        self._set_unit(depth_unit(path / "camera.yaml", stated, depth_unit_m, [
            partial(self._read_depth, depth[1]) for depth in self._depth if depth is not None]))

    def _depth_listing(self) -> Listing:
        path = self.path / "depth.txt"
        if path.is_file():
            return read_listing(path)
        if self.require_depth:
            raise DataError(f"{path} is missing: an RGB-D sequence lists its depth images there")
        return np.empty(0, np.int64), []

    def _readers(self, start: int, stop: int) -> Iterator[PairReader]:
        for index in range(start, stop):
            depth = self._depth[index]
            stamp_ns = int(self.stamps_ns[index]) if depth is None else depth[0]
            read_depth: Callable[[], npt.NDArray[Any]] | None = None
            if depth is not None:
                read_depth = partial(self._read_depth, depth[1])
            read_color = partial(self._read_color, self._color_names[index])
            yield PairReader(index, stamp_ns, read_color, read_depth)

    def _read_color(self, name: str) -> tuple[bytes | UInt8Image, str]:
        data = self._bytes(name)
        return data, check_complete(data)

    def _read_depth(self, name: str) -> npt.NDArray[Any]:
        return decode_depth_png(self._bytes(name))

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {name}: {error}") from error


class TumWriter:
    """Writes a TUM folder image by image; the folder appears when the `with` block ends well.

    Args:
        out: the folder, must not exist.
        camera: camera of the images as written, with its distortion.
        groundtruth: camera poses to store, or None.
        depth_scale: stored depth units per meter.

    Raises:
        DataError: `out` exists or cannot be written.
    """

    def __init__(
        self, out: Path, camera: Camera, groundtruth: Trajectory | None = None,
        depth_scale: float = TUM_DEPTH_SCALE,
    ) -> None:
        self.out, self.camera, self.groundtruth = Path(out), camera, groundtruth
        self.depth_scale = depth_scale
        self.count = 0
        self._stack = ExitStack()

    def __enter__(self) -> TumWriter:
        """Create the hidden folder that becomes `out`."""
        with ExitStack() as stack:
            self._folder = stack.enter_context(staged_folder(self.out))
            (self._folder / "rgb").mkdir(parents=True)
            (self._folder / "depth").mkdir()
            write_camera_yaml(self._folder / "camera.yaml", self.camera, self.depth_scale)
            if self.groundtruth is not None:
                write_tum(self._folder / "groundtruth.txt", self.groundtruth)
            self._rgb = self._open_listing(stack, "rgb.txt", "color images")
            self._depth = self._open_listing(stack, "depth.txt", "depth images")
            self._stack = stack.pop_all()
        return self

    def _open_listing(self, stack: ExitStack, name: str, title: str) -> TextIO:
        file = stack.enter_context((self._folder / name).open("w"))
        file.write(f"# {title}\n# timestamp filename\n")
        return file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish the folder, or remove it after an exception."""
        self._stack.__exit__(kind, error, trace)

    def add(
        self, stamp_ns: int, color: bytes | UInt8Image, depth: npt.NDArray[np.uint16] | None,
        depth_stamp_ns: int | None = None, jpeg_quality: int = 95,
    ) -> None:
        """Write one pair.

        Args:
            stamp_ns: stamp of the color image.
            color: JPEG or PNG bytes, stored as they are, or an image.
            depth: (H, W) stored values at `depth_scale`, or None.
            depth_stamp_ns: stamp of the depth image; None = that of color.
            jpeg_quality: 1..100 for images; 0 stores PNG without loss.
        """
        if isinstance(color, bytes):
            data = color
        else:
            data = encode_jpeg(color, jpeg_quality) if jpeg_quality else encode_png(color)
        suffix = "jpg" if check_complete(data) == "jpeg" else "png"
        self._write(self._rgb, "rgb", stamp_ns, suffix, data)
        if depth is not None:
            stamp_ns = stamp_ns if depth_stamp_ns is None else depth_stamp_ns
            self._write(self._depth, "depth", stamp_ns, "png", encode_png(depth))
        self.count += 1

    def _write(
        self, listing: TextIO, folder: str, stamp_ns: int, suffix: str, data: bytes
    ) -> None:
        text = stamp_to_text(stamp_ns)
        name = f"{folder}/{text}.{suffix}"
        (self._folder / name).write_bytes(data)
        listing.write(f"{text} {name}\n")


def write_tum_folder(
    out: Path, frames: Iterable[Frame], groundtruth: Trajectory | None, camera: Camera, *,
    depth_scale: float = TUM_DEPTH_SCALE, jpeg_quality: int = 95,
) -> int:
    """Write frames to a new TUM folder, one at a time.

    Args:
        out: folder to create.
        frames: images as `camera` sees them.
        groundtruth: camera poses, or None.
        camera: written to `camera.yaml`.
        depth_scale: stored depth units per meter.
        jpeg_quality: 1..100; 0 writes PNG without loss.

    Returns:
        Number of frames written.

    Raises:
        DataError: `out` exists or cannot be written.
    """
    with TumWriter(out, camera, groundtruth, depth_scale) as writer:
        for frame in frames:
            depth = None
            if frame.depth_m is not None:
                depth = depth_to_stored(frame.depth_m, depth_scale)
            writer.add(frame.stamp_ns, frame.image, depth, jpeg_quality=jpeg_quality)
    return writer.count
