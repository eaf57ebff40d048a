"""Ablations of the tracking benchmark: what each component is worth, over worlds and seeds.

Two runs differ by chance as well (other keyframes, other luck with a drift of millimeters), so
that a component is judged by the median over all its sequences.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ace_slam_ros.core.config.fields import flatten
from ace_slam_ros.core.config.sections import SlamConfig

from .report import Report
from .tracking_runs import Runs, Sequence, first_lost_s, map_ate_m, on_all_cores, thinned

#: A run that tracks less of what the whole system tracks is lost, whatever the error of the rest.
_LEAST_TRACKED = 0.95


@dataclass(frozen=True)
class Ablation:
    """One component switched off, measured where it has something to do.

    Attributes:
        name: of the ablation.
        settings: parameters that switch the component off.
        worlds: rendered ones to run in.
        recorded: whether recorded sequences count as well.
        figure: `ate_m`, error of the poses as they were answered, or `map_ate_m`, error of the
            map's keyframes at the end.
        every: which color images are used, 3 = every third.
        why: the reason for the setting.
    """

    name: str
    settings: dict[str, Any]
    worlds: tuple[str, ...] = ("room", "corridor")
    recorded: bool = True
    figure: str = "ate_m"
    every: int = 1
    why: str = ""


ABLATIONS = (
    Ablation("no refinement", {"tracker.refine": False}),
    Ablation("no windowed adjustment", {"tracker.window": 0}),
    Ablation(
        "no noise model", {"sensor.noise_base_m": 0.01, "sensor.noise_quadratic": 0.0},
        why="every depth counts alike, as 1 cm"),
    Ablation(
        "no motion prior", {"tracker.motion_prior": False}, every=3,
        why="at 10 Hz: from one image of 30 Hz to the next, the camera hardly moves"),
    Ablation(
        "no graph", {"mapper.pose_graph": False}, worlds=("loop",), recorded=False,
        figure="map_ate_m",
        why="error of the map at the end, once the loop is closed; poses answered before are the "
        "same with and without"),
)


@dataclass(frozen=True)
class Ablated:
    """What became of one sequence with a component switched off.

    Attributes:
        whole_m, without_m: error of the whole system and without the component; of the tracked
            frames alone.
        frames, lost: of the run without the component.
        lost_at_s: when it lost track first, None when it did not.
        ratio: of the errors, infinite when too little was tracked; None without both.
        failed: message of a run that did not end.
    """

    whole_m: float | None
    without_m: float | None
    frames: int = 0
    lost: int = 0
    lost_at_s: float | None = None
    ratio: float | None = None
    failed: str = ""


def ablate(
    found: list[Sequence], measured: dict[str, dict[str, Any]], results: Runs, cache: Path,
    report: Report,
) -> dict[str, dict[str, Any]]:
    """Run all ablations; returns by name what `summarized` tells, and every run by title.

    Args:
        found: all sequences; each ablation takes those that suit it.
        measured: every-frame summaries of the whole system by title.
        results: makes the runs, and holds those of the whole system.
        cache: folder for thinned sequences.
        report: takes the checks, and what cannot be measured.
    """
    known = flatten(SlamConfig())
    table: dict[str, dict[str, Any]] = {}
    for ablation in ABLATIONS:
        chosen = [s for s in found if (
            ablation.recorded if s.seed is None else s.name in ablation.worlds)]
        if not ablation.settings.keys() <= known.keys():
            report.missing(f"ablation '{ablation.name}': no parameter "
                           f"{', '.join(ablation.settings)}")
        elif chosen:
            table[ablation.name] = _ablated(ablation, chosen, measured, results, cache)
    return table


def check(report: Report, table: dict[str, dict[str, Any]]) -> None:
    """Every component must be worth its place: without it, the error is at least as large."""
    for name, row in table.items():
        report.at_least(f"ablation '{name}': median ratio of errors", row["ratio"], 1.0)


def summarized(runs: dict[str, Ablated]) -> dict[str, Any]:
    """Median ratio, its range, and the lost frames of several runs; None when a run failed."""
    ratios = [r.ratio for r in runs.values()]
    whole = all(ratio is not None for ratio in ratios)
    known = [ratio for ratio in ratios if ratio is not None]
    return {
        "ratio": float(np.median(known)) if known and whole else None,
        "ratios": (min(known), max(known)) if known else None,
        "lost": sum(r.lost for r in runs.values()), "frames": sum(r.frames for r in runs.values()),
        "runs": {title: asdict(r) for title, r in runs.items()}}


def compared(whole: dict[str, Any], without: dict[str, Any], figure: str) -> Ablated:
    """Compare two summaries of runs of one sequence, with `figure` and `lost_at_s` in them."""
    failed = without.get("failed", whole.get("failed", ""))
    before, after = whole.get(figure), without.get(figure)
    if failed:
        return Ablated(before, after, failed=failed)
    ratio = None if before is None or after is None else after / before
    if without["frames"] - without["lost"] < _LEAST_TRACKED * (whole["frames"] - whole["lost"]):
        ratio = math.inf
    return Ablated(before, after, without["frames"], without["lost"], without.get("lost_at_s"),
                   ratio)


def _ablated(
    ablation: Ablation, chosen: list[Sequence], measured: dict[str, dict[str, Any]],
    results: Runs, cache: Path,
) -> dict[str, Any]:
    """Run one ablation on its sequences, and the whole system where that was not measured."""
    suffix = "" if ablation.every == 1 else f".every_{ablation.every}"
    if suffix:
        chosen = [thinned(s, ablation.every, cache) for s in chosen]
    label = ablation.name.replace(" ", "_")
    jobs = [] if not suffix else [(s, f"{s.title}{suffix}", {}) for s in chosen]
    jobs += [(s, f"{s.title}{suffix}.{label}", ablation.settings) for s in chosen]

    def done(job: tuple[Sequence, str, dict[str, Any]]) -> dict[str, Any]:
        return results.run(job[0], job[1], settings=job[2])

    summaries = dict(zip([job[1] for job in jobs], on_all_cores(done, jobs), strict=True))
    runs = {}
    for sequence in chosen:
        title = sequence.title
        whole = summaries[f"{title}{suffix}"] if suffix else measured[title]["every_frame"]
        folder = f"{title}{suffix}" if suffix else f"{title}.every_frame"
        without = summaries[f"{title}{suffix}.{label}"]
        runs[title] = compared(
            _with_extras(whole, sequence, results.folder / folder, ablation.figure),
            _with_extras(without, sequence, results.folder / f"{title}{suffix}.{label}",
                         ablation.figure), ablation.figure)
    return {**summarized(runs), "figure": ablation.figure, "every": ablation.every,
            "why": ablation.why}


def _with_extras(
    summary: dict[str, Any], sequence: Sequence, out: Path, figure: str
) -> dict[str, Any]:
    """Add what a summary of a run does not hold."""
    if "failed" in summary:
        return summary
    extras: dict[str, Any] = {}
    if summary["lost"]:
        extras["lost_at_s"] = first_lost_s(sequence, out)
    if figure == "map_ate_m" and figure not in summary:
        extras["map_ate_m"] = map_ate_m(sequence, out)
    return {"ate_m": summary.get("ate_rmse_m"), **summary, **extras}
