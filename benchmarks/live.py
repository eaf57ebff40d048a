"""The live system as a robot sees it: pairs that arrive, latency, callers, killed nodes.

    python benchmarks/live.py [--data FOLDER] [--worlds room ...] [--runs 3] --out live.json

Three nodes with the default launch settings, a player that sends raw RGB-D in real time and a
listener share the machine; run it on a quiet one. Each run starts everything anew. A check holds
when it holds in every run: of each, the worst value is reported. Times are also given as multiples
of a yardstick (ORB on the same frames), taken before and after each run.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lib.live_passes import Bars, Passes
from lib.live_system import Heard, LiveSystem, live_system, longest_gap_s, percentiles, raw_bag
from lib.report import Report, parser, say, sequences
from lib.tracking_runs import Runs, Sequence, rendered, shortened
from lib.yardstick import take_yardstick

from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.ros.process.node_group import QUICK_END_S
from ace_slam_ros.srv import Relocalize
from ace_slam_ros.synth.worlds import WORLD_NAMES

CALLERS = 10
TRACKER_KILLS = 5


def measure_stream(bars: Bars, passes: Passes, every_ate_m: float | None) -> dict[str, Any]:
    """Pairs that reach the tracker; its latency with and without the mapper, and with callers."""
    system, name = passes.system, passes.sequence.title
    say(f"{name}: playing into a new map")
    figures = {"mapping": passes.play("mapping")}
    say(f"{name}: playing while the mapper is stopped")
    with system.stopped("mapper"):
        figures["mapper_stopped"] = passes.play("mapper_stopped")
    for callers in (0, CALLERS):
        say(f"{name}: playing with {callers} callers")
        figures[f"callers_{callers}"] = passes.play(f"callers_{callers}", callers)
    listener = system.listener
    system.wait(lambda: listener.answered == listener.asked, "the last answers")
    figures["relocalize"] = {
        "asked": listener.asked, "answered": listener.answered,
        "latency_ms": percentiles(listener.answer_ms),
        "reasons": {str(k): v for k, v in listener.reasons.items()}}
    mapping = figures["mapping"]
    bars.at_least(f"{name}: pairs reaching the tracker, %", mapping["arrived_percent"], 99.0)
    bars.at_least(f"{name}: frames tracked, %", mapping["tracked_percent"], 97.0)
    bars.at_most(f"{name}: latency p95, yardsticks", mapping["latency_yardsticks"]["p95"], 8.0)
    bars.at_most(f"{name}: from a keyframe to the tracker's head, median, ms",
                 mapping["keyframe_to_head_ms_p50"], 100.0)
    if passes.truth is not None and every_ate_m is not None:
        bars.at_most(f"{name}: ATE of the published poses over that of every frame",
                     mapping.get("ate_m", float("nan")) / every_ate_m, 1.3)
    check_company(bars, name, figures)
    return figures


def check_company(bars: Bars, name: str, figures: dict[str, Any]) -> None:
    """Check what mapper and callers cost the tracker, and what the callers get."""
    mapping, stopped, alone, crowded = (figures[k]["latency_ms"] for k in (
        "mapping", "mapper_stopped", "callers_0", f"callers_{CALLERS}"))
    bars.at_most(f"{name}: p50 while mapping, share of that without mapper",
                 mapping["p50"] / stopped["p50"], 1.25)
    bars.at_most(f"{name}: p95 with ten callers, share of alone", crowded["p95"] / alone["p95"],
                 1.5)
    asked = figures["relocalize"]
    bars.at_least(f"{name}: relocalize answers, %", 100.0 * asked["answered"] / asked["asked"],
                  100.0)
    unexpected = sum(asked["reasons"].get(str(r), 0) for r in (
        Relocalize.Response.BUSY, Relocalize.Response.ERROR, Relocalize.Response.BAD_REQUEST))
    bars.at_most(f"{name}: relocalize answers that are errors", float(unexpected), 0.0)


def measure_kills(bars: Bars, system: LiveSystem) -> dict[str, Any]:
    """Kill -9 each node while the sequence plays in a loop; see what goes on and what returns."""
    listener = system.listener
    player = system.play(loop=0)
    mark = len(listener.heard)
    system.wait(lambda: sum(h.tracked_here for h in listener.heard[mark:]) > 60, "tracking")
    figures = {"kill_mapper": kill_mapper(bars, system),
               "kill_relocalizer": kill_relocalizer(bars, system),
               "kill_tracker": kill_tracker(bars, system)}
    player.terminate()
    return figures


def kill_mapper(bars: Bars, system: LiveSystem) -> dict[str, Any]:
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
    bars.at_most("longest time without pose after killing the mapper, s", gap_s, 1.0)
    bars.at_least("same map after killing the mapper", float(after.map_id == before.map_id), 1)
    return {"ready_s": back_s, "newer_weights_s": version_s, "longest_gap_s": gap_s,
            "version_before": before.version, "version_after": after.version}


def kill_relocalizer(bars: Bars, system: LiveSystem) -> dict[str, Any]:
    """Tracking goes on; the service answers again."""
    say("killing the relocalizer")
    killed_s = system.kill("relocalizer")
    back_s = system.wait(lambda: system.ready(("relocalizer",), killed_s), "the relocalizer")
    system.wait(lambda: system.listener.ask_once(5.0) == Relocalize.Response.OK, "an answer")
    answer_s = time.monotonic() - killed_s
    gap_s = longest_gap_s(system.listener.heard, killed_s, time.monotonic())
    bars.at_most("longest time without pose after killing the relocalizer, s", gap_s, 1.0)
    return {"ready_s": back_s, "answer_s": answer_s, "longest_gap_s": gap_s}


def kill_tracker(bars: Bars, system: LiveSystem) -> dict[str, Any]:
    """Each time it is back in the same map soon after it has started again."""
    say(f"killing the tracker {TRACKER_KILLS} times")
    runs = []
    for _ in range(TRACKER_KILLS):
        runs.append(kill_tracker_once(system))
        time.sleep(QUICK_END_S)  # a node that ends sooner, again and again, is not started again
    figures = {name: round(float(np.median([run[name] for run in runs])), 2) for name in runs[0]}
    bars.at_most("from process start to activate of a restarted tracker, s, median",
                 figures["activate_after_process_start_s"], 3.0)
    bars.at_most("from its activate to a pose in the same map, s, median",
                 figures["pose_after_activate_s"], 1.0)
    bars.at_most("the same, longest", max(r["pose_after_activate_s"] for r in runs), 2.0)
    return figures | {"runs": runs}


def kill_tracker_once(system: LiveSystem) -> dict[str, float]:
    """Times from the kill, from the start of the new process and from its activation."""
    heard, tracker = system.listener.heard, system.group.children["tracker"]
    map_id = heard[-1].map_id
    killed_s = system.kill("tracker")
    # the line that says it is active
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


def found_sequences(args: Any) -> Iterator[Sequence]:
    """Give what to play: recorded sequences, and worlds; a room when neither is asked for."""
    worlds = args.worlds or ([] if args.data else ["room"])
    for name, path in sequences(args.data).items():
        yield shortened(name, path, args.frames, args.cache)
    for world in worlds:
        yield rendered(world, 1, args.frames, args.cache)


def measure(bars: Bars, sequence: Sequence, run: int, every: dict[str, Any], args: Any) -> Any:
    """Start the nodes, play the sequence in all ways, kill nodes; return the figures."""
    bag = raw_bag(sequence.path, args.cache / f"{sequence.path.name}.bag")
    before_ms = take_yardstick(sequence.path).wall_ms
    with live_system(bag) as system:
        passes = Passes(system, sequence, open_source(sequence.path).groundtruth, before_ms,
                        args.record, run)
        figures = measure_stream(bars, passes, every.get("ate_rmse_m"))
        if args.kills:
            figures |= measure_kills(bars, system)
    return figures | {"yardstick_ms": [
        before_ms, take_yardstick(sequence.path).wall_ms]}


def arguments() -> ArgumentParser:
    """Return the command line."""
    made = parser(__doc__.split("\n")[0])
    made.add_argument("--worlds", nargs="*", choices=WORLD_NAMES, help="rendered sequences")
    made.add_argument("--runs", type=int, default=1, metavar="N", help="repeat everything")
    made.add_argument("--frames", type=int, metavar="N", help="the first N frames only")
    made.add_argument("--cache", type=Path, help="worlds and bags, default beside --out")
    made.add_argument("--record", type=Path, metavar="FOLDER", help="keep the published poses")
    made.add_argument("--no-kills", dest="kills", action="store_false", help="kill no node")
    made.add_argument("--no-every-frame", dest="every_frame", action="store_false",
                      help="do not run each sequence with every frame, for its error")
    return made


def main() -> int:
    """Run everything; exit code 1 when a check fails."""
    args = arguments().parse_args()
    args.cache = args.cache or args.out.parent / "worlds"
    for folder in (args.cache, args.record):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    report, bars = Report("live"), Bars()
    found = list(found_sequences(args))
    results = Runs(args.out.parent / "runs", resume=True)
    every = {s.title: results.run(s, f"{s.title}.every_frame") if args.every_frame else {}
             for s in found}
    report.figures = {
        "every_frame_ate_m": {title: run.get("ate_rmse_m") for title, run in every.items()},
        "runs": []}
    for run in range(1, args.runs + 1):
        say(f"run {run} of {args.runs}")
        report.figures["runs"].append(
            {s.title: measure(bars, s, run, every[s.title], args) for s in found})
    bars.report(report)
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
