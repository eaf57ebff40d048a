"""The writer of the weights segment."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from types import TracebackType

from ..core.errors import SegmentError
from . import layout
from .creation import Mapping, create_segment, inode_of, remove_stale_temporaries
from .layout import HEARTBEAT, SEQUENCE, VERSION, segment_path

_writers: weakref.WeakSet[WeightsWriter] = weakref.WeakSet()


def _drop_in_child() -> None:
    """A forked child must not keep the lock of a writer that dies."""
    for writer in list(_writers):
        writer._abandon()


os.register_at_fork(after_in_child=_drop_in_child)


class WeightsWriter:
    """The one writer of a segment; `write` must be called from one thread at a time.

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
        self._mapping: Mapping | None = None
        if not self.path.parent.is_dir():
            raise SegmentError(f"{self.path.parent} does not exist: Linux shared memory is needed")
        try:
            remove_stale_temporaries(self.path)
            self._mapping = create_segment(self.path, capacity_bytes, schema, first_version)
        except OSError as error:
            raise SegmentError(
                f"cannot create {self.path} with {layout.segment_bytes(capacity_bytes)} bytes: "
                f"{error}; free shared memory, or raise --shm-size of the container") from error
        _writers.add(self)

    @property
    def version(self) -> int:
        """Version of the last payload written, or the one to continue from."""
        return int(self._live().words[VERSION])

    def write(self, payload: bytes) -> int:
        """Publish a payload and return its version.

        Raises:
            SegmentError: the payload is larger than the capacity, or the writer is closed.
        """
        mapping = self._live()
        if len(payload) > self.capacity_bytes:
            raise SegmentError(
                f"{len(payload)} bytes of weights do not fit segment {self.name} of "
                f"{self.capacity_bytes}: create the writer with a larger capacity")
        words, view = mapping.words, mapping.view
        sequence, version = words[SEQUENCE], words[VERSION] + 1
        words[VERSION] = version
        at = layout.slot_offset(1 - (sequence & 1), self.capacity_bytes)
        record = layout.pack_record(version, payload)
        view[at:at + len(record)] = record
        view[at + layout.SLOT_HEAD:at + layout.SLOT_HEAD + len(payload)] = payload
        words[SEQUENCE] = sequence + 1
        words[HEARTBEAT] = time.monotonic_ns()
        return int(version)

    def heartbeat(self) -> None:
        """Say that the writer is alive; call it about once a second."""
        self._live().words[HEARTBEAT] = time.monotonic_ns()

    def close(self, unlink: bool = True) -> None:
        """Release the segment and, by default, remove it; calling it again does nothing."""
        mapping, self._mapping = self._mapping, None
        if mapping is None:
            return
        if unlink:
            with contextlib.suppress(FileNotFoundError):
                if inode_of(self.path) == mapping.inode:
                    self.path.unlink()
        mapping.close()

    def _abandon(self) -> None:
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            mapping.close()

    def _live(self) -> Mapping:
        if self._mapping is None:
            raise SegmentError(f"the writer of segment {self.name} is closed: create another one")
        return self._mapping

    def __enter__(self) -> WeightsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
