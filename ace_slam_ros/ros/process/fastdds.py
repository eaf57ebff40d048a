"""Removes the shared memory that killed FastDDS processes left behind.

A process that is killed cannot remove its segment, 35 MB with our profile, and FastDDS never does
it by itself: a node that crashes all night fills the memory of the robot.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

#: A segment's name, and its lock, which the owner holds for as long as it lives.
_LOCK = re.compile(r"(?P<segment>fast(rtps|dds)_[0-9a-f]{16})_el")
#: A younger lock may belong to a process that is just making it.
_YOUNG_S = 10.0


def remove_dead_segments(folder: Path = Path("/dev/shm")) -> int:
    """Remove segments without owner that this user may remove; return their bytes, never raise."""
    removed = 0
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    for name in names:
        found = _LOCK.fullmatch(name)
        if found is not None:
            with contextlib.suppress(OSError):
                removed += _remove(folder / name, folder / found["segment"])
    return removed


def _remove(lock: Path, segment: Path) -> int:
    """Remove one segment and its lock; OSError when its owner lives or it is not ours."""
    if time.time() - lock.stat().st_mtime < _YOUNG_S:
        return 0
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = 0
        with contextlib.suppress(FileNotFoundError):
            size = segment.stat().st_blocks * 512
            segment.unlink()
        lock.unlink()
        return size
    finally:
        os.close(descriptor)
