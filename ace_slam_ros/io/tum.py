"""Sequences in the layout of the TUM RGB-D benchmark: reader and streaming writer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

import numpy as np
import numpy.typing as npt

from ..core.data.trajectory import Trajectory, stamp_to_text, write_tum
from ..core.runtime.staged_folder import staged_folder
from .calibration import TUM_DEPTH_SCALE, read_camera_yaml, write_camera_yaml
from .datasets.folder import FolderSource
from .datasets.tum_layouts import tum_recording
from .depth import depth_to_stored
from .images import check_complete, encode_jpeg, encode_png

if TYPE_CHECKING:
    from ..core.data.camera import Camera
    from ..core.data.frame import Frame
    from ..core.geometry.arrays import UInt8Image
    from .source import ReadOptions


class TumSource(FolderSource):
    """A TUM folder: `rgb.txt`, `depth.txt`, `camera.yaml`, optional `groundtruth.txt`.

    Args:
        path: the folder.
        require_depth: deliver only frames with usable depth.
        options: see `FolderSource`.

    Raises:
        DataError: a topic is named, a listing is missing, malformed or empty, or nothing pairs.
        CalibrationError: `camera.yaml` is missing or wrong, or the unit of depth is not told.
    """

    def __init__(
        self, path: Path, *, require_depth: bool = True, options: ReadOptions | None = None
    ) -> None:
        camera, stated = read_camera_yaml(path / "camera.yaml")
        super().__init__(
            path, tum_recording(path, camera, path / "camera.yaml", stated, require_depth),
            require_depth=require_depth, options=options)


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
