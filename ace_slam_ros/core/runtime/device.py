"""Where the tensors live and how many threads work on them, told without importing torch.

Importing torch takes as long as all else that a tracker does before its first pose. A tracker or
relocalizer on a CPU, with the shipped encoder in OpenVINO and an affine head, does without it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import metadata

import cv2

from ..errors import ConfigError

_threads = os.cpu_count() or 1


class Device(str):
    """What torch takes as a device: cpu, cuda or cuda:N."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """What kind of device: cpu or cuda."""
        return self.partition(":")[0]


CPU = Device("cpu")


def choose_device(name: str) -> Device:
    """Return the device of a `device` parameter (auto, cpu, cuda, cuda:N).

    Raises:
        ConfigError: the name is unknown or the GPU is not there.
    """
    kind, _, number = name.partition(":")
    if name == "auto":
        return Device("cuda") if _may_have_gpu() and _sees_gpu() else CPU
    if name == "cpu":
        return CPU
    if kind != "cuda" or ":" in name and not number.isdecimal():
        raise ConfigError(f"device='{name}': choose auto, cpu, cuda or cuda:N")
    if not _sees_gpu():
        raise ConfigError(f"device='{name}': torch {metadata.version('torch')} sees no GPU; use "
                          "device=cpu")
    return Device(name)


def set_threads(count: int) -> None:
    """Limit torch, OpenVINO and OpenCV of this process to `count` threads."""
    global _threads
    _threads = count
    cv2.setNumThreads(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
    else:
        os.environ["OMP_NUM_THREADS"] = str(count)  # torch reads it when it is imported


def threads() -> int:
    """Return how many threads libraries may use."""
    torch = sys.modules.get("torch")
    return _threads if torch is None else int(torch.get_num_threads())


def _may_have_gpu() -> bool:
    """Tell whether it is worth while to ask torch: it is built for GPUs, and there is a driver."""
    try:
        build = metadata.version("torch").partition("+")[2]
    except metadata.PackageNotFoundError:
        return False
    if build == "cpu":
        return False
    if build.startswith("rocm"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
