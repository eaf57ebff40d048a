"""Which work goes first where processors are short."""

from __future__ import annotations

import os
import sys
import threading

#: Of the mapper, whose work can wait; a tenth of the tracker's share of a processor both want.
MAPPER_NICENESS = 10
#: Of the relocalizer: somebody waits for its answers, but nothing falls down meanwhile.
RELOCALIZER_NICENESS = 5


def give_way(niceness: int) -> None:
    """Lower the priority of the calling thread and of those it starts; on Linux only."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, before + niceness)
