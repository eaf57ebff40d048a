"""What every benchmark shares: command line, machine facts, checks against bars, JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Check:
    """One figure that must hold: `value` is at most (or at least) `bar`."""

    name: str
    value: float | None
    bar: float
    at_least: bool
    ok: bool


@dataclass
class Report:
    """Figures and checks of one benchmark run."""

    benchmark: str
    figures: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.time)

    def at_most(self, name: str, value: float | None, bar: float) -> None:
        """Record a check that `value` does not exceed `bar`; no value, or NaN, fails."""
        self._check(name, value, bar, at_least=False)

    def at_least(self, name: str, value: float | None, bar: float) -> None:
        """Record a check that `value` reaches `bar`; no value, or NaN, fails."""
        self._check(name, value, bar, at_least=True)

    def _check(self, name: str, value: float | None, bar: float, *, at_least: bool) -> None:
        value = None if value is None or math.isnan(value) else float(value)
        ok = value is not None and (value >= bar if at_least else value <= bar)
        self.checks.append(Check(name, value, float(bar), at_least, bool(ok)))

    def missing(self, what: str) -> None:
        """Record data or weights that were not given; what depends on them is left out."""
        self.absent.append(what)

    def finish(self, out: Path) -> int:
        """Write the JSON, print the checks, and return the exit code: 1 when a check fails."""
        out.write_text(json.dumps({
            "benchmark": self.benchmark, "machine": machine(),
            "seconds": round(time.time() - self.started, 1), "absent": self.absent,
            "figures": self.figures, "checks": [asdict(c) for c in self.checks],
        }, indent=1, default=_plain) + "\n")
        for check in self.checks:
            value = "none" if check.value is None else f"{check.value:.4g}"
            relation = ">=" if check.at_least else "<="
            say(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {value} "
                f"({relation} {check.bar:.4g})")
        for what in self.absent:
            say(f"absent: {what}")
        say(f"written: {out}")
        return 0 if all(c.ok for c in self.checks) else 1


def say(text: str) -> None:
    """Print a line now, also when the output is a file."""
    print(text, flush=True)


def _plain(value: Any) -> Any:
    """Turn numpy values into what JSON knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"not JSON: {type(value).__name__}")


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, load, GPU, library versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    flags: set[str] = set()
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
    return {
        "processor": model, "cores": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 2),
        "avx512": "avx512f" in flags, "bf16": "avx512_bf16" in flags or "amx_bf16" in flags,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(), "torch": torch.__version__,
    }


def interleaved_ms(
    calls: dict[str, Callable[[], Any]], rounds: int, warm_up: int = 3
) -> dict[str, float]:
    """Return the median wall time of each call in ms; rounds alternate, so load hits all alike."""
    for _ in range(warm_up):
        for call in calls.values():
            call()
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) * 1e3 for name, times in spent.items()}


def parser(description: str) -> argparse.ArgumentParser:
    """Return the command line all benchmarks share: --data DIR --out FILE.json."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--data", type=Path, help="folder of sequences (TUM layout), one per folder")
    made.add_argument("--out", type=output_file, required=True, help="JSON file to write")
    return made


def output_file(text: str) -> Path:
    """Make the folder of an output at the start: a long run must not fail at its end."""
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sequences(data: Path | None) -> dict[str, Path]:
    """Return {name: folder} of the sequences in --data; a sequence itself may be given too."""
    if data is None:
        return {}
    if not data.is_dir():
        sys.exit(f"--data {data}: no such folder")
    if (data / "rgb.txt").exists():
        return {data.name: data}
    return {p.name: p for p in sorted(data.iterdir()) if (p / "rgb.txt").exists()}
