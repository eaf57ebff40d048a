"""Files that are no modules, and Python in other processes."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from helpers.paths import ROOT, TEST


def load_script(path: Path) -> SimpleNamespace:
    """Return what a launch file or an example defines, without running its main part."""
    return SimpleNamespace(**runpy.run_path(str(path), run_name=path.name.partition(".")[0]))


def start_python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `code` in a process of its own, which finds the package and `helpers` too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TEST)])}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment,
                            stdout=subprocess.PIPE, text=True, **options)
