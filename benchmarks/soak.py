"""A long looped replay: memory that grows, tracking that fades, anything left behind.

    python benchmarks/soak.py [--data FOLDER] [--minutes 30] --out soak.json

Memory is compared with what the nodes used after the first five minutes (a sixth of a shorter
run); every pass over the sequence must be tracked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lib.live_system import Heard, LiveSystem, live_system, make_bag
from lib.report import Report, parser, say

from ace_slam_ros.weights_ipc.layout import segment_name, segment_path

_SAMPLE_S = 5.0
_WARM_S = 300.0

Sample = tuple[float, dict[str, float]]


def growth_percent(samples: list[Sample], name: str, warm_s: float) -> float:
    """Growth of a node's memory from the minute after `warm_s` to the last minute, in percent."""
    end_s = samples[-1][0]
    window_s = min(60.0, (end_s - warm_s) / 3.0)
    early = [m[name] for t, m in samples if warm_s <= t <= warm_s + window_s]
    late = [m[name] for t, m in samples if t >= end_s - window_s]
    return 100.0 * (float(np.median(late)) / float(np.median(early)) - 1.0)


def tracked_by_pass(heard: list[Heard], pass_s: float) -> list[float]:
    """Share of tracked frames in each pass over the sequence, in percent."""
    begin_s = heard[0].at_s
    passes: dict[int, list[bool]] = {}
    for h in heard:
        passes.setdefault(int((h.at_s - begin_s) / pass_s), []).append(h.tracked_here)
    return [100.0 * float(np.mean(p)) for p in passes.values() if len(p) > 20]


def soak(system: LiveSystem, minutes: float) -> tuple[list[Sample], list[Heard]]:
    """Play in a loop and sample the memory."""
    player = system.play(loop=0)
    system.wait(lambda: system.listener.heard, "the first frame")
    begin_s = time.monotonic()
    samples: list[Sample] = []
    while (passed_s := time.monotonic() - begin_s) < 60.0 * minutes:
        system.group.check()
        samples.append((passed_s, system.memory_mb()))
        if len(samples) % 12 == 1:
            memory = ", ".join(f"{n} {m:.0f} MB" for n, m in samples[-1][1].items())
            say(f"{passed_s / 60:.1f} min: {memory}, {len(system.listener.heard)} frames")
        time.sleep(_SAMPLE_S)
    player.terminate()
    return samples, list(system.listener.heard)


def main() -> int:
    """Run; exit code 1 when a check fails."""
    arguments = parser(__doc__.split("\n")[0])
    arguments.add_argument("--minutes", type=float, default=30.0)
    args = arguments.parse_args()
    report = Report("soak")
    with tempfile.TemporaryDirectory(prefix="ace_slam_soak_") as folder:
        bag = make_bag(args.data, Path(folder))
        from ace_slam_ros.ros.playback.playlist import open_playlist

        pass_s = open_playlist(bag).duration_s
        with live_system(bag) as system:
            samples, heard = soak(system, args.minutes)
            restarts = sum(c.restarts for c in system.group.children.values())
            segment = segment_path(segment_name(f"/{system.namespace}"))
        report.figures = figures(samples, heard, pass_s, args.minutes)
    warm_s = report.figures["warm_s"]
    for name in samples[-1][1]:
        report.at_most(f"memory growth of the {name}, %",
                       growth_percent(samples, name, warm_s), 5.0)
    report.at_least("least tracked pass, %", min(report.figures["tracked_by_pass_percent"]), 90.0)
    report.at_most("nodes that ended", float(restarts), 0.0)
    report.at_most("segments left behind", float(segment.exists()), 0.0)
    return report.finish(args.out)


def figures(
    samples: list[Sample], heard: list[Heard], pass_s: float, minutes: float
) -> dict[str, Any]:
    """Return the course of memory and tracking."""
    step = max(len(samples) // 60, 1)
    return {
        "minutes": minutes, "frames": len(heard), "warm_s": min(_WARM_S, 10.0 * minutes),
        "memory_mb": [{"s": round(t), **{n: round(m, 1) for n, m in used.items()}}
                      for t, used in samples[::step]],
        "tracked_by_pass_percent": [round(p, 1) for p in tracked_by_pass(heard, pass_s)],
        "latency_p95_ms": float(np.percentile([h.latency_ms for h in heard], 95))}


if __name__ == "__main__":
    sys.exit(main())
