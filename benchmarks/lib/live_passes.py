"""One pass of a sequence through the live nodes, in figures; and the worst of several runs."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ace_slam_ros.core.data.trajectory import Trajectory, write_tum
from ace_slam_ros.core.runtime.memory import process_memory
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error
from ace_slam_ros.ros.process.node_group import NODES

from .live_system import Heard, LiveSystem, percentiles
from .report import Report

if TYPE_CHECKING:
    from .tracking_runs import Sequence


@dataclass
class Bars:
    """Checks that are to hold in every run: of each, the worst value counts."""

    worst: dict[tuple[str, float, bool], float | None] = field(default_factory=dict)

    def at_most(self, name: str, value: float | None, bar: float) -> None:
        """Take note of one run's value that shall not exceed `bar`."""
        self._note(name, value, bar, False)

    def at_least(self, name: str, value: float | None, bar: float) -> None:
        """Take note of one run's value that shall reach `bar`."""
        self._note(name, value, bar, True)

    def _note(self, name: str, value: float | None, bar: float, least: bool) -> None:
        key = (name, bar, least)
        before = self.worst.get(key, value)
        if value is None or before is None or np.isnan([value, before]).any():
            self.worst[key] = None  # a run without value fails the check
        else:
            self.worst[key] = min(before, value) if least else max(before, value)

    def report(self, report: Report) -> None:
        """Record the checks."""
        for (name, bar, least), value in self.worst.items():
            (report.at_least if least else report.at_most)(name, value, bar)


def cpu_s(pid: int | None) -> float:
    """Processor time a process has used, all threads; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stream_figures(heard: list[Heard], player: dict[str, Any]) -> dict[str, Any]:
    """Return counts and latencies of one pass."""
    sent = min(n for t, n in player["topics"].items() if "image" in t)
    first, last = heard[0], heard[-1]
    arrived = last.frames - first.frames + 1
    skipped = last.skipped - first.skipped
    return {
        "sent": sent, "arrived": arrived, "arrived_percent": 100.0 * min(arrived / sent, 1.0),
        "skipped_by_choice": skipped, "skipped_percent": 100.0 * skipped / arrived,
        "rejected": last.rejected - first.rejected,
        "tracked_percent": 100.0 * sum(h.tracked_here for h in heard) / len(heard),
        "latency_ms": percentiles([h.latency_ms for h in heard]),
        "player_late_ms": player["late_ms"]}


@dataclass(frozen=True)
class Passes:
    """Measures passes of one sequence in one run.

    Attributes:
        system: the nodes.
        sequence: what is played.
        truth: its ground truth, if it has some.
        yardstick_ms: the yardstick's time on its frames, at the beginning of the run.
        record: folder for the published trajectories, None = they are not kept.
        run: number of the run.
    """

    system: LiveSystem
    sequence: Sequence
    truth: Trajectory | None
    yardstick_ms: float
    record: Path | None
    run: int

    def play(self, name: str, callers: int = 0) -> dict[str, Any]:
        """Play once; return latencies (also in yardsticks), error, processor time, memory."""
        listener, group = self.system.listener, self.system.group
        listener.poses.clear()
        before = {node: cpu_s(group.children[node].pid) for node in NODES}
        heard, player = self.system.play_to_the_end(callers)
        figures = stream_figures(heard, player)
        figures["latency_yardsticks"] = {
            rank: round(ms / self.yardstick_ms, 2) for rank, ms in figures["latency_ms"].items()}
        for name in ("head_share", "keyframe_to_head_ms_p50", "keyframe_to_head_ms_p95"):
            figures[name] = listener.value("tracker", name)
        figures["nodes"] = {
            node: {"cpu_s": round(cpu_s(group.children[node].pid) - before[node], 2),
                   **{k: round(v, 1) for k, v in asdict(
                       process_memory(group.children[node].pid)).items()}}
            for node in NODES}
        trajectory = Trajectory.of(sorted(listener.poses.items()))
        figures["poses"] = len(trajectory)
        if self.truth is not None and len(trajectory) > 2:
            figures["ate_m"] = absolute_trajectory_error(trajectory, self.truth).rmse_m
        if self.record is not None:
            write_tum(self.record / f"{self.sequence.title}.run{self.run}.{name}.txt", trajectory)
        return figures
