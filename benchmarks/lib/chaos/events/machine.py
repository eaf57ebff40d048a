"""A machine without room on its disk, or without a processor to spare."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from ace_slam_ros.srv import SaveMap

from ..system import StormSystem


def disk_full(system: StormSystem, rng: Random) -> None:
    """No room where maps, sessions and logs are written; saving is refused and loses nothing."""
    full = _filled(system.disk) if system.disk_is_small else _files_limited(
        system.group.children["mapper"].pid)
    with full:
        system.clients.ask("save_map", SaveMap.Request(path=str(system.maps / "shared")))
        time.sleep(rng.uniform(0.5, 6.0))


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """Fill a small disk to the last byte for the length of the block."""
    path = folder / "filler"
    try:
        with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _files_limited(pid: int | None) -> Iterator[None]:
    """Let a process write no file beyond 64 kB: what can be done without a disk of one's own."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE) if pid is not None else None
    try:
        if pid is not None and before is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        yield
    finally:
        if pid is not None and before is not None:
            with contextlib.suppress(ProcessLookupError):  # killed meanwhile
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def cpu_hogs(system: StormSystem, rng: Random) -> None:
    """Twice as many busy processes as there are cores."""
    with system.excuses.during("hogs", 1.0):
        hogs = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
                for _ in range(2 * (os.cpu_count() or 1))]
        try:
            time.sleep(rng.uniform(1.0, 4.0))
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()


EVENTS = (disk_full, cpu_hogs)
