"""Conversion between TUM folders and rosbag2, image by image and without touching the lens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..core.data.trajectory import Trajectory
from ..core.errors import DataError
from .bags.source import BagSource
from .bags.writer import BagWriter, DepthEncoding, Storage, Transport
from .calibration import TUM_DEPTH_SCALE
from .depth import depth_to_stored
from .open_source import open_source
from .pairs import PairSource, RawFrame
from .tum import TumWriter

if TYPE_CHECKING:
    from .source import ReadOptions

_MILLIMETERS = 1000.0


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
        out: the folder made.
        kind: "rosbag2" or "TUM folder".
        frames: pairs written.
        skipped: readers' skips by reason.
        groundtruth_poses: poses written, 0 = none.
        depth_encoding: how `out` holds depth: "16UC1", "32FC1", or "PNG at N units/m".
        depth_exact: False when depth was rounded to coarser units or out of their range.
        color_passed_through: True when every JPEG or PNG was copied byte for byte.
        choice: which topics of a bag were chosen, by role, and why; else empty.
    """

    out: Path
    kind: str
    frames: int
    skipped: dict[str, int]
    groundtruth_poses: int
    depth_encoding: str
    depth_exact: bool
    color_passed_through: bool
    choice: dict[str, str]


def convert(
    source: Path, out: Path, *, storage: Storage | None = None,
    transport: Transport | None = None,
    depth_encoding: DepthEncoding | Literal["auto"] | None = None, start_s: float | None = None,
    stop_s: float | None = None, limit: int | None = None, options: ReadOptions | None = None,
    progress: bool = False,
) -> ConversionReport:
    """Convert a TUM folder to a bag, or a bag to a TUM folder.

    Images stay as recorded: distorted, with their calibration; JPEG and PNG color is copied byte
    for byte unless the raw transport asks for pixels. A bag's raw color becomes PNG.

    Args:
        source: TUM folder or rosbag2.
        out: folder to make; must not exist.
        storage: of the bag: mcap (default) or sqlite3.
        transport: of the bag: raw (default) or compressed.
        depth_encoding: of the bag; auto (default) = 16UC1 where that is exact or the transport is
            compressed, else 32FC1.
        start_s: leave out what lies earlier, in seconds after the first pair.
        stop_s: leave out what lies this long after the first pair, or later.
        limit: write at most this many pairs.
        options: topics of a bag by name, and how its images are paired.
        progress: show a progress bar on stderr.

    Raises:
        DataError: the source is not usable, what is said of a bag is said of a folder, or `out`
            exists or cannot be written.
    """
    reader = _opened(source, options, bool(storage or transport or depth_encoding))
    start, stop = _range(reader, start_s, stop_s, limit)
    groundtruth = reader.groundtruth
    if groundtruth is not None and (start, stop) != (0, len(reader)):
        groundtruth = _clip(groundtruth, reader.stamps_ns[start:stop])
    frames = reader.raw_frames(start, stop)
    if progress:
        from tqdm import tqdm

        frames = iter(tqdm(frames, total=stop - start, unit="pair", desc="convert"))
    # The first pair decides the units, and an unusable source must not leave an empty folder.
    first = next(frames)
    frames = chain([first], frames)
    poses = 0 if groundtruth is None else len(groundtruth)
    if isinstance(reader, BagSource):
        made = _to_tum(reader, out, frames, first, groundtruth)
    else:
        if depth_encoding is None or depth_encoding == "auto":
            meters = transport != "compressed" and reader.depth_scale != _MILLIMETERS
            depth_encoding = "32FC1" if meters else "16UC1"
        writer = BagWriter(
            out, reader.raw_frames_camera, groundtruth, storage=storage or "mcap",
            transport=transport or "raw", depth_encoding=depth_encoding)
        made = _to_bag(writer, frames)
    return ConversionReport(
        out=Path(out), skipped=reader.skips.counts, groundtruth_poses=poses,
        choice=reader.choice, **made)


def _opened(source: Path, options: ReadOptions | None, tells_of_bag: bool) -> PairSource:
    """Open what is to be converted; refuse what is said of a bag when none is made."""
    reader = open_source(source, options=options)
    if not isinstance(reader, PairSource):
        raise DataError(f"{source} cannot be converted")
    if tells_of_bag and isinstance(reader, BagSource):
        raise DataError(f"{source} is a bag and becomes a TUM folder: leave out --storage, "
                        "--transport and --depth-encoding, which are of bags")
    return reader


def _to_bag(writer: BagWriter, frames: Iterator[RawFrame]) -> dict[str, Any]:
    exact, passed = True, writer.transport == "compressed"
    inverse = writer.transport == "compressed" and writer.depth_encoding == "32FC1"
    with writer:
        for raw in frames:
            depth_m = raw.depth_m()
            writer.add(
                raw.stamp_ns, raw.color, depth_m, depth_stamp_ns=raw.depth_stamp_ns,
                color_format=raw.color_format,
            )
            passed &= isinstance(raw.color, bytes)
            if raw.depth is not None and writer.depth_encoding == "16UC1":
                exact &= _exact(raw, _MILLIMETERS)
    return {
        "kind": "rosbag2", "frames": writer.count, "depth_encoding": writer.depth_encoding,
        "depth_exact": exact and not inverse, "color_passed_through": passed,
    }


def _to_tum(
    reader: BagSource, out: Path, frames: Iterator[RawFrame], first: RawFrame,
    groundtruth: Trajectory | None,
) -> dict[str, Any]:
    integer = first.depth is not None and first.depth.dtype == np.uint16
    scale = reader.depth_scale if integer else TUM_DEPTH_SCALE
    exact = passed = True
    with TumWriter(out, reader.raw_frames_camera, groundtruth, scale) as writer:
        for raw in frames:
            writer.add(
                raw.stamp_ns, raw.color, _stored(raw, scale), raw.depth_stamp_ns, jpeg_quality=0)
            passed &= isinstance(raw.color, bytes)
            exact &= _exact(raw, scale)
    return {
        "kind": "TUM folder", "frames": writer.count, "depth_exact": exact,
        "depth_encoding": f"PNG at {scale:g} units/m", "color_passed_through": passed,
    }


def _stored(raw: RawFrame, scale: float) -> npt.NDArray[np.uint16] | None:
    """Return depth (H, W) in units of 1/scale meters, untouched when it has these already."""
    if raw.depth is None or (raw.depth.dtype == np.uint16 and raw.depth_scale == scale):
        return raw.depth
    depth_m = raw.depth_m()
    return None if depth_m is None else depth_to_stored(depth_m, scale)


def _exact(raw: RawFrame, scale: float) -> bool:
    """Tell whether depth survives storage in 16 bits at `scale`, to float32 precision."""
    depth_m, stored = raw.depth_m(), _stored(raw, scale)
    if depth_m is None or stored is None or stored is raw.depth:
        return True
    return bool(np.allclose(stored / scale, depth_m, rtol=1e-6, atol=1e-7))


def _range(
    reader: PairSource, start_s: float | None, stop_s: float | None, limit: int | None
) -> tuple[int, int]:
    """Return the pair indices (first, one past the last) of the wanted time."""
    seconds = (reader.stamps_ns - reader.stamps_ns[0]) * 1e-9
    start = 0 if start_s is None else int(np.searchsorted(seconds, start_s))
    stop = len(reader) if stop_s is None else int(np.searchsorted(seconds, stop_s))
    if limit is not None:
        stop = min(stop, start + limit)
    if start >= stop:
        raise DataError(
            f"{reader.path} lasts {seconds[-1]:.1f} s: nothing lies in the wanted interval")
    return start, stop


def _clip(trajectory: Trajectory, stamps_ns: npt.NDArray[np.int64]) -> Trajectory:
    """Keep the poses within half a second of the stamps' interval."""
    margin_ns = 500_000_000
    keep = (trajectory.stamps_ns >= stamps_ns[0] - margin_ns) & (
        trajectory.stamps_ns <= stamps_ns[-1] + margin_ns)
    return Trajectory(trajectory.stamps_ns[keep], trajectory.T_map_cam_N44[keep])
