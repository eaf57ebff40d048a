"""Public data sets: what is found below a folder is run, and set beside published errors.

python benchmarks/datasets.py --data FOLDER --out datasets.json --report datasets.md

Each sequence runs three times in real time, in a process of its own; `--every-frame` waits for
every frame instead, which repeats bit for bit, so that one run says all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lib.published import PUBLISHED, sequence_key
from lib.report import Report, parser, say

from ace_slam_ros.core.errors import AceSlamError
from ace_slam_ros.io.datasets.layouts import layout_of

#: Folders of a data set lie at most so deep below the one that is given.
_DEPTH = 3
RUNS = 3


@dataclass(frozen=True)
class Found:
    """A sequence on the disk."""

    name: str
    layout: str
    path: Path


#: Runs a sequence into a folder; returns its summary, or the words of its failure.
Run = Callable[[Path, Path], "dict[str, Any] | str"]


def find(data: Path) -> list[Found]:
    """Return the sequences below a folder, by their layout; those within one do not count."""
    return list(_find(data, data, _DEPTH))


def _find(data: Path, path: Path, depth: int) -> Iterator[Found]:
    layout = _layout(path)
    if layout:
        name = path.name if path == data else str(path.relative_to(data))
        yield Found(name, layout, path)
    elif depth:
        for inner in sorted(p for p in path.iterdir() if p.is_dir()):
            yield from _find(data, inner, depth - 1)


def _layout(path: Path) -> str:
    if (path / "rgb.txt").is_file() and (path / "camera.yaml").is_file():
        return "TUM"
    try:
        found = layout_of(path)
    except AceSlamError:  # a folder of several sequences
        return ""
    return "" if found is None else found.name


def run_command(every_frame: bool, settings: list[str]) -> Run:
    """Return what runs a sequence as a user does."""
    pace = "--every-frame" if every_frame else "--realtime"
    extra = [word for setting in settings for word in ("--set", setting)]

    def run(path: Path, out: Path) -> dict[str, Any] | str:
        done = subprocess.run(
            [sys.executable, "-m", "ace_slam_ros.cli", "run", str(path), pace, "--out", str(out),
             *extra], capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
        return summary

    return run


def measure(found: Found, run: Run, runs: int, out: Path) -> dict[str, Any]:
    """Run a sequence several times; return its figures."""
    results: list[dict[str, Any]] = []
    errors: list[str] = []
    for number in range(runs):
        result = run(found.path, out / found.name.replace("/", "_") / str(number))
        if isinstance(result, str):
            errors.append(result)
        else:
            results.append(result)
    key = sequence_key(found.layout, found.path.name)
    return {
        "sequence": found.name, "layout": found.layout, "key": key,
        "ate_cm": [_centimeters(r["ate_rmse_m"]) for r in results],
        "tracked": [r["tracked"] / max(1, r["frames"]) for r in results],
        "map_mb": _median([r["map_bytes"] / 1e6 for r in results]),
        "keyframes_mb": _median([r["keyframe_bytes"] / 1e6 for r in results]),
        "compared": [r.get("compared", {}) for r in results],
        "assumptions": results[0].get("assumptions", {}) if results else {},
        "published_cm": {p.system: p.ate_cm[key] for p in PUBLISHED if key in p.ate_cm},
        "errors": errors}


def _centimeters(value_m: float | None) -> float | None:
    return None if value_m is None else round(100.0 * value_m, 2)


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def table(figures: list[dict[str, Any]], how: str) -> str:
    """Return the figures as Markdown; columns of others only where one of them says something."""
    others = [p for p in PUBLISHED if any(p.system in f["published_cm"] for f in figures)]
    head = ["sequence", "layout", "ours, cm (each run)", "tracked", "map, MB",
            *(p.system for p in others)]
    lines = [f"ATE RMSE after rigid alignment; ours {how}, others as published.", "",
             f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in figures:
        cells = [row["sequence"], row["layout"], _ours(row), _share(row["tracked"]),
                 _number(row["map_mb"]),
                 *(_number(row["published_cm"].get(p.system)) for p in others)]
        lines.append(f"| {' | '.join(cells)} |")
    sources = [f"* {p.system}: {p.source}." for p in others]
    return "\n".join([*lines, "", *sources]).rstrip() + "\n"


def _ours(row: dict[str, Any]) -> str:
    known = [v for v in row["ate_cm"] if v is not None]
    if not known:
        return row["errors"][0] if row["errors"] else "no ground truth"
    each = ", ".join(_number(v) for v in row["ate_cm"])
    failed = f", {len(row['errors'])} failed" if row["errors"] else ""
    return f"{float(np.median(known)):.2f} ({each}{failed})"


def _share(values: list[float]) -> str:
    return f"{100 * min(values):.1f} %" if values else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> int:
    """Run the benchmark; returns 0, or 1 when nothing was found or a run failed."""
    args = _arguments().parse_args()
    report = Report("datasets")
    found = [] if args.data is None else find(args.data)
    if not found:
        report.missing("data sets (--data)")
    figures = []
    run = run_command(args.every_frame, args.settings)
    for sequence in found:
        figures.append(measure(sequence, run, args.runs, args.out.parent / "runs"))
        say(f"{sequence.name} ({sequence.layout}): {_ours(figures[-1])}")
        report.figures = {"sequences": figures, "runs": args.runs}
    report.at_least("sequences found", float(len(found)), 1.0)
    report.at_most("runs that failed", float(sum(len(f["errors"]) for f in figures)), 0.0)
    (args.report or args.out.with_suffix(".md")).write_text(table(figures, _how(args)))
    return report.finish(args.out)


def _how(args: Namespace) -> str:
    pace = "every frame" if args.every_frame else "in real time"
    return f"{pace}, median of {args.runs} runs"


def _arguments() -> ArgumentParser:
    made = parser("Public data sets beside published errors.")
    made.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"of each, {RUNS}")
    made.add_argument("--every-frame", action="store_true", help="wait for every frame")
    made.add_argument("--report", type=Path, help="Markdown file, default beside --out")
    made.add_argument("--set", action="append", default=[], metavar="A.B=V", dest="settings",
                      help="set one parameter; may be repeated")
    return made


if __name__ == "__main__":
    sys.exit(main())
