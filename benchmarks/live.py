"""The live system as a robot sees it: pairs that arrive, latency, callers, killed nodes.

    python benchmarks/live.py [--data FOLDER] --out live.json

Plays raw RGB-D from another process in real time with the default launch settings. Run it on a
quiet machine; a sequence is a TUM folder or an mcap bag with 640x480 images, default a room.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lib.live_system import Heard, LiveSystem, live_system, longest_gap_s, make_bag, percentiles
from lib.report import Report, parser, say

from ace_slam_ros.ros.process.node_group import QUICK_END_S
from ace_slam_ros.srv import Relocalize

CALLERS = 10
TRACKER_KILLS = 5


def measure_stream(report: Report, system: LiveSystem) -> None:
    """Pairs that reach the tracker; its latency with and without the mapper, and with callers."""
    figures: dict[str, Any] = {}
    say("playing into a new map")
    figures["mapping"] = stream_figures(*system.play_to_the_end(0))
    say("playing while the mapper is stopped")
    with system.stopped("mapper"):
        figures["mapper_stopped"] = stream_figures(*system.play_to_the_end(0))
    for callers in (0, CALLERS):
        say(f"playing with {callers} callers")
        heard, player = system.play_to_the_end(callers)
        figures[f"callers_{callers}"] = stream_figures(heard, player)
    listener = system.listener
    system.wait(lambda: listener.answered == listener.asked, "the last answers")
    alone, crowded = (figures[f"callers_{n}"] for n in (0, CALLERS))
    figures["relocalize"] = {
        "asked": listener.asked, "answered": listener.answered,
        "latency_ms": percentiles(listener.answer_ms),
        "reasons": {str(k): v for k, v in listener.reasons.items()}}
    report.figures |= figures
    mapping, stopped = figures["mapping"]["latency_ms"], figures["mapper_stopped"]["latency_ms"]
    report.at_most("tracker p50 while mapping, share of that without mapper",
                   mapping["p50"] / stopped["p50"], 1.25)
    report.at_most("tracker p95 while mapping, share of that without mapper",
                   mapping["p95"] / stopped["p95"], 1.5)
    report.at_least("pairs reaching the tracker, %", figures["mapping"]["arrived_percent"], 99.0)
    report.at_least("relocalize answers, %", 100.0 * listener.answered / listener.asked, 100.0)
    unexpected = sum(listener.reasons[r] for r in (
        Relocalize.Response.BUSY, Relocalize.Response.ERROR, Relocalize.Response.BAD_REQUEST))
    report.at_most("relocalize answers that are errors", float(unexpected), 0.0)
    report.at_most(
        "tracker p95 with ten callers, share of alone",
        crowded["latency_ms"]["p95"] / alone["latency_ms"]["p95"], 1.5)


def stream_figures(heard: list[Heard], player: dict[str, Any]) -> dict[str, Any]:
    """Return counts and latencies of one pass."""
    sent = min(n for t, n in player["topics"].items() if "image" in t)
    first, last = heard[0], heard[-1]
    arrived = last.frames - first.frames + 1
    return {
        "sent": sent, "arrived": arrived, "arrived_percent": 100.0 * min(arrived / sent, 1.0),
        "skipped_by_choice": last.skipped - first.skipped,
        "rejected": last.rejected - first.rejected,
        "tracked_percent": 100.0 * sum(h.tracked_here for h in heard) / len(heard),
        "latency_ms": percentiles([h.latency_ms for h in heard]),
        "player_late_ms": player["late_ms"]}


def measure_kills(report: Report, system: LiveSystem) -> None:
    """Kill -9 each node while the sequence plays in a loop; see what goes on and what returns."""
    listener = system.listener
    player = system.play(loop=0)
    mark = len(listener.heard)
    system.wait(lambda: sum(h.tracked_here for h in listener.heard[mark:]) > 60, "tracking")
    report.figures["kill_mapper"] = kill_mapper(report, system)
    report.figures["kill_relocalizer"] = kill_relocalizer(report, system)
    report.figures["kill_tracker"] = kill_tracker(report, system)
    player.terminate()


def kill_mapper(report: Report, system: LiveSystem) -> dict[str, Any]:
    """Tracking goes on; the mapper returns with the same map and a higher version."""
    say("killing the mapper")
    before = system.listener.heard[-1]
    killed_s = system.kill("mapper")
    back_s = system.wait(lambda: system.ready(("mapper",), killed_s), "the mapper")
    version_s = system.wait(
        lambda: system.listener.heard[-1].version > before.version, "newer weights") + back_s
    now_s = time.monotonic()
    gap_s = longest_gap_s(system.listener.heard, killed_s, now_s)
    after = system.listener.heard[-1]
    report.at_most("longest time without pose after killing the mapper, s", gap_s, 1.0)
    report.at_least("same map after killing the mapper", float(after.map_id == before.map_id), 1)
    return {"ready_s": back_s, "newer_weights_s": version_s, "longest_gap_s": gap_s,
            "version_before": before.version, "version_after": after.version}


def kill_relocalizer(report: Report, system: LiveSystem) -> dict[str, Any]:
    """Tracking goes on; the service answers again."""
    say("killing the relocalizer")
    killed_s = system.kill("relocalizer")
    back_s = system.wait(lambda: system.ready(("relocalizer",), killed_s), "the relocalizer")
    system.wait(lambda: system.listener.ask_once(5.0) == Relocalize.Response.OK, "an answer")
    answer_s = time.monotonic() - killed_s
    gap_s = longest_gap_s(system.listener.heard, killed_s, time.monotonic())
    report.at_most("longest time without pose after killing the relocalizer, s", gap_s, 1.0)
    return {"ready_s": back_s, "answer_s": answer_s, "longest_gap_s": gap_s}


def kill_tracker(report: Report, system: LiveSystem) -> dict[str, Any]:
    """Each time it is back in the same map soon after it has started again."""
    say(f"killing the tracker {TRACKER_KILLS} times")
    runs = []
    for _ in range(TRACKER_KILLS):
        runs.append(kill_tracker_once(system))
        time.sleep(QUICK_END_S)  # a node that ends sooner, again and again, is not started again
    figures = {name: round(float(np.median([run[name] for run in runs])), 2) for name in runs[0]}
    report.at_most("from activate of a restarted tracker to a pose in the same map, s, median",
                   figures["pose_after_activate_s"], 2.0)
    report.at_most("the same, longest", max(r["pose_after_activate_s"] for r in runs), 2.0)
    return figures | {"runs": runs}


def kill_tracker_once(system: LiveSystem) -> dict[str, float]:
    """Times from the kill, from the start of the new process and from its activation."""
    heard, tracker = system.listener.heard, system.group.children["tracker"]
    map_id = heard[-1].map_id
    killed_s = system.kill("tracker")
    # the line of configure is the last before activate
    system.wait(lambda: system.ready(("tracker",), killed_s), "the tracker")
    ready_s = max(t for t, name, line in system.lines
                  if name == "tracker" and ", segment " in line)

    def back() -> Heard | None:
        return next((h for h in heard[-200:] if h.tracked_here and h.at_s > tracker.started_s
                     and h.map_id == map_id), None)

    system.wait(back, "a pose")
    found = back()
    assert found is not None
    return {"process_start_after_kill_s": tracker.started_s - killed_s,
            "activate_after_process_start_s": ready_s - tracker.started_s,
            "pose_after_activate_s": found.at_s - ready_s,
            "pose_after_process_start_s": found.at_s - tracker.started_s,
            "pose_after_kill_s": found.at_s - killed_s}


def main() -> int:
    """Run everything; exit code 1 when a check fails."""
    args = parser(__doc__.split("\n")[0]).parse_args()
    report = Report("live")
    with tempfile.TemporaryDirectory(prefix="ace_slam_live_") as folder:
        bag = make_bag(args.data, Path(folder))
        with live_system(bag) as system:
            measure_stream(report, system)
            measure_kills(report, system)
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
