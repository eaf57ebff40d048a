"""In which precision an encoder runs: half the width only where the machine computes in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .device import Device

Precision = Literal["fp32", "bf16"]
#: Compute capability of the first GPUs with bfloat16.
_AMPERE = (8, 0)


@lru_cache(maxsize=1)
def cpu_has_bf16() -> bool:
    """Tell whether this processor multiplies bfloat16 itself (AVX-512 BF16, AMX, Arm BF16)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # emulated it would be slower than single precision
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(text.split()))


def choose_precision(name: str, device: Device) -> Precision:
    """Return the precision of an `encoder.precision` parameter (auto, fp32, bf16)."""
    if name != "auto":
        return "bf16" if name == "bf16" else "fp32"
    return "bf16" if _has_bf16(device) else "fp32"


def _has_bf16(device: Device) -> bool:
    if device.type != "cuda":
        return device.type == "cpu" and cpu_has_bf16()
    import torch

    return torch.cuda.get_device_capability(device) >= _AMPERE
