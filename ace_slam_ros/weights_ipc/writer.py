"""The writer of the weights segment."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
import weakref
from types import TracebackType

from ..core.errors import SegmentError
from . import layout
from .creation import OpenSegment, create_segment, inode_of, remove_stale_temporaries
from .layout import HEARTBEAT, SEQUENCE, VERSION, segment_path

_log = logging.getLogger(__name__)
_writers: weakref.WeakSet[WeightsWriter] = weakref.WeakSet()


def _drop_in_child() -> None:
    """A forked child must not keep the lock of a writer that dies."""
    for writer in list(_writers):
        writer._abandon()


os.register_at_fork(after_in_child=_drop_in_child)


class WeightsWriter:
    """The one writer of a segment.

    What somebody else does to the file (removes, cuts off, overwrites or replaces it) is noticed
    at the next `write` or `heartbeat`: the segment is made anew with the last payload, and its
    versions go on.

    Args:
        name: of the segment, see `segment_name`.
        capacity_bytes: largest payload.
        schema: describes the payload; readers must be given the same text.
        first_version: versions are larger than this, for example the last one of a saved state.

    A segment left by a dead writer is replaced and its versions go on; its payload is dropped,
    because nothing says that the new writer continues the same map.

    Raises:
        SegmentError: another live process writes it, or shared memory is missing or full.
    """

    def __init__(
        self, name: str, capacity_bytes: int, schema: str, first_version: int = 0
    ) -> None:
        self.name = name
        self.path = segment_path(name)
        self.capacity_bytes = capacity_bytes
        self._schema = schema
        self._lock = threading.Lock()  # the heartbeat comes from another thread
        self._segment: OpenSegment | None = None
        self._sequence, self._version, self._payload = 0, first_version, b""
        if not self.path.parent.is_dir():
            raise SegmentError(f"{self.path.parent} does not exist: Linux shared memory is needed")
        self._segment = self._create()
        _writers.add(self)

    def _create(self) -> OpenSegment:
        try:
            remove_stale_temporaries(self.path)
            segment = create_segment(
                self.path, self.capacity_bytes, self._schema, self._version)
        except OSError as error:
            raise SegmentError(
                f"cannot create {self.path} with {layout.segment_bytes(self.capacity_bytes)} "
                f"bytes: {error}; free shared memory, or raise --shm-size of the container"
            ) from error
        self._sequence, self._version = 0, segment.word(VERSION)
        return segment

    @property
    def version(self) -> int:
        """Version of the last payload written, or the one to continue from."""
        with self._lock:
            self._live()
            return self._version

    def write(self, payload: bytes) -> int:
        """Publish a payload and return its version.

        Raises:
            SegmentError: the payload is larger than the capacity, the writer is closed, or the
                segment was taken away and cannot be made anew.
        """
        if len(payload) > self.capacity_bytes:
            raise SegmentError(
                f"{len(payload)} bytes of weights do not fit segment {self.name} of "
                f"{self.capacity_bytes}: create the writer with a larger capacity")
        with self._lock:
            self._live()
            self._payload = payload
            return self._store(self._whole())

    def _store(self, segment: OpenSegment) -> int:
        """Write the payload into the idle slot and make that the active one."""
        if self._version >= layout.LARGEST_VERSION:
            raise SegmentError(f"segment {self.name} is out of versions: restart the nodes")
        self._version += 1
        segment.set_word(VERSION, self._version)
        at = layout.slot_offset(1 - (self._sequence & 1), self.capacity_bytes)
        os.pwrite(segment.fd, layout.pack_record(self._version, self._payload), at)
        os.pwrite(segment.fd, self._payload, at + layout.SLOT_HEAD)
        self._sequence += 1
        segment.set_word(SEQUENCE, self._sequence)
        segment.set_word(HEARTBEAT, time.monotonic_ns())
        return self._version

    def heartbeat(self) -> None:
        """Say that the writer is alive, and restore a segment that was lost; call it each second.

        Raises:
            SegmentError: the writer is closed, or the segment cannot be made anew.
        """
        with self._lock:
            before = self._live()
            segment = self._whole()
            if segment is not before and self._payload:
                self._store(segment)
            segment.set_word(HEARTBEAT, time.monotonic_ns())

    def _whole(self) -> OpenSegment:
        """Return the segment as readers find it; another one when it is not what it was."""
        segment = self._live()
        with contextlib.suppress(FileNotFoundError):
            header = os.pread(segment.fd, len(packed := segment.header.pack()), 0)
            if (inode_of(self.path) == segment.inode and segment.is_whole and header == packed
                    and segment.word(SEQUENCE) == self._sequence):
                return segment
        _log.warning("segment %s was removed, replaced or overwritten by somebody: it is made "
                     "anew", self.name)
        fcntl.flock(segment.fd, fcntl.LOCK_UN)  # it may still have the name
        self._segment = self._create()
        segment.close()
        return self._segment

    def close(self, unlink: bool = True) -> None:
        """Release the segment and, by default, remove it; calling it again does nothing."""
        with self._lock:
            segment, self._segment = self._segment, None
        if segment is None:
            return
        if unlink:
            with contextlib.suppress(FileNotFoundError):
                if inode_of(self.path) == segment.inode:
                    self.path.unlink()
        segment.close()

    def _abandon(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _live(self) -> OpenSegment:
        if self._segment is None:
            raise SegmentError(f"the writer of segment {self.name} is closed: create another one")
        return self._segment

    def __enter__(self) -> WeightsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
