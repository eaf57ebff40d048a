"""Accuracy, speed and memory of tracking: every world, recorded data, ablations, checks.

python benchmarks/tracking.py --data FOLDER --out tracking.json --report docs/benchmarks.md
python benchmarks/tracking.py --data FOLDER --out compared.json --worlds --against OLDER_CHECKOUT
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from lib.report import Report, machine, parser, say, sequences
from lib.tracking_ablations import ablate, check
from lib.tracking_checks import check_tracking
from lib.tracking_measure import measure
from lib.tracking_report import write_report
from lib.tracking_runs import (
    FAST,
    STATIC_TWIN,
    Runs,
    Sequence,
    baseline_rss_mb,
    rendered,
    shortened,
)

from ace_slam_ros.synth.worlds import WORLD_NAMES

QUICK_FRAMES = 250
SEEDS, FAST_SEEDS = 3, 5


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
        seeds = args.seeds or (FAST_SEEDS if world == FAST else SEEDS)
        found += [rendered(name, seed, frames, cache) for seed in range(1, seeds + 1)
                  for name in names]
    results = Runs(args.out.parent / "runs", args.resume)
    programs = [results]
    if args.against:
        programs.append(Runs(args.out.parent / "against", args.resume, args.against))
    measured, *others = measure(found, programs, args.runs)
    report.figures = {
        "quick": args.quick, "torch_baseline_rss_mb": baseline_rss_mb(), "sequences": measured}
    if others:
        report.figures |= {"against": str(args.against), "against_sequences": others[0]}
    if args.ablations:
        report.figures["ablations"] = ablate(
            found, report.figures["sequences"], results, cache, report)
    if found:
        report.figures["repeatable"] = _repeatable(found[0], results)
    check_tracking(
        report, found, measured, torch_rss_mb=report.figures["torch_baseline_rss_mb"],
        bf16=machine()["bf16"])
    check(report, report.figures.get("ablations", {}))
    if "repeatable" in report.figures:
        report.at_least("every frame twice is identical", float(report.figures["repeatable"]), 1.0)
    code = report.finish(args.out)
    if args.report:
        write_report(json.loads(args.out.read_text()), args.report)
    return code


def _arguments() -> ArgumentParser:
    made = parser("Accuracy, speed and memory of tracking.")
    made.add_argument("--worlds", nargs="*", default=[*WORLD_NAMES, FAST],
                      choices=[*WORLD_NAMES, FAST])
    made.add_argument(
        "--seeds", type=int, help=f"of each world, from 1 on (default: {SEEDS}, of the fast room "
        f"{FAST_SEEDS})")
    made.add_argument(
        "--runs", type=int, metavar="N", help="in real time; each must keep to the bars (default: "
        "3 of recorded sequences and the fast room, else 1)")
    made.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="another version of this repository, run "
        "in turn on the same sequences, by the same Python")
    made.add_argument("--ablations", action="store_true", help="switch components off as well")
    made.add_argument("--quick", action="store_true", help=f"first {QUICK_FRAMES} frames only")
    made.add_argument("--cache", type=Path, help="rendered worlds, default beside --out")
    made.add_argument("--report", type=Path, help="markdown page to write the results into")
    made.add_argument(
        "--resume", action="store_true", help="keep the runs that an earlier call has ended")
    made.add_argument(
        "--render-only", action="store_true", help="write --report from an existing --out")
    return made


def _repeatable(sequence: Sequence, results: Runs) -> bool:
    """Whether a second run writes the same bytes."""
    results.run(sequence, f"{sequence.title}.again")
    files = [results.folder / f"{sequence.title}.{name}" / "trajectory.txt"
             for name in ("every_frame", "again")]
    return all(f.exists() for f in files) and files[0].read_bytes() == files[1].read_bytes()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
