"""Where the tensors live and how many threads work on them."""

from __future__ import annotations

import cv2
import torch

from ..errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return the torch device of a `device` parameter (auto, cpu, cuda, cuda:N).

    Raises:
        ConfigError: the name is unknown or the GPU is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not name.startswith("cuda"):
        raise ConfigError(f"device='{name}': choose auto, cpu, cuda or cuda:N")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device='{name}': choose auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device='{name}': torch {torch.__version__} sees no GPU; use device=cpu")
    return device


def set_threads(count: int) -> None:
    """Limit torch and OpenCV of this process to `count` threads."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
