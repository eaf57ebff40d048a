"""How long this process has run, the loading of its libraries included."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Where the start stands in /proc/self/stat behind the name of the program, in clock ticks.
_START = 19


def process_age_s() -> float:
    """Return the seconds since the process began."""
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    began_s = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
