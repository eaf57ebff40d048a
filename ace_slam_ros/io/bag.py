"""rosbag2 reader (mcap, sqlite3): indexes stamps first, then streams image pairs."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.errors import CalibrationError, DataError
from .bag_topics import CAMERA_INFO, COMPRESSED, Topics, choose_topics, no_depth_message
from .calibration import camera_from_message, has_size, info_of_stream
from .datasets.depth_unit import DepthUnit
from .datasets.groundtruth import GroundTruth, clean
from .depth import decode_compressed_depth, depth_array
from .images import check_complete, decode_compressed_image, decode_image
from .pairs import PairReader, PairSource
from .registration import Registration, View, registration_of
from .registration.bag import (
    TF,
    camera_of_depth,
    depth_info_topic,
    header_frame,
    pose_between,
    static_topics,
)

if TYPE_CHECKING:
    from ..core.data.camera import Camera
    from ..core.geometry.arrays import UInt8Image

try:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_typestore
except ImportError as missing:  # rosdep does not know it
    raise DataError(f"bags need the package rosbags: pip install rosbags ({missing})") from missing

TYPES = get_typestore(Stores.ROS2_JAZZY)

#: Integer depth of bags is in millimeters, unless told otherwise.
_DEPTH_SCALE = 1000.0

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
    """A rosbag2 folder, or a single .mcap or .db3 file.

    Args:
        path: the bag.
        require_depth: deliver only frames with usable depth.
        slop_ns: largest stamp gap of a pair.
        color_topic: Image or CompressedImage; None = by name.
        depth_topic: the same for depth.
        info_topic: CameraInfo of the color stream; None = the color topic's sibling.
        groundtruth_topic: PoseStamped of the camera's optical frame.
        depth_unit_m: meters per unit of integer depth; 0 = millimeters.

    Raises:
        DataError: the bag is damaged or empty, or color, depth or camera_info are missing.
        CalibrationError: camera_info holds no usable calibration.
    """

    def __init__(
        self, path: Path, *, require_depth: bool = True, slop_ns: int = 20_000_000,
        color_topic: str | None = None, depth_topic: str | None = None,
        info_topic: str | None = None, groundtruth_topic: str | None = None,
        depth_unit_m: float = 0.0,
    ) -> None:
        super().__init__(path, require_depth)
        self.unit = DepthUnit(_DEPTH_SCALE, "its encoding")
        if depth_unit_m > 0.0:
            self._set_unit(DepthUnit(1.0 / depth_unit_m, "sensor.depth_unit_m"))
        wanted = {
            "color": color_topic, "depth": depth_topic, "info": info_topic,
            "groundtruth": groundtruth_topic,
        }
        with _open(path) as reader:
            self.types = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
            self.topics = self._choose(wanted)
            index = self._scan(reader)
        self.raw_camera = self._camera(index.info)
        self.camera = self.raw_camera.without_distortion()
        self._set_registration(self._registration())
        self._set_truth(_truth(index.poses))
        self._pair(index, slop_ns)

    @property
    def recorded_ns(self) -> tuple[int, int]:
        """Times at which the first and the last image of the pairs were recorded."""
        times = [key[1] for key in (*self._color, *self._depth) if key is not None]
        return min(times), max(times)

    def _choose(self, wanted: dict[str, str | None]) -> Topics:
        if not self.types:
            raise DataError(f"{self.path} holds no messages: record the camera's topics again")
        try:
            topics = choose_topics(self.types, wanted)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error
        if self.require_depth and topics.depth is None:
            raise DataError(f"{self.path}: {no_depth_message(self.types)}")
        return topics

    def _scan(self, reader: Reader) -> _Index:
        """Read the bag once and keep stamps, the first calibration and the poses."""
        index = _Index([], [], None, [])
        info: bytes | None = None
        topics = self.topics
        for topic, time_ns, raw in _messages(self.path, reader, [
            topics.color, topics.depth, topics.info, topics.groundtruth
        ]):
            if topic == topics.color:
                index.color.append((header_stamp_ns(raw, time_ns), time_ns))
            elif topic == topics.depth:
                index.depth.append((header_stamp_ns(raw, time_ns), time_ns))
            elif topic == topics.groundtruth:
                index.poses.append(raw)
            elif info is None:
                info = raw
        return _Index(index.color, index.depth, info, index.poses)

    def _camera(self, raw: bytes | None) -> Camera:
        if raw is None:
            raise DataError(f"{self.path}: no message on {self.topics.info}")
        info = _decode(raw, "sensor_msgs/msg/CameraInfo")
        try:
            size = None if has_size(info) else self._first_size()
            return camera_from_message(info_of_stream(info, self.topics.color), size)
        except CalibrationError as error:
            raise CalibrationError(f"{self.path}: {self.topics.info}: {error}") from error

    def _first_size(self) -> tuple[int, int] | None:
        """Width and height of the first color image; None when it cannot be read."""
        with _open(self.path) as reader, contextlib.suppress(DataError):
            for _, _, raw in _messages(self.path, reader, [self.topics.color]):
                color, color_format = self._read_color(raw)
                if isinstance(color, bytes):
                    color = decode_compressed_image(color, color_format)
                return color.shape[1], color.shape[0]
        return None

    def _registration(self) -> tuple[Registration | None, str]:
        """Judge whether depth is registered to color."""
        color, depth = self.topics.color, self.topics.depth
        if depth is None:
            return None, ""
        depth_info, static = depth_info_topic(depth, self.types), static_topics(self.types)
        first, frames = dict[str, bytes](), list[Any]()
        with _open(self.path) as reader:
            for topic, _, raw in _messages(self.path, reader, [color, depth, depth_info]):
                first.setdefault(topic, raw)
                if len(first) == 2 + (depth_info is not None):
                    break
            if static:  # of no topic at all every message would come
                frames = [_decode(raw, TF) for _, _, raw in _messages(
                    self.path, reader, [*static])]
        views = [View(header_frame(first.get(topic, b""))) for topic in (color, depth)]
        camera = None
        if depth_info is not None and depth_info in first:
            camera = camera_of_depth(_decode(first[depth_info], CAMERA_INFO), depth, None)
        return registration_of(
            View(views[0].frame, self.raw_camera), View(views[1].frame, camera),
            pose_between(frames, views[0].frame, views[1].frame))

    def _pair(self, index: _Index, slop_ns: int) -> None:
        color, depth = _increasing(index.color), _increasing(index.depth)
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
        with _open(self.path) as reader:
            for topic, time_ns, raw in _messages(
                self.path, reader, [self.topics.color, self.topics.depth],
                max(min(times) - 1, 0), max(times) + 1,  # rosbags 0.11.0 left out the start itself
            ):
                role = "color" if topic == self.topics.color else "depth"
                found = missing.pop((role, (header_stamp_ns(raw, time_ns), time_ns)), None)
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
        return PairReader(index, key[0], partial(self._read_color, color), read_depth)

    def _read_color(self, raw: bytes) -> tuple[bytes | UInt8Image, str]:
        kind = self.types[self.topics.color]
        message = _decode(raw, kind)
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
        message = _decode(raw, kind)
        if kind == COMPRESSED:
            return decode_compressed_depth(message.data, message.format)[0]
        return depth_array(
            message.data, message.encoding, message.width, message.height, message.step,
            message.is_bigendian,
        )


@contextmanager
def _open(path: Path) -> Iterator[Reader]:
    reader = None
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # damaged files surface as many types from the parsers below
        raise _damaged(path, error) from error
    try:
        yield reader
    finally:
        reader.close()


def _messages(
    path: Path, reader: Reader, topics: list[str | None], start_ns: int | None = None,
    stop_ns: int | None = None,
) -> Iterator[tuple[str, int, bytes]]:
    """Yield (topic, time of recording ns, CDR bytes) in order of recording."""
    connections: list[Connection] = [c for c in reader.connections if c.topic in topics]
    try:
        for connection, time_ns, raw in reader.messages(connections, start_ns, stop_ns):
            yield connection.topic, time_ns, raw
    except Exception as error:  # as in `_open`
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{path} is not a readable rosbag2 ({reason}): if recording was cut off, repair it with "
        "`ros2 bag reindex` or `mcap recover`"
    )


def _decode(raw: bytes, kind: str) -> Any:
    try:
        return TYPES.deserialize_cdr(raw, kind)
    except Exception as error:  # a damaged message can break the generated parser anywhere
        raise DataError(f"damaged {kind} message: {error}") from error


def header_stamp_ns(raw: bytes, time_ns: int) -> int:
    """Stamp of the std_msgs/Header that leads a serialized message; `time_ns` if it has none."""
    if len(raw) < 12:
        return time_ns
    seconds, rest = struct.unpack_from("<iI" if raw[1] else ">iI", raw, 4)
    return int(seconds) * 1_000_000_000 + int(rest) or time_ns


def _increasing(keys: list[Key]) -> list[Key]:
    """Sort by stamp; of a repeated stamp the first recorded counts."""
    unique: dict[int, Key] = {}
    for key in keys:
        unique.setdefault(key[0], key)
    return [unique[stamp] for stamp in sorted(unique)]


def _truth(messages: list[bytes]) -> GroundTruth:
    rows = []
    for raw in messages:
        message = _decode(raw, "geometry_msgs/msg/PoseStamped")
        stamp = message.header.stamp
        p, q = message.pose.position, message.pose.orientation
        rows.append((stamp.sec * 1_000_000_000 + stamp.nanosec,
                     np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])))
    return clean(rows)
