"""Bars of the tracking benchmark. A bar for runs that are repeated holds if every run keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .report import Report
from .tracking_measure import RECORDED
from .tracking_runs import FAST, STATIC_TWIN, Sequence

Figures = dict[str, Any]
#: Per rate of the recorded sequence: share of frames skipped, and error in meters.
_AT_RATE = {1.0: (0.01, 0.007), 1.5: (0.03, 0.0075), 2.0: (0.10, 0.009)}
OFFICE = "d435_office"


def worst(
    runs: list[Figures], key: str, pick: Callable[[list[float]], float] = max
) -> float | None:
    """Return the worst figure of several runs; None when one failed or lacks it."""
    values = [run.get(key) for run in runs]
    known = [value for value in values if value is not None]
    return pick(known) if known and len(known) == len(values) else None


def check_tracking(
    report: Report, found: list[Sequence], measured: dict[str, Figures], *,
    torch_rss_mb: float, bf16: bool,
) -> None:
    """Compare what must hold with what was measured.

    Args:
        report: takes the checks.
        found: the sequences.
        measured: by title what `tracking_measure.measure` returns.
        torch_rss_mb: peak memory of the libraries alone, 10^6 bytes.
        bf16: whether the processor multiplies bfloat16, which encoding gains by.
    """
    if RECORDED in measured:
        _check_recorded(report, measured[RECORDED], torch_rss_mb, bf16)
    if OFFICE in measured:
        _check_office(report, measured[OFFICE])
    by_world: dict[str, list[Figures]] = {}
    for sequence in found:
        if sequence.seed is not None:
            by_world.setdefault(sequence.name, []).append(measured[sequence.title])
    if FAST in by_world:
        _check_fast(report, by_world.pop(FAST))
    _check_worlds(report, by_world)


def _check_recorded(report: Report, figures: Figures, torch_rss_mb: float, bf16: bool) -> None:
    """Bars for the recorded sequence that everybody measures."""
    every, live = figures["every_frame"], figures["realtime"]
    report.at_most(f"{RECORDED}: lost", every.get("lost"), 0)
    report.at_most(f"{RECORDED}: ATE, m", every.get("ate_m"), 0.010)
    report.at_most(f"{RECORDED}: raw ATE, m", every.get("raw_ate_m"), 0.020)
    report.at_most(f"{RECORDED}: CPU time of a frame, yardsticks", every.get("cpu_yardsticks"),
                   4.5 if bf16 else 5.5)
    for rate, (skipped, ate_m) in _AT_RATE.items():
        name, runs = f"{RECORDED} at rate {rate:g}", [r for r in live if r["rate"] == rate]
        report.at_most(f"{name}: lost", worst(runs, "lost"), 0)
        report.at_most(f"{name}: skipped", worst(runs, "skipped_share"), skipped)
        report.at_most(f"{name}: ATE, m", worst(runs, "ate_m"), ate_m)
    name, runs = f"{RECORDED} at rate 1", [r for r in live if r["rate"] == 1.0]
    report.at_least(f"{name}: frames with a look of the head", worst(runs, "head_share", min), 0.9)
    for percentile, bar in (("p50", 2.5), ("p95", 6.0)):
        report.at_most(f"{name}: latency {percentile}, yardsticks",
                       worst(runs, f"{percentile}_yardsticks"), bar)
    rss = worst(runs, "rss_mb")
    report.at_most(f"{name}: memory beyond torch's own, MB",
                   None if rss is None else rss - torch_rss_mb, 600.0)


def _check_office(report: Report, figures: Figures) -> None:
    """Bars for a recording with covered lenses and quick turns."""
    runs = [figures["every_frame"], *figures["realtime"]]
    report.at_most(f"{OFFICE}: longest time lost, s", worst(runs, "longest_lost_s"), 0.7)
    report.at_most(f"{OFFICE}: submaps", worst(runs, "submaps"), 1)


def _check_fast(report: Report, measured: list[Figures]) -> None:
    """Bars for the hurried hand: as good in real time as with all the time it wants."""
    runs = [run for m in measured for run in (m["every_frame"], *m["realtime"])]
    report.at_most(f"{FAST}: lost", worst(runs, "lost"), 0)
    ratios: list[Figures] = [
        {"ratio": _over(run.get("ate_m"), m["every_frame"].get("ate_m"))}
        for m in measured for run in m["realtime"]]
    report.at_most(f"{FAST} in real time: ATE over that of every frame", worst(ratios, "ratio"),
                   1.5)


def _check_worlds(report: Report, by_world: dict[str, list[Figures]]) -> None:
    """Bars for the means over the seeds of calm worlds."""
    def mean(world: str, key: str) -> float | None:
        values = [m["every_frame"].get(key) for m in by_world[world]]
        return None if None in values else float(np.mean(values))

    for world, bar in (("room", 0.008), ("corridor", 0.05)):
        if world in by_world:
            report.at_most(f"{world}: mean ATE, m", mean(world, "ate_m"), bar)
    if "dynamic" in by_world:
        ratio = _over(mean("dynamic", "ate_m"), mean(STATIC_TWIN, "ate_m"))
        report.at_most("dynamic: ATE over that of the static twin", ratio, 1.5)
        share = max(m.get("mover_share", float("nan")) for m in by_world["dynamic"])
        report.at_most("dynamic: share of movers in the map", share, 0.01)
    errors = [m["every_frame"].get("nees") for ms in by_world.values() for m in ms]
    if errors:
        middle = None if None in errors else float(np.median(errors))
        report.at_most("normalized error squared over its expectation", middle, 2.0)
        report.at_least("normalized error squared over its expectation", middle, 0.5)


def _over(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else value / reference
