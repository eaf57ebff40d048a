"""Honest memory: of this process and others, in megabytes; image buffers are used again."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from ace_slam_ros.core.runtime.memory import peak_rss_mb, process_memory


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


def test_memory_of_a_process_and_of_none():
    block = bytearray(os.urandom(30_000_000))
    found = process_memory(os.getpid())
    assert found.private_mb > len(block) / 1e6
    assert found.private_mb < found.rss_mb <= found.peak_rss_mb * 1.01
    assert 0.0 < found.pss_mb <= found.rss_mb * 1.01
    assert process_memory(None).rss_mb == 0.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_freed_image_buffers_are_used_again():
    """Without the switches each buffer is new memory, which the kernel clears page by page."""
    script = """
import resource, sys
from ace_slam_ros.core.runtime.memory import reuse_image_memory
assert sys.argv[1] == "no" or reuse_image_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
buffers = [bytes(900_000), bytes(600_000)]
before = faults()
for _ in range(200):
    for i in range(2):
        buffers[i] = None
        buffers[i] = b"x" * (900_000 - 300_000 * i)
print(faults() - before)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    fresh, reused = (int(subprocess.run(
        [sys.executable, "-c", script, answer], capture_output=True, text=True, check=True,
        env=environment).stdout) for answer in ("no", "yes"))
    assert reused < 2000 and reused <= fresh
