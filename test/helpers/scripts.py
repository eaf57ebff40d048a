"""Files that are no modules, and Python in other processes."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock, patch

from helpers.paths import ROOT, TEST


def load_script(path: Path) -> ModuleType:
    """Return a launch file or an example as a module, without running its main part."""
    module = ModuleType(path.name.partition(".")[0])
    sys.modules[module.__name__] = module  # its dataclasses and enums look it up
    exec(compile(path.read_text(), str(path), "exec"), vars(module))
    return module


#: What launch files import; not on PyPI.
LAUNCH_MODULES = (
    "ament_index_python", "ament_index_python.packages", "launch", "launch.actions",
    "launch.launch_description_sources", "launch.substitutions", "launch_ros",
    "launch_ros.actions", "launch_ros.parameter_descriptions")


def declared_arguments(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a launch file says of each argument, with nothing of launch behind it."""
    found: dict[str, dict[str, Any]] = {}
    modules: dict[str, Any] = {name: MagicMock() for name in LAUNCH_MODULES}
    modules["launch.actions"].DeclareLaunchArgument = lambda name, **said: found.update(
        {name: said})
    modules["ament_index_python.packages"].get_package_share_directory = lambda _: str(ROOT)
    with patch.dict(sys.modules, modules):
        load_script(path).generate_launch_description()
    return found


def start_python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `code` in a process of its own, which finds the package and `helpers` too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TEST)])}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment,
                            stdout=subprocess.PIPE, text=True, **options)
