"""The path so far as a message whose cost does not grow with the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Pose, PoseStamped
from nav_msgs.msg import Path
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from ..messages.conversions import stamp_to_ns

_STEP_NS = 100_000_000
_LENGTH = 2000
#: Bytes ahead of a serialized message that say how it is serialized.
_ENCAPSULATION = 4


@dataclass(frozen=True)
class _Entry:
    """One pose of the path; `data` is its share of the serialized message."""

    stamp_ns: int
    pose: PoseStamped
    data: bytes


class PosePath:
    """The poses so far; every other one is dropped when there are too many.

    Each pose is serialized once. rclpy would turn all of them into C again for each message: 15 ms
    for 2000 poses, in which no other thread of the node runs.
    """

    def __init__(self, length: int = _LENGTH) -> None:
        self._length = length
        self._step_ns = _STEP_NS
        self._entries: list[_Entry] = []

    def add(self, header: Header, pose: Pose) -> None:
        """Append a pose unless the last one is too near in time; going back starts anew."""
        stamp_ns = stamp_to_ns(header.stamp)
        if self._entries:
            gap_ns = stamp_ns - self._entries[-1].stamp_ns
            if gap_ns < 0:
                self._entries.clear()
            elif gap_ns < self._step_ns:
                return
        stamped = PoseStamped(header=header, pose=pose)
        self._entries.append(
            _Entry(stamp_ns, stamped, serialize_message(stamped)[_ENCAPSULATION:]))
        if len(self._entries) > self._length:
            self._entries = self._entries[::2]
            self._step_ns *= 2

    def clear(self) -> None:
        """Start anew."""
        self._entries.clear()
        self._step_ns = _STEP_NS

    def __len__(self) -> int:
        """Return the number of poses."""
        return len(self._entries)

    def message(self, header: Header) -> Path:
        """Return the path as a message; the slow twin of `serialized`."""
        return Path(header=header, poses=[entry.pose for entry in self._entries])

    def serialized(self, header: Header) -> bytes:
        """Return the path as the bytes of a message, for `Publisher.publish`.

        A serialized pose ends with doubles, at a multiple of eight bytes. So all poses but the
        first look as they do alone; that one comes from a path of one pose, with the place of the
        count right ahead of it.
        """
        count_end = len(serialize_message(Path(header=header)))
        whole: Any = bytearray(serialize_message(
            Path(header=header, poses=[entry.pose for entry in self._entries[:1]])))
        whole[count_end - 4:count_end] = len(self._entries).to_bytes(
            4, "little" if whole[1] & 1 else "big")
        return bytes(whole) + b"".join(entry.data for entry in self._entries[1:])
