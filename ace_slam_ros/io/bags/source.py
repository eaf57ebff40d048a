"""Bags as sequences: indexes stamps first, then streams image pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CalibrationError, DataError
from ..calibration import camera_from_message, info_of_stream
from ..datasets.depth_unit import MILLIMETERS, DepthUnit
from ..datasets.groundtruth import GroundTruth, clean
from ..depth import decode_compressed_depth, depth_array
from ..images import check_complete, decode_image
from ..pairs import PairReader, PairSource
from ..source import ReadOptions
from ..stamps import ADVICE, stamp_fault
from .depth_place import registration_in
from .file import CAMERA_INFO, COMPRESSED, POSE, decode, header_stamp_ns
from .opening import AnyBag, open_bag
from .streams import Stream, survey
from .topics import TopicNames, Topics, choose_topics, no_depth_message

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import UInt8Image

log = logging.getLogger(__name__)

#: A simulation begins at zero, and its second image comes within this.
_SOON_NS = 1_000_000_000

#: (stamp of the header, time of recording), both ns: finds a message again.
Key = tuple[int, int]


@dataclass(frozen=True)
class _Index:
    """What one pass over a bag leaves behind: keys of the images, calibration, poses."""

    color: list[Key]
    depth: list[Key]
    info: bytes | None
    poses: list[bytes]


class BagSource(PairSource):
    """A bag: a folder with `metadata.yaml`, or a single file.

    Args:
        path: the bag.
        require_depth: deliver only frames with usable depth.
        options: topics by name, the slop of pairs, the unit of integer depth (else millimeters).
        groundtruth_topic: PoseStamped of the camera's optical frame; None = by name.

    Attributes: those of `PairSource`, and
        types: topic -> message type;
        topics: the chosen ones.

    Raises:
        DataError: the bag is damaged or empty, color, depth or camera_info are missing, or it
            cannot be told which of several cameras is meant.
        CalibrationError: camera_info holds no usable calibration.
    """

    def __init__(
        self, path: Path, *, require_depth: bool = True, options: ReadOptions | None = None,
        groundtruth_topic: str | None = None,
    ) -> None:
        super().__init__(path, require_depth)
        options = options or ReadOptions()
        self.unit = DepthUnit(MILLIMETERS, "its encoding")
        if options.depth_unit_m > 0.0:
            self._set_unit(DepthUnit(1.0 / options.depth_unit_m, "sensor.depth_unit_m"))
        self._by_arrival = options.stamps == "arrival"
        wanted = TopicNames(options.color, options.depth, options.info, groundtruth_topic)
        with open_bag(path) as bag:
            self.types = bag.types
            streams = survey(bag)
            self.topics = self._choose(streams, wanted, options.slop_ns)
            index, told = self._scan(bag), bag.device_names
            self.raw_camera = self._camera(index.info, streams[self.topics.color])
            self._set_registration(registration_in(bag, streams, self.topics, self.raw_camera))
        self.choice = self.topics.to_dict()
        self.device_names = (*told, *self._names(streams))
        self.camera = self.raw_camera.without_distortion()
        self._set_truth(_truth(index.poses))
        self._pair(index, options.slop_ns)

    @property
    def recorded_ns(self) -> tuple[int, int]:
        """Times at which the first and the last image of the pairs were recorded."""
        times = [key[1] for key in (*self._color, *self._depth) if key is not None]
        return min(times), max(times)

    def _choose(self, streams: dict[str, Stream], wanted: TopicNames, slop_ns: int) -> Topics:
        if not self.types:
            raise DataError(f"{self.path} holds no messages: record the camera's topics again")
        try:
            topics = choose_topics(streams, wanted, slop_ns)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error
        if self.require_depth and topics.depth is None:
            raise DataError(f"{self.path}: {no_depth_message(streams)}")
        log.info("%s: %s", self.path.name, topics)
        return topics

    def _names(self, streams: dict[str, Stream]) -> tuple[str, ...]:
        """Return what may tell the camera: topics and frames of its images."""
        chosen = [streams[t] for t in (self.topics.color, self.topics.depth) if t]
        return tuple(name for s in chosen for name in (s.topic, s.frame_id) if name)

    def _scan(self, bag: AnyBag) -> _Index:
        """Read the bag once and keep stamps, the first calibration and the poses."""
        index = _Index([], [], None, [])
        info: bytes | None = None
        topics = self.topics
        for topic, time_ns, raw in bag.messages([
            topics.color, topics.depth, topics.info, topics.groundtruth
        ]):
            if topic == topics.color:
                index.color.append(self._key(raw, time_ns))
            elif topic == topics.depth:
                index.depth.append(self._key(raw, time_ns))
            elif topic == topics.groundtruth:
                index.poses.append(raw)
            elif info is None:
                info = raw
        return _Index(index.color, index.depth, info, index.poses)

    def _key(self, raw: bytes, time_ns: int) -> Key:
        return (time_ns if self._by_arrival else header_stamp_ns(raw, time_ns)), time_ns

    def _camera(self, raw: bytes | None, color: Stream) -> Camera:
        if raw is None:
            raise DataError(f"{self.path}: no message on {self.topics.info}")
        info = decode(raw, CAMERA_INFO)
        try:
            size = color.size if all(color.size) else None
            return camera_from_message(info_of_stream(info, self.topics.color), size)
        except CalibrationError as error:
            raise CalibrationError(f"{self.path}: {self.topics.info}: {error}") from error

    def _pair(self, index: _Index, slop_ns: int) -> None:
        color = self._increasing(self.topics.color, index.color)
        depth = self._increasing(self.topics.depth or "", index.depth)
        color_ns = np.array([key[0] for key in color], np.int64)
        depth_ns = np.array([key[0] for key in depth], np.int64)
        within = f"within {slop_ns / 1e6:g} ms"
        pairs = self._choose_pairs(
            color_ns, depth_ns, slop_ns,
            lambda i: f"{self.path.name}: no depth {within} of a color image",
            f"none of {len(color)} messages on {self.topics.color} and {len(depth)} on "
            f"{self.topics.depth} lie {within}")
        self._color = [color[i] for i, _ in pairs]
        self._depth = [None if j is None else depth[j] for _, j in pairs]

    def _increasing(self, topic: str, keys: list[Key]) -> list[Key]:
        """Sort by stamp; of a repeated stamp the first recorded counts.

        Raises:
            DataError: the stamps cannot be used.
        """
        stamps_ns = [key[0] for key in keys]
        if fault := stamp_fault(stamps_ns):
            raise DataError(f"{self.path}: {topic}: {fault}: {ADVICE}")
        unique: dict[int, Key] = {}
        for key in keys:
            unique.setdefault(key[0], key)
        if 0 in unique and len(unique) > 1 and sorted(unique)[1] > _SOON_NS:
            del unique[0]  # not stamped, while all others are
        if len(keys) > len(unique):
            log.warning("%s: %s: %d of %d messages are left out: their stamp is zero or that of "
                        "an earlier one", self.path.name, topic, len(keys) - len(unique),
                        len(keys))
        return [unique[stamp] for stamp in sorted(unique)]

    def _readers(self, start: int, stop: int) -> Iterator[PairReader]:
        """Read the bag forwards; messages wait in memory only until their partner arrives."""
        missing = {("color", self._color[i]): i for i in range(start, stop)}
        missing.update(
            {("depth", key): i for i in range(start, stop) if (key := self._depth[i])})
        if not missing:
            return
        times = [key[1] for _, key in missing]
        waiting: dict[int, dict[str, bytes]] = {}
        current = start
        with open_bag(self.path) as bag:
            for topic, time_ns, raw in bag.messages(
                [self.topics.color, self.topics.depth],
                max(min(times) - 1, 0), max(times) + 1,  # rosbags 0.11.0 left out the start itself
            ):
                role = "color" if topic == self.topics.color else "depth"
                found = missing.pop((role, self._key(raw, time_ns)), None)
                if found is None:
                    continue
                waiting.setdefault(found, {})[role] = raw
                while current in waiting and len(waiting[current]) == self._parts(current):
                    yield self._reader(current, **waiting.pop(current))
                    current += 1
        if current != stop:
            raise DataError(f"{self.path} changed while it was read: open it again")

    def _parts(self, index: int) -> int:
        return 1 if self._depth[index] is None else 2

    def _reader(self, index: int, color: bytes, depth: bytes | None = None) -> PairReader:
        key = self._depth[index] or self._color[index]
        read_depth = None if depth is None else partial(self._read_depth, depth)
        return PairReader(
            int(self.stamps_ns[index]), key[0], partial(self._read_color, color), read_depth)

    def _read_color(self, raw: bytes) -> tuple[bytes | UInt8Image, str]:
        kind = self.types[self.topics.color]
        message = decode(raw, kind)
        if kind == COMPRESSED:
            data = message.data.tobytes()
            check_complete(data)
            return data, str(message.format)
        return decode_image(
            message.data, message.encoding, message.width, message.height, message.step,
            message.is_bigendian,
        ), ""

    def _read_depth(self, raw: bytes) -> npt.NDArray[Any]:
        kind = self.types[self.topics.depth or ""]
        message = decode(raw, kind)
        if kind == COMPRESSED:
            return decode_compressed_depth(message.data, message.format)[0]
        return depth_array(
            message.data, message.encoding, message.width, message.height, message.step,
            message.is_bigendian,
        )


def _truth(messages: list[bytes]) -> GroundTruth:
    rows = []
    for raw in messages:
        message = decode(raw, POSE)
        stamp = message.header.stamp
        p, q = message.pose.position, message.pose.orientation
        rows.append((stamp.sec * 1_000_000_000 + stamp.nanosec,
                     np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])))
    return clean(rows)
