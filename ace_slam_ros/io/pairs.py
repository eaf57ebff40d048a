"""Pairs of color and depth: association by stamp, decoding, rectification, skipping."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ..core.data.camera import Camera, nearest_map, rectification_maps
from ..core.data.frame import Frame
from ..core.data.trajectory import Trajectory, stamp_to_text
from ..core.errors import DataError
from .depth import ROS_UNITS, decode_depth, usable_depth
from .images import check_complete, decode_compressed_image
from .source import SkipLog

if TYPE_CHECKING:
    from ..core.geometry.arrays import Float32Image, Int64Array, UInt8Image
    from .datasets.depth_unit import DepthUnit
    from .datasets.groundtruth import GroundTruth
    from .registration import Registration

log = logging.getLogger(__name__)

Made = TypeVar("Made")


@dataclass(frozen=True)
class RawFrame:
    """One pair as recorded: distorted, color still compressed where it was recorded so.

    Attributes:
        stamp_ns, depth_stamp_ns: stamps of color and depth.
        color: JPEG or PNG bytes, or a decoded image ((H, W, 3) RGB or (H, W) gray uint8).
        color_format: the ROS `format` of the bytes; empty for a decoded image.
        depth: (H, W) stored values, uint16 or float32 meters; None without depth.
        depth_scale: stored units per meter of uint16 depth.
    """

    stamp_ns: int
    depth_stamp_ns: int
    color: bytes | UInt8Image
    color_format: str
    depth: npt.NDArray[Any] | None
    depth_scale: float

    def image(self) -> UInt8Image:
        """Return the color image decoded, still distorted."""
        if isinstance(self.color, bytes):
            return decode_compressed_image(self.color, self.color_format)
        return self.color

    def depth_m(self) -> Float32Image | None:
        """Return depth in meters (H, W), 0 = missing, still distorted."""
        if self.depth is None:
            return None
        return decode_depth(self.depth, self.depth_encoding, self.depth_scale)

    @property
    def depth_encoding(self) -> str:
        """As which ROS encoding depth is stored."""
        integer = self.depth is not None and self.depth.dtype == np.uint16
        return "16UC1" if integer else "32FC1"


class Unusable(DataError):
    """One pair cannot be used; `reason` groups the skips."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason beside the message."""
        super().__init__(message)
        self.reason = reason


def associate(color_ns: Int64Array, depth_ns: Int64Array, slop_ns: int) -> Int64Array:
    """Pair stamps one to one, closest pairs first.

    Args:
        color_ns: (N,) increasing stamps.
        depth_ns: (M,) increasing stamps.
        slop_ns: largest gap of a pair, inclusive.

    Returns:
        (N,) index of the depth image of each color image, -1 = none.
    """
    first = np.searchsorted(depth_ns, color_ns - slop_ns, side="left")
    last = np.searchsorted(depth_ns, color_ns + slop_ns, side="right")
    candidates = sorted(
        (abs(int(depth_ns[j]) - int(color_ns[i])), i, j)
        for i in range(len(color_ns)) for j in range(int(first[i]), int(last[i]))
    )
    partner = np.full(len(color_ns), -1, np.int64)
    taken: set[int] = set()
    for _, i, j in candidates:
        if partner[i] < 0 and j not in taken:
            partner[i] = j
            taken.add(j)
    return partner


def rectify(
    camera: Camera, image: UInt8Image, depth_m: Float32Image | None
) -> tuple[UInt8Image, Float32Image | None]:
    """Undistort a pair onto the camera's own pinhole; depth by nearest neighbor.

    Interpolating depth would invent surfaces between foreground and background, and shrink depth
    at holes. Pixels without a source are black, with depth 0.
    """
    if not camera.is_distorted:
        return image, depth_m
    map_xy, map_fraction = rectification_maps(camera)
    straight = np.asarray(cv2.remap(image, map_xy, map_fraction, cv2.INTER_LINEAR), np.uint8)
    if depth_m is None:
        return straight, None
    moved = cv2.remap(depth_m, nearest_map(camera), None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
    return straight, np.asarray(moved, np.float32)


def rectified(
    camera: Camera, image: UInt8Image, depth_m: Float32Image | None,
    registration: Registration | None,
) -> tuple[UInt8Image, Float32Image | None]:
    """Do as `rectify`, with depth that is first moved to the color image where it must be."""
    if registration is None or depth_m is None:
        return rectify(camera, image, depth_m)
    return rectify(camera, image, None)[0], registration.apply(depth_m)


@dataclass(frozen=True)
class PairReader:
    """How to read one pair: both functions raise DataError when the image is damaged.

    Attributes:
        stamp_ns: stamp of the color image.
        depth_stamp_ns: stamp of the depth image, of the color image without one.
        color: returns (bytes or decoded image, ROS format of the bytes).
        depth: returns the stored depth values; None without a depth image.
    """

    stamp_ns: int
    depth_stamp_ns: int
    color: Callable[[], tuple[bytes | UInt8Image, str]]
    depth: Callable[[], npt.NDArray[Any]] | None


class PairSource(ABC):
    """Base of the readers: subclasses index the pairs and read one; this class makes frames.

    Attributes: those of `Source`, and
        groundtruth_dropped: rows of ground truth that were left out, by reason;
        unit: the unit of uint16 depth;
        unit_advice: what to do about depth of another unit.
    """

    name: str
    path: Path
    camera: Camera
    raw_camera: Camera
    groundtruth: Trajectory | None
    groundtruth_dropped: dict[str, int]
    stamps_ns: Int64Array
    unit: DepthUnit
    depth_late_ms: float
    unit_advice: str = ROS_UNITS
    is_live = False
    device_names: tuple[str, ...] = ()

    def __init__(self, path: Path, require_depth: bool) -> None:
        """Remember where the sequence lies and what a usable frame is."""
        self.path = path
        self.name = path.resolve().stem if path.is_file() else path.resolve().name
        self.require_depth = require_depth
        self.skips = SkipLog()
        self.choice: dict[str, str] = {}
        self.assumptions: dict[str, str] = {}
        self.registration: Registration | None = None
        self.depth_late_ms = 0.0

    @property
    def depth_scale(self) -> float:
        """Stored units per meter of uint16 depth."""
        return self.unit.per_meter

    def assume(self, what: str, text: str) -> None:
        """Remember what nobody told and was assumed; it is logged, and written to the summary."""
        if what not in self.assumptions:
            log.warning("%s: %s: %s", self.name, what, text)
        self.assumptions[what] = text

    def summary(self) -> dict[str, Any]:
        """Return what a summary says of a recording: how it was read, and what was assumed."""
        poses = 0 if self.groundtruth is None else len(self.groundtruth)
        return {
            "topics": dict(self.choice), "depth_unit": self.unit.summary(),
            "depth_late_ms": self.depth_late_ms,
            "assumptions": dict(self.assumptions),
            "groundtruth": {"poses": poses, "dropped": dict(self.groundtruth_dropped)}}

    def _set_registration(self, judged: tuple[Registration | None, str]) -> None:
        """Take how depth comes into the color image, and say what is not as it should be."""
        self.registration, said = judged
        if said:
            self.assume("registration of depth", said)

    def _set_truth(self, truth: GroundTruth) -> None:
        """Take ground truth, and what was dropped of it."""
        self.groundtruth, self.groundtruth_dropped = truth.trajectory, truth.dropped

    def _set_unit(self, unit: DepthUnit) -> None:
        """Take the unit of depth, and say it where it was guessed."""
        self.unit = unit
        if unit.guessed:
            self.assume("unit of depth", f"{1.0 / unit.per_meter:g} m; {unit.told_by}")
        told = "guessed" if unit.guessed else f"what {unit.told_by} says"
        self.unit_advice = (
            f"depth_scale {unit.per_meter:g} (stored units per meter) is {told}: correct it")

    @abstractmethod
    def _readers(self, start: int, stop: int) -> Iterator[PairReader]:
        """Yield the pairs start..stop-1 in stamp order, without decoding them."""

    def _choose_pairs(
        self, color_ns: Int64Array, depth_ns: Int64Array, slop_ns: int,
        without_depth: Callable[[int], str], no_pair: str,
    ) -> list[tuple[int, int | None]]:
        """Choose the pairs and set `stamps_ns`; color alone counts where depth is not required.

        Args:
            color_ns, depth_ns, slop_ns: see `associate`.
            without_depth: says of a color image, by index, that it is left out for want of depth.
            no_pair: says that there is no pair.

        Returns:
            For each pair the index of its color image and of its depth image, None without.

        Raises:
            DataError: there is no pair.
        """
        partner = associate(color_ns, depth_ns, slop_ns).tolist()
        pairs = [(i, j if j >= 0 else None) for i, j in enumerate(partner)]
        if self.require_depth:
            for i, j in pairs:
                if j is None:
                    self.skips.add("color without depth", without_depth(i), int(color_ns[i]),
                                   logging.INFO)
            pairs = [pair for pair in pairs if pair[1] is not None]
        if not pairs:
            raise DataError(f"no usable image pair in {self.path}: {no_pair}")
        self.stamps_ns = color_ns[[i for i, _ in pairs]]
        late_ns = [int(depth_ns[j] - color_ns[i]) for i, j in pairs if j is not None]
        self.depth_late_ms = round(float(np.median(late_ns)) * 1e-6, 2) if late_ns else 0.0
        return pairs

    def __len__(self) -> int:
        """Return the number of synchronized pairs."""
        return len(self.stamps_ns)

    def __iter__(self) -> Iterator[Frame]:
        """Yield usable frames in stamp order; DataError when the whole sequence holds none.

        After the first one, a depth image that measured nothing gives a frame without depth.
        """
        needs_depth = self.require_depth

        def make(reader: PairReader) -> Frame:
            nonlocal needs_depth
            frame, needs_depth = self._frame(reader, needs_depth), False
            return frame
        return self._usable(make, 0, len(self))

    def raw_frames(self, start: int = 0, stop: int | None = None) -> Iterator[RawFrame]:
        """Yield the readable pairs start..stop-1 as recorded; DataError when there is none.

        Where depth is of another camera, both are as `Frame` has them, rectified and registered:
        one camera, `raw_frames_camera`, is of both.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        make = self._raw_frame if self.registration is None else self._registered_frame
        return self._usable(make, start, stop)

    @property
    def raw_frames_camera(self) -> Camera:
        """Camera of the images of `raw_frames`."""
        return self.raw_camera if self.registration is None else self.camera

    def _registered_frame(self, reader: PairReader) -> RawFrame:
        frame = self._frame(reader)
        return RawFrame(frame.stamp_ns, reader.depth_stamp_ns, frame.image, "", frame.depth_m, 1.0)

    def __getitem__(self, index: int) -> Frame:
        """Return the frame of one pair; DataError when it is not usable."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        index %= len(self)
        for reader in self._readers(index, index + 1):
            return self._frame(reader)
        raise DataError(f"{self.path}: pair {index} can no longer be read")

    def _usable(
        self, make: Callable[[PairReader], Made], start: int, stop: int
    ) -> Iterator[Made]:
        delivered = 0
        for reader in self._readers(start, stop):
            try:
                made = make(reader)
            except DataError as error:
                reason = error.reason if isinstance(error, Unusable) else "unreadable pair"
                self.skips.add(reason, str(error), reader.stamp_ns)
                continue
            delivered += 1
            yield made
        if not delivered:
            raise DataError(
                f"no usable image pair in {self.path}: {self.skips.total} skipped: "
                f"{self.skips.summary()}"
            )

    def _raw_frame(self, reader: PairReader) -> RawFrame:
        """Read one pair; sizes are checked, color bytes only for completeness."""
        size = (self.raw_camera.height, self.raw_camera.width)
        stamp_ns = reader.stamp_ns
        label = f"{self.path.name} at {stamp_to_text(stamp_ns)} s"
        with _unusable("damaged color image", label):
            color, color_format = reader.color()
            if isinstance(color, bytes):
                check_complete(color)
        if not isinstance(color, bytes):
            _check_size("color image", label, color.shape, size)
        depth = None
        try:
            if reader.depth is not None:
                with _unusable("damaged depth image", label):
                    depth = reader.depth()
                _check_size("depth image", label, depth.shape, self._depth_size())
        except Unusable as error:
            if self.require_depth:
                raise
            self.skips.add(error.reason, str(error), stamp_ns)
            depth = None
        return RawFrame(
            stamp_ns, reader.depth_stamp_ns, color, color_format, depth, self.depth_scale)

    def _depth_size(self) -> tuple[int, int]:
        """Height and width that depth images must have."""
        camera = self.raw_camera
        if self.registration is not None:
            camera = self.registration.depth_camera
        return camera.height, camera.width

    def _frame(self, reader: PairReader, needs_depth: bool = True) -> Frame:
        """Read, decode and rectify one pair."""
        raw = self._raw_frame(reader)
        label = f"{self.path.name} at {stamp_to_text(raw.stamp_ns)} s"
        with _unusable("damaged color image", label):
            image = raw.image()
        _check_size(
            "color image", label, image.shape, (self.raw_camera.height, self.raw_camera.width))
        image, depth_m = rectified(
            self.raw_camera, image,
            self._usable_depth(raw, label, needs_depth and self.require_depth), self.registration)
        return Frame(raw.stamp_ns, image, depth_m, self.camera,
                     depth_late_s=(raw.depth_stamp_ns - raw.stamp_ns) * 1e-9)

    def _usable_depth(self, raw: RawFrame, label: str, needed: bool) -> Float32Image | None:
        """Return depth in meters, still distorted; None where it is not needed nor usable."""
        try:
            with _unusable("no usable depth", label):
                return usable_depth(
                    raw.depth_m(), raw.depth_encoding, required=needed, advice=self.unit_advice)
        except Unusable as error:
            if self.require_depth:
                raise
            self.skips.add(error.reason, str(error), raw.stamp_ns)
            return None


@contextmanager
def _unusable(reason: str, label: str) -> Iterator[None]:
    """Turn a DataError into a counted reason and say which pair it was."""
    try:
        yield
    except DataError as error:
        raise Unusable(reason, f"{label}: {error}") from error


def _check_size(what: str, label: str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if shape[:2] != size:
        raise Unusable(
            f"{what} of another size",
            f"{label}: {what} is {shape[1]}x{shape[0]} but the camera is {size[1]}x{size[0]}: "
            "register depth to color and use the calibration of the color stream",
        )
