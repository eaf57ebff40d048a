"""Diagnostics: one status per node, with a sentence that says what is wrong and what to do."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

OK, WARN, ERROR = (int.from_bytes(level, "little") for level in (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR))


@dataclass
class Report:
    """State of a node: the worst problem decides the level, all of them are said."""

    problems: list[tuple[int, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        """Add a problem that degrades the output."""
        if text:
            self.problems.append((WARN, text))

    def error(self, text: str) -> None:
        """Add a problem that stops the output."""
        if text:
            self.problems.append((ERROR, text))

    def to_msg(self, name: str, stamp: Any) -> DiagnosticArray:
        """Return the message, the worst problem first."""
        ranked = sorted(self.problems, key=lambda p: -p[0])
        level = ranked[0][0] if ranked else OK
        status = DiagnosticStatus(
            level=bytes([level]), name=name, hardware_id="ace_slam_ros",
            message="; ".join(text for _, text in ranked) or "running",
            values=[KeyValue(key=k, value=_text(v)) for k, v in self.values.items()],
        )
        return DiagnosticArray(header=Header(stamp=stamp), status=[status])


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Window:
    """The last values of a measurement, for percentiles."""

    def __init__(self, length: int = 300) -> None:
        self._values: deque[float] = deque(maxlen=length)

    def add(self, value: float) -> None:
        """Add one value."""
        self._values.append(value)

    def percentiles(self, ranks: Sequence[float]) -> list[float]:
        """Return percentiles (0..100), zeros before the first value."""
        values = list(self._values)
        return [float(v) for v in np.percentile(values, ranks)] if values else [0.0] * len(ranks)


class ProcessUsage:
    """Memory and processor use of this process between calls."""

    def __init__(self) -> None:
        self._last = (time.monotonic(), time.process_time())

    def values(self, device: Any = None) -> dict[str, float]:
        """Return resident memory in MB, CPU in percent of one core, and GPU memory in MB."""
        now = (time.monotonic(), time.process_time())
        wall_s, cpu_s = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        found = {"memory_mb": resident / 1e6, "cpu_percent": 100.0 * cpu_s / max(wall_s, 1e-3)}
        if device is not None and device.type == "cuda":
            import torch

            found["gpu_memory_mb"] = torch.cuda.memory_allocated(device) / 1e6
        return found
