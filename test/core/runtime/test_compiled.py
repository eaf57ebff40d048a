"""Compiled code is kept on disk and renewed with the constants that are compiled into it."""

import subprocess
import sys

import pytest

from ace_slam_ros.core.runtime import compiled

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed")

MODULE = """
from constants import FACTOR
from ace_slam_ros.core.runtime.compiled import kernel

@kernel
def scale(x):
    return FACTOR * x

print(scale(1.5), sum(scale.stats.cache_hits.values()))
"""


def test_kept_code_is_found_again_and_renewed_for_another_constant(tmp_path):
    (tmp_path / "scales.py").write_text(MODULE)

    def run(factor: float) -> str:
        (tmp_path / "constants.py").write_text(f"FACTOR = {factor}\n")
        return subprocess.run(
            [sys.executable, "-B", "-c", f"import sys; sys.path.append({str(tmp_path)!r}); "
             "import scales"], check=True, capture_output=True, text=True).stdout.strip()

    assert run(2.0) == "3.0 0"
    assert run(2.0) == "3.0 1"
    assert run(4.0) == "6.0 0"


def test_without_numba_a_kernel_is_the_function_itself(monkeypatch):
    monkeypatch.setattr(compiled, "AVAILABLE", False)

    def double(x: float) -> float:
        return 2 * x

    assert compiled.kernel(double) is double and "not installed" in compiled.describe()
