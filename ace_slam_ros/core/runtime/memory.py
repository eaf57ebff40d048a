"""Memory of processes: how much they use, and how the C library manages it."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Names of `mallopt` in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no more
_KEPT_FREE = 16 << 20


def reuse_image_memory() -> bool:
    """Let the C library reuse freed image buffers instead of asking the kernel for new ones.

    A message of one image is copied twice on its way into Python. By default each copy is fresh
    memory of the kernel's, which clears it page by page: half of the time a subscription costs.
    One heap for all threads holds those buffers once and not once per thread. Call it before
    other libraries allocate; variables of the user (`MALLOC_*_`) win.

    Returns:
        Whether this C library has the switches; others do well enough without.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is None:
        return False
    done = True
    for variable, option, value in (
        ("MALLOC_MMAP_THRESHOLD_", _MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD),
        ("MALLOC_TRIM_THRESHOLD_", _TRIM_THRESHOLD, _KEPT_FREE),
        ("MALLOC_ARENA_MAX", _ARENA_MAX, 1),
    ):
        if variable not in os.environ:
            done = bool(mallopt(option, value)) and done
    return done


def give_back_freed_memory() -> None:
    """Return to the kernel what was freed; what a start leaves behind is 15 MB."""
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_libc(name: str) -> Any | None:
    """Return a function of the C library, None where it has no such function."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None


@dataclass(frozen=True)
class ProcessMemory:
    """Memory of a process in 10^6 bytes.

    Attributes:
        rss_mb: resident, with all it shares with others.
        pss_mb: resident, what is shared divided by the number of those who share it.
        private_mb: anonymous: what this process alone has written.
        peak_rss_mb: the largest resident size so far.
    """

    rss_mb: float
    pss_mb: float
    private_mb: float
    peak_rss_mb: float


def process_memory(pid: int | None) -> ProcessMemory:
    """Measure a process from `/proc`; zeros when it is gone or belongs to somebody else."""
    sizes: dict[str, float] = {}
    for name in ("smaps_rollup", "status"):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, rest = line.partition(":")
            if rest.endswith(" kB"):
                sizes[key] = int(rest.split()[0]) * 1024 / 1e6
    return ProcessMemory(sizes.get("Rss", sizes.get("VmRSS", 0.0)), sizes.get("Pss", 0.0),
                         sizes.get("Anonymous", 0.0), sizes.get("VmHWM", 0.0))


def peak_rss_mb() -> float:
    """Peak resident memory of this process in 10^6 bytes.

    `VmHWM` starts anew with the program; `getrusage` would report the peak of the parent that
    started it, if that was larger, and is the fallback.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
