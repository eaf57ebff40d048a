"""Layout of the shared-memory segment for head weights: names, header, slots, writer liveness.

All numbers are little endian; the three live words are aligned so that they are stored and read in
one piece, though nothing relies on it:

    offset 0     fixed part: written once before the segment gets its name, guarded by a CRC32
           128   sequence number; its low bit is the active slot, 0 = nothing published yet
           192   heartbeat of the writer, CLOCK_MONOTONIC ns
           256   last version handed out, stored before a slot is touched
           4096  slot 0: version, payload length, CRC32 over both and the payload; payload
           ...   slot 1: the same
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import SegmentError

SHM_DIR = Path("/dev/shm")
MAGIC = b"ACESLAMW"
LAYOUT_VERSION = 1
PAGE = 4096
SLOTS_AT = PAGE
SLOT_HEAD = 64
#: Indices of the live words, in units of 8 bytes; a cache line each.
SEQUENCE, HEARTBEAT, VERSION = 128 // 8, 192 // 8, 256 // 8
#: Versions are this at most: messages have 32 bits for them. A larger one is a damaged segment.
LARGEST_VERSION = 2**32 - 2
#: Most bytes of a payload; a header that names more is damaged.
LARGEST_CAPACITY = 1 << 30
#: A writer in another container (its pid means nothing here) is dead after this silence.
FOREIGN_DEAD_AFTER_NS = 5_000_000_000

_FIXED = struct.Struct("<8sII32sQQQQQQ")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<QQ")


@dataclass(frozen=True)
class FixedHeader:
    """The part of the header that never changes during the life of a segment.

    Attributes:
        schema_hash: SHA-256 of the payload's schema.
        capacity: largest payload in bytes.
        pid, start_ticks: writer process and its start time in clock ticks since boot, which
            together survive the reuse of a process id.
        pid_namespace: inode of the writer's pid namespace; pids of another one mean nothing.
        lineage: random number kept when a restarted writer takes over: versions of one lineage
            only go up.
        base_version: versions of this segment are larger.
        layout: layout version.
    """

    schema_hash: bytes
    capacity: int
    pid: int
    start_ticks: int
    pid_namespace: int
    lineage: int
    base_version: int
    layout: int = LAYOUT_VERSION

    def pack(self) -> bytes:
        """Serialize with a trailing CRC32."""
        raw = _FIXED.pack(
            MAGIC, self.layout, PAGE, self.schema_hash, self.capacity, self.pid,
            self.start_ticks, self.pid_namespace, self.lineage, self.base_version)
        return raw + _CRC.pack(zlib.crc32(raw))


def segment_name(namespace: str, override: str | None = None) -> str:
    """Name of the segment of a ROS namespace: `/robot1` -> `ace_slam_robot1_<uid>`.

    A ROS_DOMAIN_ID other than 0 is appended, so that systems that cannot hear each other do not
    share weights either. `override`, else the environment variable ACE_SLAM_SEGMENT, replaces
    the whole name.

    Raises:
        SegmentError: the name is empty, too long, or holds other characters than [A-Za-z0-9._-].
    """
    name = override or os.environ.get("ACE_SLAM_SEGMENT", "")
    if not name:
        words = namespace.strip("/").replace("/", ".") or "default"
        name = f"ace_slam_{words}_{os.getuid()}"
        domain = os.environ.get("ROS_DOMAIN_ID", "").strip()
        if domain not in ("", "0"):
            name += f"_d{domain}"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", name):
        raise SegmentError(
            f"segment name {name!r}: use 1 to 200 of the characters A-Z a-z 0-9 . _ -")
    return name


def segment_path(name: str) -> Path:
    """Path of a segment in the file system."""
    return SHM_DIR / name


def hash_schema(schema: str) -> bytes:
    """SHA-256 of a schema text, 32 bytes."""
    return hashlib.sha256(schema.encode()).digest()


def slot_offset(slot: int, capacity: int) -> int:
    """Byte offset of slot 0 or 1; slots start on pages."""
    return SLOTS_AT + slot * (-(-(SLOT_HEAD + capacity) // PAGE) * PAGE)


def segment_bytes(capacity: int) -> int:
    """Size of a whole segment in bytes."""
    return slot_offset(2, capacity)


def pack_record(version: int, payload: bytes) -> bytes:
    """Head of a slot: version, length, and a CRC32 that covers both and the payload."""
    head = _RECORD.pack(version, len(payload))
    return head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))


def peek_version(fd: int, offset: int) -> int:
    """Version in the head of the slot at `offset`, unverified."""
    return int.from_bytes(os.pread(fd, 8, offset), "little")


def read_record(fd: int, offset: int, capacity: int) -> tuple[int, bytes] | None:
    """Copy the slot at `offset` and verify the copy: (version, payload), None when it is torn."""
    head = os.pread(fd, _RECORD.size + _CRC.size, offset)
    if len(head) < _RECORD.size + _CRC.size:
        return None
    version, length = _RECORD.unpack_from(head)
    if length > capacity or version > LARGEST_VERSION:
        return None
    payload = os.pread(fd, length, offset + SLOT_HEAD)
    (expected,) = _CRC.unpack_from(head, _RECORD.size)
    if zlib.crc32(payload, zlib.crc32(head[:_RECORD.size])) != expected:
        return None
    return int(version), payload


def read_fixed(fd: int, path: Path) -> FixedHeader:
    """Read and check the fixed header and the size of an open segment.

    Raises:
        SegmentError: not a segment, another layout, a damaged header, or a truncated file.
    """
    raw = os.pread(fd, _FIXED.size + _CRC.size, 0)
    fix = f"stop the nodes, remove {path} and start the mapper again"
    if raw[:8] != MAGIC or len(raw) < 16:
        raise SegmentError(f"{path} is not a weights segment: {fix}")
    layout = int(struct.unpack_from("<I", raw, 8)[0])
    if layout != LAYOUT_VERSION:
        raise SegmentError(
            f"{path} has layout {layout}, this version reads {LAYOUT_VERSION}: run the same "
            "version of ace_slam_ros in all nodes and restart the mapper")
    if len(raw) < _FIXED.size + _CRC.size or (
            zlib.crc32(raw[:_FIXED.size]) != _CRC.unpack_from(raw, _FIXED.size)[0]):
        raise SegmentError(f"{path} has a damaged header: {fix}")
    header = FixedHeader(*_FIXED.unpack_from(raw)[3:])
    if header.capacity > LARGEST_CAPACITY:
        raise SegmentError(f"{path} names {header.capacity} bytes of weights, more than the "
                           f"{LARGEST_CAPACITY} there can be: {fix}")
    size, wanted = os.fstat(fd).st_size, segment_bytes(header.capacity)
    if size < wanted:
        raise SegmentError(f"{path} is truncated ({size} of {wanted} bytes): {fix}")
    return header


def process_start_ticks(pid: int) -> int | None:
    """Start time of a running process in clock ticks since boot; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything; the fields after it are state (3) to start (22).
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def own_pid_namespace() -> int:
    """Inode of this process's pid namespace."""
    return os.stat("/proc/self/ns/pid").st_ino


def writer_is_alive(header: FixedHeader, heartbeat_ns: int) -> bool:
    """True when the process that wrote `header` still runs."""
    if header.pid_namespace != own_pid_namespace():
        return time.monotonic_ns() - heartbeat_ns < FOREIGN_DEAD_AFTER_NS
    return process_start_ticks(header.pid) == header.start_ticks
