"""In which precision an encoder runs: half the width only where the machine computes in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch


@lru_cache(maxsize=1)
def cpu_has_bf16() -> bool:
    """Tell whether this processor multiplies bfloat16 itself (AVX-512 BF16, AMX, Arm BF16)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # emulated it would be slower than single precision
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(text.split()))


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the precision of an `encoder.precision` parameter (auto, fp32, bf16)."""
    if name != "auto":
        return torch.bfloat16 if name == "bf16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and cpu_has_bf16()
    return torch.bfloat16 if native else torch.float32
