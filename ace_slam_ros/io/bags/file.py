"""An open bag, whatever its format: topics, and messages as CDR bytes in order of recording."""

from __future__ import annotations

import heapq
import shutil
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...core.errors import DataError

if TYPE_CHECKING:
    from contextlib import ExitStack

try:
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader

    # The name that zstd has in this Python is known there.
    from rosbags.rosbag2.reader import zstd  # type: ignore[attr-defined]
    from rosbags.serde import SerdeError
    from rosbags.typesys import Stores, get_typestore
except ImportError as missing:  # rosdep does not know it
    raise DataError(f"bags need the package rosbags: pip install rosbags ({missing})") from missing

TYPES = get_typestore(Stores.ROS2_JAZZY)
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POSE = "geometry_msgs/msg/PoseStamped"
TF = "tf2_msgs/msg/TFMessage"

_ZSTD = b"\x28\xb5\x2f\xfd"
#: Types of ROS 1 that have another name in ROS 2, and the same fields.
_RENAMED = {"tf/msg/tfMessage": TF}


class BagFile:
    """The files of one recording, open for reading.

    Attributes:
        types: topic -> message type, of topics that hold messages.
        counts: topic -> number of messages.
        device_names: what the recorder called the cameras; here nothing.
    """

    device_names: tuple[str, ...] = ()

    def __init__(self, path: Path, readers: list[Any]) -> None:
        self.path, self._readers = path, readers
        self.types: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        for connection in (c for reader in readers for c in reader.connections if c.msgcount):
            self.types[connection.topic] = _RENAMED.get(connection.msgtype, connection.msgtype)
            self.counts[connection.topic] += connection.msgcount

    def messages(
        self, topics: Collection[str | None], start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, time of recording in ns, CDR bytes) in order of recording.

        Args:
            topics: the wanted ones; None among them is nothing.
            start_ns, stop_ns: only what was recorded from then on, and before then.

        Raises:
            DataError: the bag is damaged.
        """
        parts = []
        for reader in self._readers:
            if chosen := [c for c in reader.connections if c.topic in topics]:
                parts.append(reader.messages(chosen, start_ns, stop_ns))
        try:
            for connection, time_ns, raw in heapq.merge(*parts, key=itemgetter(1)):
                kind = self.types[connection.topic]
                yield connection.topic, time_ns, _plain(
                    raw, kind, isinstance(connection.owner, Reader1))
        except Exception as error:  # damaged files surface as many types from the parsers below
            raise damaged(self.path, error) from error


def _plain(raw: bytes, kind: str, is_ros1: bool) -> bytes:
    """Return a message as CDR: unpacked, and converted from ROS 1."""
    if is_ros1:
        try:
            return bytes(TYPES.ros1_to_cdr(raw, kind))
        except SerdeError:
            if kind != IMAGE:
                raise
            # librealsense appends the depth unit, which the message's definition does not know.
            return bytes(TYPES.ros1_to_cdr(raw[:-4], kind))
    # Messages packed one by one are only told by metadata.yaml; CDR never begins like this.
    return zstd.decompress(raw) if raw[:4] == _ZSTD else bytes(raw)


def open_reader(path: Path, stack: ExitStack) -> Any:
    """Return the reader of one file or folder; what it unpacks lives as long as `stack`."""
    if _is_ros1(path):
        return Reader1(path)
    if path.suffix != ".zstd" or path.is_dir():
        return Reader(path)
    # Only files that metadata.yaml lists are unpacked by the library itself.
    unpacked = Path(stack.enter_context(TemporaryDirectory(prefix="ace_slam_"))) / path.stem
    with zstd.open(path, "rb") as packed, unpacked.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return Reader(unpacked)


def _is_ros1(path: Path) -> bool:
    """Tell whether a path is a bag of ROS 1: people name folders of ROS 2 `x.bag` as well."""
    return path.suffix == ".bag" and not path.is_dir()


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error that says that a bag cannot be read, why, and how it is repaired."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if _is_ros1(path):
        return DataError(f"{path} is not a readable ROS 1 bag ({reason}): if recording was cut "
                         "off, repair it with `rosbag reindex`")
    return DataError(
        f"{path} is not a readable rosbag2 ({reason}): if recording was cut off, repair it with "
        "`ros2 bag reindex` or `mcap recover`"
    )


def decode(raw: bytes, kind: str) -> Any:
    """Decode a message.

    Raises:
        DataError: it is damaged.
    """
    try:
        return TYPES.deserialize_cdr(raw, kind)
    except Exception as error:  # a damaged message can break the generated parser anywhere
        raise DataError(f"damaged {kind} message: {error}") from error


def header_stamp_ns(raw: bytes, time_ns: int) -> int:
    """Stamp of the std_msgs/Header that leads a serialized message; `time_ns` if it is cut off."""
    if len(raw) < 12:
        return time_ns
    seconds, rest = struct.unpack_from("<iI" if raw[1] else ">iI", raw, 4)
    return int(seconds) * 1_000_000_000 + int(rest)
