"""Creation of a weights segment: atomic for readers, exclusive among writers, with takeover."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import secrets
import time
from pathlib import Path

from ..core.errors import SegmentError
from . import layout
from .layout import HEARTBEAT, VERSION, FixedHeader

_log = logging.getLogger(__name__)
_STALE_TEMPORARY_S = 10.0


class Mapping:
    """An open, mapped segment; `words` are its aligned 8-byte words, `inode` its identity."""

    def __init__(self, fd: int, header: FixedHeader, writable: bool) -> None:
        self.fd = fd
        self.header = header
        size = layout.segment_bytes(header.capacity)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.view = mmap.mmap(fd, size, access=access)
        self.words = memoryview(self.view).cast("Q")
        found = os.fstat(fd)
        self.inode = (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Unmap and close; a lock held through this descriptor is released."""
        self.words.release()
        self.view.close()
        os.close(self.fd)


def inode_of(path: Path) -> tuple[int, int]:
    """Identity of the file that has this name now."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def remove_stale_temporaries(path: Path) -> None:
    """Remove what a writer killed while it created its segment left behind."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_TEMPORARY_S:
                leftover.unlink()


def create_segment(path: Path, capacity: int, schema: str, first_version: int) -> Mapping:
    """Build a segment under a temporary name, lock it, and give it its name in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    while True:
        old = _lock_existing(path)
        try:
            lineage, version = _continue_from(old, path, first_version)
            header = FixedHeader(
                layout.hash_schema(schema), capacity, os.getpid(),
                layout.process_start_ticks(os.getpid()) or 0, layout.own_pid_namespace(),
                lineage, version)
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Reserved now: a full /dev/shm is an error here instead of a SIGBUS later.
                os.posix_fallocate(fd, 0, layout.segment_bytes(capacity))
                os.pwrite(fd, header.pack(), 0)
                mapping = Mapping(fd, header, writable=True)
                mapping.words[VERSION] = version
                mapping.words[HEARTBEAT] = time.monotonic_ns()
                if old is not None:
                    os.rename(temporary, path)
                    return mapping
                try:
                    os.link(temporary, path)  # unlike rename, fails when another was faster
                    return mapping
                except FileExistsError:
                    mapping.close()
            except OSError:
                os.close(fd)
                raise
            finally:
                temporary.unlink(missing_ok=True)
        finally:
            if old is not None:
                os.close(old)


def _lock_existing(path: Path) -> int | None:
    """Open and lock what a dead writer left; None when there is nothing.

    Raises:
        SegmentError: a live writer holds the lock.
    """
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(fd, path)
            os.close(fd)
            raise SegmentError(
                f"segment {path.name} is already written by {owner}: stop that mapper, or start "
                "this one in another namespace (or with another ACE_SLAM_SEGMENT)") from None
        with contextlib.suppress(FileNotFoundError):
            found = os.fstat(fd)
            if inode_of(path) == (found.st_dev, found.st_ino):
                return fd
        os.close(fd)  # replaced or removed between open and lock


def _owner(fd: int, path: Path) -> str:
    try:
        return f"process {layout.read_fixed(fd, path).pid}"
    except SegmentError:
        return "another process"


def _continue_from(fd: int | None, path: Path, first_version: int) -> tuple[int, int]:
    """Lineage and version for a new segment that replaces the one open at `fd`."""
    if fd is not None:
        try:
            old = Mapping(os.dup(fd), layout.read_fixed(fd, path), writable=True)
        except SegmentError as error:
            _log.warning("replacing an unreadable segment, versions start over: %s", error)
        else:
            last = max(old.header.base_version, int(old.words[VERSION]))
            lineage = old.header.lineage
            old.close()
            _log.info("taking over segment %s of dead process %d at version %d",
                      path.name, old.header.pid, last)
            return lineage, max(last, first_version)
    return secrets.randbits(63), first_version
