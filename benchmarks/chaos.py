"""Three live nodes in a storm: what is lost, what is wrong, what hangs.

    python benchmarks/chaos.py [--data FOLDER] [--minutes 5] [--seed 1] --out chaos.json

The nodes follow a camera that shows the first seconds of a recording to and fro (without --data a
rendered room) while events come in a seeded order: nodes are killed, stopped and told to change
their state, maps begin, are saved and loaded by several clients at once, somebody forges
keyframes, damages the weights, fills the disk, lets clocks jump, and the camera sends rubbish. In
between the storm pauses, and everything must work again. Every pose is compared with the truth.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lib.chaos.camera import Shot, load_shots
from lib.chaos.events import FAMILIES, all_events
from lib.chaos.storm import Storm, figures
from lib.chaos.system import StormSystem
from lib.report import Report, parser, say, sequences

from ace_slam_ros.evaluation.tables import format_table
from ace_slam_ros.synth.sequence import write_sequence

#: Memory is judged after three minutes, of storms that last long enough after them.
_WARM_S, _LONG_MINUTES = 180.0, 10.0
EVENTS = {event.__name__: event for event in all_events()}
_BACK_WITHIN_S = 3.0
_GROWTH_PERCENT = 5.0


def shots_of(data: Path | None, count: int) -> list[Shot]:
    """Return the pairs of the first sequence in `data`, or of a rendered room."""
    found = next(iter(sequences(data).values()), None)
    if found is not None:
        return load_shots(found, count)
    with tempfile.TemporaryDirectory() as folder:
        return load_shots(write_sequence(Path(folder) / "room", "room", 1, count, True), count)


def check(report: Report, found: dict[str, Any]) -> None:
    """Compare a storm's figures with what must hold."""
    for name, value in (
        ("wrong poses", len(found["wrong_poses"])),
        ("poses of frames that were never sent", found["poses_of_no_frame"]),
        ("maps lost", len(found["maps_lost"])), ("hangs", len(found["hangs"])),
        ("unanswered calls", len(found["unanswered"])),
        ("unexpected errors", sum(found["unexpected"].values())),
    ):
        report.at_most(name, value, 0.0)
    report.at_most("seconds without pose in a known place that nothing excuses",
                   found["without_pose_s"], 0.0)
    for node, backs in found["back"].items():
        if backs:
            report.at_most(f"longest time until a killed {node} is active again, s",
                           max(b["wall_s"] for b in backs), _BACK_WITHIN_S)
            report.at_most(f"processor time that takes the {node}, median, s",
                           float(np.median([b["cpu_s"] for b in backs])), _BACK_WITHIN_S)
    for node, percent in found["memory_growth_percent"].items():
        if found["minutes"] >= _LONG_MINUTES:
            report.at_most(f"growth of memory of the {node}, %", percent, _GROWTH_PERCENT)


def table(found: dict[str, Any]) -> str:
    """Return what came how often, a line for each event."""
    rows = [(family, event.__name__, found["events"].get(event.__name__, 0))
            for family, events in FAMILIES.items() for event in events]
    return format_table(rows, ("family", "event", "times"))


def main() -> int:
    """Run; exit code 1 when a check fails."""
    arguments = parser(__doc__.split("\n")[0])
    arguments.add_argument("--minutes", type=float, default=5.0)
    arguments.add_argument("--seed", type=int, default=1, help="of the order of events")
    arguments.add_argument("--frames", type=int, default=300, help="of the recording")
    arguments.add_argument("--only", nargs="*", choices=sorted(EVENTS), default=sorted(EVENTS),
                           metavar="EVENT", help="these events alone")
    arguments.add_argument("--log", type=Path, help="file for all lines of the nodes")
    args = arguments.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))  # nobody else's storm
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    report = Report("chaos")
    with StormSystem(shots_of(args.data, args.frames)) as system:
        if not system.disk_is_small:
            report.missing("a small disk to fill (needs root): the size of files is limited")
        storm = Storm(
            system, [EVENTS[name] for name in args.only], args.seed, say)
        try:
            storm.run(60.0 * args.minutes)
        finally:
            if args.log is not None:
                args.log.write_text("".join(
                    f"{t - storm.begin_s:8.2f} {n:>11} | {line}\n" for t, n, line in system.lines))
        report.figures = figures(storm, min(_WARM_S, 20.0 * args.minutes))
    report.at_most("segments left behind", float(system.segment.exists()), 0.0)
    say(table(report.figures))
    check(report, report.figures)
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
