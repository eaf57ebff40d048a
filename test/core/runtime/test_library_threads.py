"""The command line leaves one thread to BLAS, because a second one only spins."""

import os
import subprocess
import sys

CODE = """
import os, time
from ace_slam_ros import cli
import numpy as np
a = np.random.rand(300, 300)
started, wall = time.process_time(), time.perf_counter()
while time.perf_counter() - wall < 0.5:
    a @ a
print((time.process_time() - started) / (time.perf_counter() - wall))
"""


def test_blas_takes_one_core():
    untouched = {k: v for k, v in os.environ.items()
                 if not k.startswith(("OMP_", "GOMP_", "OPENBLAS_", "MKL_"))}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True,
                          env=untouched)
    assert float(done.stdout) < 1.3  # cores; two spinning threads take up to 2
