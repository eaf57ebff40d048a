"""Honest memory: of this process, in megabytes."""

import resource
import subprocess
import sys

import numpy as np
import pytest

from ace_slam_ros.core.runtime.memory import peak_rss_mb


def test_peak_memory_is_of_this_process_and_in_megabytes():
    script = ("from ace_slam_ros.core.runtime.memory import peak_rss_mb\n"
              "before = peak_rss_mb(); block = bytearray(50_000_000); block = None\n"
              "print(before, peak_rss_mb())")
    big = np.ones(40_000_000)  # a large parent must not show up in its child
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(float, out.stdout.split())
    assert before < 200 and 40 < after - before < 70
    assert big.nbytes / 1e6 < peak_rss_mb()
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert peak_rss_mb() == pytest.approx(usage, rel=0.5)
