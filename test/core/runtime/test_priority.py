"""Priority of threads: only of the one that gives way."""

import os
import sys
import threading

import pytest

from ace_slam_ros.core.runtime.priority import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux only")
def test_only_the_thread_that_asks_gives_way():
    before, found = os.getpriority(os.PRIO_PROCESS, 0), []

    def work():
        give_way(3)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [min(before + 3, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
