"""`ace-slam demo`: a recorded sequence replayed in real time into the three live nodes.

The nodes run as processes of their own, isolated from other ROS systems by domain and namespace;
this process only watches, asks and judges, as a robot's software would.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..apps.reporting import complain, prepare_out_folder, say, table
from ..apps.sources import source_lines
from ..core.config.fields import flatten
from ..core.data.trajectory import write_tum
from ..core.runtime.device import choose_device
from ..evaluation.plots import plot_trajectory
from ..evaluation.summary import Latency, RunSummary
from ..evaluation.trajectory_error import absolute_trajectory_error, relative_pose_error
from ..io.open_source import open_source
from ..ros.process.signals import stop_event
from ..ros.up import require_ros
from .report import ANSWER_HEADER, Limits, answer_rows, checks, result_rows

if TYPE_CHECKING:
    from ..io.source import ReadOptions, Source
    from .live_run import LiveResult

ROOM_LIMITS = Limits(ate_m=0.025, relocalizations=9)
TRUTH_LIMITS = Limits(ate_m=0.05)
PLAIN_LIMITS = Limits(tracked_share=0.9)


def run_demo(
    source: Path | None, out: Path, *, seed: int = 0, log_level: str = "info",
    options: ReadOptions | None = None,
) -> int:
    """Run the demonstration; results lie in `out` afterwards.

    Args:
        source: TUM folder or rosbag2; None = the synthetic room, rendered on first use.
        out: folder for trajectory.png, map/, summary.json, trajectories and logs/.
        seed: of the choice of places to relocalize at.
        log_level: of the nodes' log files.
        options: topics of a bag by name.

    Returns:
        0 when all checks pass; 1 when one does not, or a node fails.

    Raises:
        AceSlamError: the source or `out` cannot be used, or ROS is missing.
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    require_ros()
    out = prepare_out_folder(out)
    # Before rclpy loads: nobody else's nodes shall hear the demonstration, nor it theirs.
    os.environ["ROS_DOMAIN_ID"] = str(50 + os.getpid() % 50)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if source is None:
        from .room import cache_folder, room_bag

        path = room_bag(cache_folder())
    else:
        path = source.expanduser().resolve()
    opened = open_source(path, options=options)
    limits = ROOM_LIMITS
    if source is not None:
        limits = TRUTH_LIMITS if opened.groundtruth is not None else PLAIN_LIMITS
    say(f"  source    {path}", f"            {_describe(opened)}", *source_lines(opened.choice),
        f"  results   {out}")
    from .live_run import LiveFailure, LiveRun  # loads rclpy, after the environment is set

    try:
        with stop_event() as stop:
            result = LiveRun(opened, out, stop, log_level, seed, options).run()
    except LiveFailure as error:
        complain([f"{error} (logs in {out / 'logs'})"])
        return 1
    summary = _summarize(opened, result)
    _save(opened, result, summary, out)
    return _conclude(opened, result, summary, limits, out)


def _describe(source: Source) -> str:
    seconds = float(source.stamps_ns[-1] - source.stamps_ns[0]) * 1e-9
    truth = "with" if source.groundtruth is not None else "without"
    return (f"{len(source)} image pairs of {source.camera.width}x{source.camera.height}, "
            f"{seconds:.1f} s, {truth} ground truth")


def _summarize(source: Source, result: LiveResult) -> RunSummary:
    """Return the figures in the form of `ace-slam run`'s, with what only a live run has."""
    ate = raw_ate = rpe = float("nan")
    if source.groundtruth is not None:
        ate = absolute_trajectory_error(result.trajectory, source.groundtruth).rmse_m
        raw_ate = absolute_trajectory_error(result.raw_trajectory, source.groundtruth).rmse_m
        rpe = relative_pose_error(result.trajectory, source.groundtruth).trans_rmse_m_per_s
    status, saved = result.status, result.saved
    return RunSummary(
        source=str(source.path), frames=len(source), tracked=int(status.tracked),
        lost=int(status.lost), skipped=int(status.skipped), rejected=int(status.rejected),
        keyframes=int(saved.keyframes), ate_rmse_m=ate, raw_ate_rmse_m=raw_ate,
        rpe_trans_m_per_s=rpe, latency_ms=Latency.of(result.latencies_ms),
        fps=len(result.latencies_ms) / max(result.wall_s, 1e-9),
        realtime_factor=result.duration_s / max(result.wall_s, 1e-9),
        map_bytes=int(saved.map_bytes), keyframe_bytes=int(saved.keyframe_bytes),
        peak_rss_mb=sum(result.memory_mb.values()),
        weights_version=int(status.weights_version),
        initialized_at_frame=_first_frame(source, result),
        device=str(choose_device(result.config.device)), config=flatten(result.config),
        version=__version__,
        extra={
            "relocalizations": [answer.to_dict() for answer in result.answers],
            "undelivered": max(result.sent - int(status.frames), 0),
            "weights_versions": {
                "tracker": int(status.weights_version),
                "relocalizer": max((a.weights_version for a in result.answers), default=0)},
            "tracker_cpu_ms": result.tracker_cpu_ms, "node_cpu_s": result.cpu_s,
            "node_rss_mb": result.memory_mb, "node_pss_mb": result.pss_mb,
            "player": result.player, "topics": source.choice,
        })


def _first_frame(source: Source, result: LiveResult) -> int | None:
    if not len(result.trajectory):
        return None
    return int(np.searchsorted(source.stamps_ns, result.trajectory.stamps_ns[0]))


def _save(source: Source, result: LiveResult, summary: RunSummary, out: Path) -> None:
    """Write trajectories, picture and summary."""
    write_tum(out / "trajectory.txt", result.trajectory)
    write_tum(out / "raw_trajectory.txt", result.raw_trajectory)
    plot_trajectory(
        out / "trajectory.png", result.trajectory, source.groundtruth, result.raw_trajectory,
        title=f"ace-slam demo, {source.name}", relocalizations=result.positions)
    summary.write(out / "summary.json")


def _conclude(
    source: Source, result: LiveResult, summary: RunSummary, limits: Limits, out: Path
) -> int:
    """Print tables and checks; return the exit code."""
    against = "ground truth" if source.groundtruth is not None else "the tracked trajectory"
    say("", "Live run", table(result_rows(summary)), "",
        f"Relocalization without prior, error against {against}",
        table(answer_rows(result.answers, int(source.stamps_ns[0])), ANSWER_HEADER), "", "Checks")
    found = checks(summary, result.answers, limits)
    say(table([["pass" if check.passed else "FAIL", check.name, check.detail] for check in found]))
    if summary.skipped > summary.frames // 2:
        say("", "  Most frames were skipped: the tracker needs "
            f"{result.tracker_cpu_ms:.0f} ms of processor time per frame, and a frame took "
            f"{summary.latency_ms.p50:.0f} ms.",
            "  When the second number is far larger, other programs keep this machine busy.")
    say("", f"  map, trajectory.png and summary.json are in {out}")
    failed = [check.name for check in found if not check.passed]
    if failed:
        complain([f"check failed: {', '.join(failed)}; logs of the nodes are in {out / 'logs'}"])
    return 1 if failed else 0
