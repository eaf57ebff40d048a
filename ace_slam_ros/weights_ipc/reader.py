"""The readers of the weights segment: any number, and none blocks the writer.

Two slots: the writer fills the idle one, then stores the sequence number, whose low bit names
the active slot. A reader notes the sequence number, copies the active slot, and keeps the copy
only when (1) the sequence number is still the same and (2) the CRC32 over version, length and
payload fits the copy.

Why no read can be torn, from Python: on x86 stores become visible in program order and loads
are not reordered with loads, so (1) alone suffices: the writer touches a slot again only after
the next flip. On ARM neither holds and Python has no memory barrier; a reader may see the flip
before the bytes it announces. Then the copy mixes two payloads and fails (2), or it is the
complete older payload, whose version shows that it is not new. A mix passes with probability
2^-32. The same check covers a writer killed in the middle of a slot, and flipped bits.

The segment is a file in /dev/shm that is read and written by system calls: a file that somebody
cuts off is then an error, where mapped memory would end the process (SIGBUS), and
`multiprocessing.shared_memory` before Python 3.13 removes a segment when an unrelated reader exits
(CPython issue 82300). Only a regular file of this user is opened. The writer holds an exclusive
`flock` on it for its whole life, which the kernel drops however it dies.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from dataclasses import dataclass

from ..core.errors import SegmentError
from . import layout
from .creation import OpenSegment, inode_of
from .layout import HEARTBEAT, SEQUENCE, segment_path
from .own_file import open_own_file

_log = logging.getLogger(__name__)
_READ_ATTEMPTS = 8


@dataclass(frozen=True)
class SegmentStatus:
    """What a reader knows about its segment.

    Attributes:
        exists: the segment has a name in shared memory.
        version: version in the active slot, 0 before the first.
        writer_pid: process id of the writer, 0 when unknown.
        writer_alive: that process still runs.
        heartbeat_age_s: seconds since the writer's last sign of life, infinity when unknown.
        schema_ok: the segment can be read and holds the expected schema.
        message: one sentence, with what to do when something is wrong.
    """

    exists: bool
    version: int
    writer_pid: int
    writer_alive: bool
    heartbeat_age_s: float
    schema_ok: bool
    message: str


class WeightsReader:
    """A reader that may start before the writer and survives its death and restart.

    Args:
        name: of the segment, see `segment_name`.
        schema: must equal the writer's.
        allow_stale: also read a segment whose writer this reader has never seen alive.
    """

    def __init__(self, name: str, schema: str, allow_stale: bool = False) -> None:
        self.name = name
        self.path = segment_path(name)
        self._schema_hash = layout.hash_schema(schema)
        self._allow_stale = allow_stale
        self._segment: OpenSegment | None = None
        self._trusted = False
        self._lineage: int | None = None
        self._last_version = 0
        self._reported: tuple[tuple[int, int], int] | None = None

    def read(self, newer_than: int = 0) -> tuple[int, bytes] | None:
        """Return (version, payload) when it is newer than `newer_than`, else None; never waits.

        Versions go up as long as the writer, or one that took over from it, lives. A writer that
        starts from nothing (the old one removed its segment) counts from its own start; then
        `newer_than` means nothing and its first payload is returned.

        Raises:
            SegmentError: another schema, layout or damaged file; the message says what to do.
        """
        segment = self._attach()
        if segment is None or not self._usable(segment):
            return None
        floor = newer_than
        if self._lineage not in (None, segment.header.lineage):
            floor = self._last_version = 0
        found = self._copy_newer(segment, floor)
        if found is not None:
            self._lineage = segment.header.lineage
            self._last_version = found[0]
        return found

    def _copy_newer(self, segment: OpenSegment, floor: int) -> tuple[int, bytes] | None:
        """Copy the active slot if it is newer than `floor`; None also when no copy verifies."""
        capacity = segment.header.capacity
        sequence = 0
        for attempt in range(_READ_ATTEMPTS):
            sequence = segment.word(SEQUENCE)
            at = layout.slot_offset(sequence & 1, capacity)
            if sequence == 0 or layout.peek_version(segment.fd, at) <= floor:
                return None
            found = layout.read_record(segment.fd, at, capacity)
            if found is not None and segment.word(SEQUENCE) == sequence:
                return found if found[0] >= max(self._last_version, floor + 1) else None
            if found is None:
                time.sleep(0.0001 * attempt)
        if segment.word(SEQUENCE) == sequence and self._reported != (segment.inode, sequence):
            self._reported = (segment.inode, sequence)
            _log.error("segment %s: the active slot is corrupt (checksum); its weights are not "
                       "used, waiting for the mapper's next version", self.name)
        return None

    def status(self) -> SegmentStatus:
        """Describe the segment; never raises."""
        exists = os.path.lexists(self.path)
        try:
            segment = self._attach()
        except SegmentError as error:
            return SegmentStatus(exists, 0, 0, False, float("inf"), False, str(error))
        if segment is None:
            text = f"no weights yet: segment {self.name} does not exist; start the mapper"
            return SegmentStatus(exists, 0, 0, False, float("inf"), False, text)
        header = segment.header
        beat = segment.word(HEARTBEAT)
        alive = layout.writer_is_alive(header, beat)
        sequence = segment.word(SEQUENCE)
        at = layout.slot_offset(sequence & 1, header.capacity)
        version = layout.peek_version(segment.fd, at) if sequence else 0
        schema_ok = header.schema_hash == self._schema_hash
        return SegmentStatus(
            exists, version, header.pid, alive, (time.monotonic_ns() - beat) * 1e-9, schema_ok,
            self._describe(exists, header.pid, alive, version, schema_ok))

    def _describe(
        self, exists: bool, pid: int, alive: bool, version: int, schema_ok: bool
    ) -> str:
        if not exists:
            return (f"the mapper has shut down, its version {version} is kept in use; start it "
                    "again")
        if not schema_ok:
            return self._schema_message(pid)
        if not alive:
            use = "kept in use" if self._trusted or self._allow_stale else "ignored"
            return (f"the mapper (process {pid}) is dead, its version {version} is {use}; "
                    "restart the mapper")
        if version == 0:
            return f"the mapper (process {pid}) has published no weights yet"
        return f"version {version} from the mapper (process {pid})"

    def close(self) -> None:
        """Detach; the segment stays. The next `read` attaches again."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _schema_message(self, pid: int) -> str:
        return (f"segment {self.name} of process {pid} holds weights of another schema: run the "
                "same version of ace_slam_ros, encoder and head in all nodes, or give this "
                "system its own namespace")

    def _usable(self, segment: OpenSegment) -> bool:
        """False for what must not be read; raises when a live writer has another schema."""
        if segment.header.schema_hash != self._schema_hash:
            if not (self._trusted or self._allow_stale):
                return False  # left by a dead process: the next writer replaces it
            raise SegmentError(self._schema_message(segment.header.pid))
        return self._trusted or self._allow_stale

    def _attach(self) -> OpenSegment | None:
        """Map the segment that has the name now; keep the last one when the name is gone."""
        with contextlib.suppress(FileNotFoundError):
            inode = inode_of(self.path)
            if self._segment is None or inode != self._segment.inode:
                self._replace_segment()
        segment = self._segment
        if segment is not None and not segment.is_whole:
            self.close()
            return self._attach()
        if segment is not None and not self._trusted:
            # Also later: seen from another pid namespace a busy writer looks dead for a while.
            self._trusted = layout.writer_is_alive(segment.header, segment.word(HEARTBEAT))
        return segment

    def _replace_segment(self) -> None:
        fd = open_own_file(self.path)
        try:
            fresh = OpenSegment(fd, layout.read_fixed(fd, self.path))
        except SegmentError:
            os.close(fd)
            raise
        self.close()
        self._segment, self._trusted = fresh, False
