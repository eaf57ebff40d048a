"""Leaves out of torch's import what only its compiler needs, until somebody asks for it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

#: Shape rules for tensors without data: a quarter of the time that torch takes to load.
_RULES = "torch._meta_registrations"


def load_torch_lean() -> None:
    """Let the coming `import torch` pass over these rules; to be called before it.

    A process that comes back after a crash is waited for by a robot, and nothing of ours runs
    tensors without data. Who asks for anything in that module (`torch.compile` does) gets it:
    it is loaded then. Where torch is laid out otherwise nothing changes.
    """
    found = None if "torch" in sys.modules else importlib.machinery.PathFinder.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return
    file = Path(found.submodule_search_locations[0]) / f"{_RULES.rpartition('.')[2]}.py"
    spec = importlib.util.spec_from_file_location(_RULES, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        return
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def load(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system's questions are none
        if module.__dict__.pop("__getattr__", None) is not None:
            loader.exec_module(module)
        return ModuleType.__getattribute__(module, name)

    module.__dict__["__getattr__"] = load
    sys.modules[_RULES] = module
