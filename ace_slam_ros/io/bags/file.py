"""An open bag, whatever its format: topics, and messages as CDR bytes in order of recording."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from ...core.errors import DataError

try:
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_typestore
except ImportError as missing:  # rosdep does not know it
    raise DataError(f"bags need the package rosbags: pip install rosbags ({missing})") from missing

TYPES = get_typestore(Stores.ROS2_JAZZY)


class BagFile:
    """The files of one recording, open for reading.

    Attributes:
        types: topic -> message type, of topics that hold messages.
        counts: topic -> number of messages.
    """

    def __init__(self, path: Path, readers: list[Any]) -> None:
        self.path, self._readers = path, readers
        self.types: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        for connection in (c for reader in readers for c in reader.connections if c.msgcount):
            self.types[connection.topic] = connection.msgtype
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
                yield connection.topic, time_ns, bytes(raw)
        except Exception as error:  # damaged files surface as many types from the parsers below
            raise _damaged(self.path, error) from error


@contextmanager
def open_bag(path: Path) -> Iterator[BagFile]:
    """Open a bag.

    Raises:
        DataError: the bag is damaged.
    """
    with ExitStack() as stack:
        try:
            readers = [stack.enter_context(Reader(path))]
        except Exception as error:  # as above
            raise _damaged(path, error) from error
        yield BagFile(path, readers)


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
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
    """Stamp of the std_msgs/Header that leads a serialized message; `time_ns` if it has none."""
    if len(raw) < 12:
        return time_ns
    seconds, rest = struct.unpack_from("<iI" if raw[1] else ">iI", raw, 4)
    return int(seconds) * 1_000_000_000 + int(rest) or time_ns
