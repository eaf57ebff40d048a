"""Creation of a weights segment: atomic for readers, exclusive among writers, with takeover."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import stat
import time
from pathlib import Path

from ..core.errors import SegmentError
from . import layout
from .layout import HEARTBEAT, VERSION, FixedHeader
from .own_file import open_own_file

_log = logging.getLogger(__name__)
_STALE_TEMPORARY_S = 10.0


class OpenSegment:
    """An open segment: its aligned 8-byte words, and its identity.

    It is read and written with system calls: of a file that somebody cut off they give fewer
    bytes, where touching mapped memory would end the process by SIGBUS.
    """

    def __init__(self, fd: int, header: FixedHeader) -> None:
        self.fd, self.header = fd, header
        found = os.fstat(fd)
        self.inode = (found.st_dev, found.st_ino)

    @property
    def is_whole(self) -> bool:
        """Whether the file still has its size."""
        return os.fstat(self.fd).st_size >= layout.segment_bytes(self.header.capacity)

    def word(self, index: int) -> int:
        """Value of a live word; 0 where the file ends before it."""
        return int.from_bytes(os.pread(self.fd, 8, index * 8), "little")

    def set_word(self, index: int, value: int) -> None:
        """Store a live word."""
        os.pwrite(self.fd, value.to_bytes(8, "little"), index * 8)

    def close(self) -> None:
        """Close; a lock held through this descriptor is released."""
        os.close(self.fd)


def inode_of(path: Path) -> tuple[int, int]:
    """Identity of the file that has this name now."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def remove_stale_temporaries(path: Path) -> None:
    """Remove what a writer killed while it created its segment left behind."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_TEMPORARY_S:
                leftover.unlink()


def create_segment(path: Path, capacity: int, schema: str, first_version: int) -> OpenSegment:
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
                segment = OpenSegment(fd, header)
                segment.set_word(VERSION, version)
                segment.set_word(HEARTBEAT, time.monotonic_ns())
                if old is not None:
                    os.rename(temporary, path)
                    return segment
                try:
                    os.link(temporary, path)  # unlike rename, fails when another was faster
                    return segment
                except FileExistsError:
                    segment.close()
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
            fd = open_own_file(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        except SegmentError as error:
            _clear_away(path, error)
            continue
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


def _clear_away(path: Path, why: SegmentError) -> None:
    """Free the name of a segment from what is none; a folder with something in it is kept aside.

    Raises:
        SegmentError: it belongs to another user.
    """
    _log.warning("%s; it is put out of the way", why)
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            path.unlink()
        elif any(path.iterdir()):
            path.rename(path.with_name(f"{path.name}.aside-{secrets.token_hex(4)}"))
        else:
            path.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SegmentError(
            f"{why}; it cannot be removed from here ({error.strerror}): use another "
            "ACE_SLAM_SEGMENT") from error


def _owner(fd: int, path: Path) -> str:
    try:
        return f"process {layout.read_fixed(fd, path).pid}"
    except SegmentError:
        return "another process"


def _continue_from(fd: int | None, path: Path, first_version: int) -> tuple[int, int]:
    """Lineage and version for a new segment that replaces the one open at `fd`."""
    if fd is not None:
        try:
            old = OpenSegment(fd, layout.read_fixed(fd, path))
            last = max(old.header.base_version, old.word(VERSION))
            if last > layout.LARGEST_VERSION:
                raise SegmentError(f"{path} counts versions beyond {layout.LARGEST_VERSION}")
        except SegmentError as error:
            _log.warning("replacing an unreadable segment, versions start over: %s", error)
        else:
            _log.info("taking over segment %s of dead process %d at version %d",
                      path.name, old.header.pid, last)
            return old.header.lineage, max(last, first_version)
    return secrets.randbits(63), first_version
