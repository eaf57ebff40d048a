"""Leaves out of torch's import what only its compiler needs, until that is loaded."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

#: Shape rules for tensors without data: a quarter of the time that torch takes to load.
_RULES = "torch._meta_registrations"
#: Versions with which the tests ran; others load as their makers meant them to.
TRIED = ("2.13.",)
#: What takes the rules for granted: they are loaded before it.
_NEED_RULES = {f"torch.{name}" for name in (
    "_decomp", "_dynamo", "_functorch.aot_autograd", "_inductor", "_refs", "export._trace")}


def load_torch_lean() -> None:
    """Let the coming `import torch` pass over these rules; to be called before it.

    A process that comes back after a crash is waited for by a robot, and nothing of ours runs
    tensors without data. Who asks for anything in that module, or loads torch's compiler, gets
    them first. Where torch is of another version, or laid out otherwise, nothing changes.
    """
    found = None if "torch" in sys.modules else importlib.machinery.PathFinder.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return
    folder = Path(found.submodule_search_locations[0])
    file = folder / f"{_RULES.rpartition('.')[2]}.py"
    if not _version(folder).startswith(TRIED) or not file.is_file():
        return
    spec = importlib.util.spec_from_file_location(_RULES, file)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.meta_path.insert(0, _Rules(module, spec.loader))
        sys.modules[_RULES] = module


class _Rules(MetaPathFinder):
    """Finds nothing, but sees what is imported, and loads the rules when they are needed."""

    def __init__(self, module: ModuleType, loader: Any) -> None:
        self._module, self._loader = module, loader
        module.__dict__["__getattr__"] = self._give

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Be asked for a module that is about to be loaded."""
        if fullname in _NEED_RULES:
            self._load()

    def _give(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system's questions are none
        self._load()
        return ModuleType.__getattribute__(self._module, name)

    def _load(self) -> None:
        if self._module.__dict__.pop("__getattr__", None) is not None:
            sys.meta_path.remove(self)
            self._loader.exec_module(self._module)


def _version(folder: Path) -> str:
    """Version that torch's folder names, without importing it; empty where none is found."""
    try:
        found = re.search(r"^__version__ = ['\"]([^'\"]+)", (folder / "version.py").read_text(),
                          re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1] if found is not None else ""
