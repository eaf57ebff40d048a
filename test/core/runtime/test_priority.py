"""Priority: of the thread that gives way alone, and of a session against others."""

import os
import subprocess
import sys
import threading
from pathlib import Path

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


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no autogroups here")
@pytest.mark.parametrize("leads", [True, False])
def test_a_session_gives_way_as_a_whole(leads):
    """Between sessions niceness does not count: the mapper took as much as the tracker."""
    code = ("from pathlib import Path\n"
            "from ace_slam_ros.core.runtime.priority import give_way\n"
            "group = Path('/proc/self/autogroup')\n"
            "before = group.read_text(); give_way(10); print(before, group.read_text())")
    # A session of the test's own: that of the test may be in no autogroup (a container's first).
    shell = [] if leads else ["sh", "-c", '"$@"; exit $?', "sh"]
    found = subprocess.run([*shell, sys.executable, "-c", code], start_new_session=True,
                           check=True, capture_output=True, text=True).stdout.split()
    if not found:
        pytest.skip("this kernel keeps no autogroups")
    before, after = int(found[2]), int(found[-1])
    assert after == (before + 4 if leads else before)
