"""Which work goes first where processors are short."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

#: Of the mapper, whose work can wait; two fifths of the tracker's share of a processor both want:
#: with a tenth, new keyframes took too long.
MAPPER_NICENESS = 4
#: Of the relocalizer: somebody waits for its answers, but nothing falls down meanwhile.
RELOCALIZER_NICENESS = 5

#: Of a niceness, for the session.
_SESSION_SHARE = 0.4


def give_way(niceness: int) -> None:
    """Lower the priority of the calling thread and of those it starts; on Linux only.

    Linux shares processors between sessions first (autogroups), and niceness counts only within
    one. A process that leads a session of its own, as the nodes of `ace-slam up` do, lowers the
    session as well, by less: it competes with every other session of the machine, and a mapper
    that starves is worse for the tracker than one that disturbs it.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, before + niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a kernel without autogroups
            Path("/proc/self/autogroup").write_text(
                str(min(before + round(niceness * _SESSION_SHARE), 19)))
