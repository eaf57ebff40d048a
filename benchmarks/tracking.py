"""Accuracy, speed and memory of tracking: every world, recorded data, ablations, checks.

python benchmarks/tracking.py --data FOLDER --out tracking.json --report docs/benchmarks.md
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from lib.report import Report, parser, say, sequences
from lib.tracking_ablations import ablate, check
from lib.tracking_report import write_report
from lib.tracking_runs import (
    STATIC_TWIN,
    Runs,
    Sequence,
    baseline_rss_mb,
    map_ate_m,
    mover_shares,
    on_all_cores,
    path_length_m,
    rendered,
    shortened,
)
from lib.yardstick import yardstick_ms

from ace_slam_ros.synth.worlds import WORLD_NAMES

QUICK_FRAMES = 250


def main() -> int:
    """Run the benchmark; returns 0, or 1 when a check fails."""
    args = _arguments().parse_args()
    if args.render_only:
        write_report(json.loads(args.out.read_text()), args.report)
        return 0
    report = Report("tracking")
    frames = QUICK_FRAMES if args.quick else None
    cache = args.cache or args.out.parent / "worlds"
    cache.mkdir(parents=True, exist_ok=True)
    found = [shortened(name, path, frames, cache) for name, path in sequences(args.data).items()]
    if not found:
        report.missing("recorded sequences (--data)")
    for world in args.worlds:
        names = (world, STATIC_TWIN) if world == "dynamic" else (world,)
        found += [rendered(name, seed, frames, cache) for seed in range(1, args.seeds + 1)
                  for name in names]
    results = Runs(args.out.parent / "runs", args.resume)
    report.figures = {
        "quick": args.quick, "torch_baseline_rss_mb": baseline_rss_mb(),
        "sequences": _measure(found, results)}
    if args.ablations:
        report.figures["ablations"] = ablate(
            found, report.figures["sequences"], results, cache, report)
    if found:
        report.figures["repeatable"] = _repeatable(found[0], results)
    _check(report, found)
    code = report.finish(args.out)
    if args.report:
        write_report(json.loads(args.out.read_text()), args.report)
    return code


def _arguments() -> ArgumentParser:
    made = parser("Accuracy, speed and memory of tracking.")
    made.add_argument("--worlds", nargs="*", default=list(WORLD_NAMES), choices=WORLD_NAMES)
    made.add_argument("--seeds", type=int, default=3, help="of each world, from 1 on")
    made.add_argument("--ablations", action="store_true", help="switch components off as well")
    made.add_argument("--quick", action="store_true", help=f"first {QUICK_FRAMES} frames only")
    made.add_argument("--cache", type=Path, help="rendered worlds, default beside --out")
    made.add_argument("--report", type=Path, help="markdown page to write the results into")
    made.add_argument(
        "--resume", action="store_true", help="keep the runs that an earlier call has ended")
    made.add_argument(
        "--render-only", action="store_true", help="write --report from an existing --out")
    return made


def _measure(found: list[Sequence], results: Runs) -> dict[str, dict[str, Any]]:
    """Run all sequences both ways; returns the figures of the table by title."""
    # Time passes alone; what does not depend on time may share the machine.
    live = [_live(sequence, results) for sequence in found]
    every = on_all_cores(lambda s: results.run(s, f"{s.title}.every_frame"), found)
    measured = {}
    for sequence, in_time, in_turn in zip(found, live, every, strict=True):
        figures = {
            mode: _figures(summary, sequence, results.folder / f"{sequence.title}.{mode}")
            for mode, summary in (("every_frame", in_turn), ("realtime", in_time))}
        if sequence.seed is not None:
            figures["length_m"] = path_length_m(sequence)
        if (sequence.path / "movers.npz").exists() and "failed" not in in_turn:
            out = results.folder / f"{sequence.title}.every_frame"
            figures |= zip(("mover_share", "mover_pixels"), mover_shares(sequence, out),
                           strict=True)
        measured[sequence.title] = figures
    return measured


def _live(sequence: Sequence, results: Runs) -> dict[str, Any]:
    """Run in real time, and take the yardstick before and after."""
    before_ms = yardstick_ms(sequence.path)
    summary = results.run(sequence, f"{sequence.title}.realtime", realtime=True)
    return summary | {"yardstick_ms": (before_ms + yardstick_ms(sequence.path)) / 2}


def _figures(summary: dict[str, Any], sequence: Sequence, out: Path) -> dict[str, Any]:
    if "failed" in summary:
        return summary
    nees, known = summary.get("nees") or {}, summary["ate_rmse_m"] is not None
    kind = "pose_mocap" if sequence.seed is None else "pose"
    return {
        "frames": summary["frames"], "lost": summary["lost"], "skipped": summary["skipped"],
        "skipped_share": summary["skipped"] / max(1, summary["frames"]),
        "ate_m": summary["ate_rmse_m"], "raw_ate_m": summary["raw_ate_rmse_m"],
        "rpe_m_per_s": summary["rpe_trans_m_per_s"], "p50_ms": summary["latency_ms"]["p50"],
        "p95_ms": summary["latency_ms"]["p95"], "yardstick_ms": summary.get("yardstick_ms"),
        "rss_mb": summary["peak_rss_mb"],
        "map_bytes": summary["map_bytes"], "nees": nees.get(kind),
        "map_ate_m": map_ate_m(sequence, out) if known else None,
        "stages_ms": summary["stages_ms"], "gave_up": summary.get("gave_up"),
    }


def _repeatable(sequence: Sequence, results: Runs) -> bool:
    """Whether a second run writes the same bytes."""
    results.run(sequence, f"{sequence.title}.again")
    files = [results.folder / f"{sequence.title}.{name}" / "trajectory.txt"
             for name in ("every_frame", "again")]
    return all(f.exists() for f in files) and files[0].read_bytes() == files[1].read_bytes()


def _check(report: Report, found: list[Sequence]) -> None:
    """Compare what must hold with what was measured."""
    measured = report.figures["sequences"]
    if "tum_fr1_xyz" in measured:
        _check_recorded(report, measured["tum_fr1_xyz"])
    by_world: dict[str, list[dict[str, Any]]] = {}
    for sequence in found:
        if sequence.seed is not None:
            by_world.setdefault(sequence.name, []).append(measured[sequence.title])

    def mean(world: str, key: str) -> float | None:
        values = [m["every_frame"].get(key) for m in by_world[world]]
        return None if None in values else float(np.mean(values))

    for world, bar in (("room", 0.008), ("corridor", 0.05)):
        if world in by_world:
            report.at_most(f"{world}: mean ATE, m", mean(world, "ate_m"), bar)
    if "dynamic" in by_world:
        moving, static = mean("dynamic", "ate_m"), mean(STATIC_TWIN, "ate_m")
        ratio = None if moving is None or static is None else moving / static
        report.at_most("dynamic: ATE over that of the static twin", ratio, 1.5)
        share = max(m.get("mover_share", float("nan")) for m in by_world["dynamic"])
        report.at_most("dynamic: share of movers in the map", share, 0.01)
    errors = [m["every_frame"].get("nees") for ms in by_world.values() for m in ms]
    if errors:
        middle = None if None in errors else float(np.median(errors))
        report.at_most("normalized error squared over its expectation", middle, 2.0)
        report.at_least("normalized error squared over its expectation", middle, 0.5)
    check(report, report.figures.get("ablations", {}))
    if "repeatable" in report.figures:
        report.at_least("every frame twice is identical", float(report.figures["repeatable"]), 1.0)


def _check_recorded(report: Report, figures: dict[str, Any]) -> None:
    """Bars for the recorded sequence that everybody measures."""
    every, live = figures["every_frame"], figures["realtime"]
    name = "tum_fr1_xyz"
    report.at_most(f"{name}: ATE, m", every.get("ate_m"), 0.010)
    report.at_most(f"{name}: raw ATE, m", every.get("raw_ate_m"), 0.020)
    report.at_most(f"{name} in real time: ATE, m", live.get("ate_m"), 0.014)
    report.at_most(f"{name} in real time: skipped", live.get("skipped_share"), 0.10)
    report.at_most(f"{name} in real time: latency p50, ms", live.get("p50_ms"), 33.0)
    report.at_most(f"{name} in real time: latency p95, ms", live.get("p95_ms"), 60.0)
    rss = live.get("rss_mb")
    own = None if rss is None else rss - report.figures["torch_baseline_rss_mb"]
    report.at_most(f"{name} in real time: memory beyond torch's own, MB", own, 600.0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
