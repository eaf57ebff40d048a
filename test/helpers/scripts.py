"""Files that are no modules, and Python in other processes."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from helpers.paths import ROOT, TEST


def load_script(path: Path) -> ModuleType:
    """Return a launch file or an example as a module, without running its main part."""
    module = ModuleType(path.name.partition(".")[0])
    sys.modules[module.__name__] = module  # its dataclasses and enums look it up
    exec(compile(path.read_text(), str(path), "exec"), vars(module))
    return module


def start_python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `code` in a process of its own, which finds the package and `helpers` too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TEST)])}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment,
                            stdout=subprocess.PIPE, text=True, **options)
