"""The live part of the demonstration: start the nodes, play, ask, save, stop."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from tqdm import tqdm

from ..apps.reporting import say
from ..core.errors import AceSlamError, DataError
from ..core.geometry.se3 import R_BODY_OPTICAL_33, make_pose, quaternion_from_pose
from ..core.runtime.memory import process_memory
from ..ros.config import NodeConfig
from ..ros.messages.poses import pose_from_msg
from ..ros.playback.playlist import COLOR, open_playlist, with_transport
from ..ros.process.node_group import NODES, NodeGroup
from ..ros.up import player_command
from .listener import STATES, Collector
from .report import Answer, Reference, choose_places

if TYPE_CHECKING:
    from ..core.data.trajectory import Trajectory
    from ..core.geometry.arrays import Float64Array
    from ..io.source import ReadOptions, Source
    from ..msg import SlamStatus
    from ..srv import SaveMap

PLACES = 10
_READY_S = 90.0
_SETTLE_S = 2.0
_T_BASE_CAM = make_pose(R_BODY_OPTICAL_33, np.zeros(3))


class LiveFailure(AceSlamError):
    """A node or the player failed while the demonstration ran."""


class LogFolder:
    """Keeps what every process prints, one file each; shows only what went wrong."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Take one line of a process."""
        with self._lock:
            if name not in self._files:
                self._files[name] = (self.folder / f"{name}.log").open("w", buffering=1)
            self._files[name].write(f"{line}\n")
        if line.startswith(("[ERROR]", "[FATAL]", f"{name} ended with")):
            tqdm.write(f"  {name}: {line}", file=sys.stderr)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


@dataclass(frozen=True)
class LiveResult:
    """What the demonstration saw.

    Attributes:
        trajectory, raw_trajectory: camera in map, refined and from scene coordinates alone.
        status: the tracker's last status.
        latencies_ms: of every processed frame.
        wall_s: from the first to the last status.
        player: report of the player.
        sent: color images it sent.
        saved: answer of the mapper to `save_map`.
        memory_mb: peak resident memory of each node.
        pss_mb: proportional resident memory of each node at the end: what they share counts once.
        cpu_s: processor time each node used, its start included.
        tracker_cpu_ms: processor time of the tracker per processed frame.
        answers, positions: relocalizations and (answer in map, reference) positions in meters.
        duration_s: length of the recording.
        config: what the nodes ran with.
    """

    trajectory: Trajectory
    raw_trajectory: Trajectory
    status: SlamStatus
    latencies_ms: list[float]
    wall_s: float
    player: dict[str, Any]
    sent: int
    saved: SaveMap.Response
    memory_mb: dict[str, float]
    pss_mb: dict[str, float]
    cpu_s: dict[str, float]
    tracker_cpu_ms: float
    answers: list[Answer]
    positions: list[tuple[Float64Array, Float64Array]]
    duration_s: float
    config: NodeConfig


class LiveRun:
    """Plays one source into the three nodes.

    Args:
        source: what to play.
        out: folder that gets `map/` and `logs/`.
        stop: ends everything when set.
        log_level: of the nodes.
        seed: of the choice of places to relocalize at.
        options: topics of a bag by name.
    """

    def __init__(
        self, source: Source, out: Path, stop: threading.Event, log_level: str, seed: int,
        options: ReadOptions | None = None,
    ) -> None:
        playlist = open_playlist(source.path, "compressed", options)
        self.options = options
        self.source, self.out, self.stop = source, out, stop
        self.log_level, self.seed = log_level, seed
        self.duration_s = playlist.duration_s
        self.color_topic = with_transport(COLOR, playlist.color_transport)
        self.namespace = f"demo_{os.getpid()}"
        quaternion = quaternion_from_pose(_T_BASE_CAM)
        self.config = NodeConfig().with_values({
            "ros.color_transport": playlist.color_transport,
            "ros.depth_transport": playlist.depth_transport,
            "ros.camera_extrinsic": "0 0 0 " + " ".join(f"{q:.9g}" for q in quaternion),
        })

    def run(self) -> LiveResult:
        """Return what was seen.

        Raises:
            LiveFailure: a node or the player fails.
            KeyboardInterrupt: `stop` was set.
        """
        logs = LogFolder(self.out / "logs")
        collector = Collector(self.namespace, _T_BASE_CAM)
        group = NodeGroup(
            self.config, namespace=self.namespace, log_level=self.log_level, on_line=logs)
        try:
            with group:
                return self._run(group, collector)
        except AceSlamError as error:
            raise LiveFailure(str(error)) from error
        finally:
            collector.close()
            logs.close()

    def _run(self, group: NodeGroup, collector: Collector) -> LiveResult:
        began_s = time.monotonic()
        collector.wait_for_nodes(_READY_S, lambda: self._check(group))
        say(f"  nodes     {', '.join(NODES)}: ready after {time.monotonic() - began_s:.1f} s")
        before_s = _cpu_s(group.children["tracker"].pid)
        player = self._play(group, collector)
        self._pause(group, _SETTLE_S)  # for what is still queued in tracker and mapper
        if collector.status is None:
            raise LiveFailure("the tracker reported nothing while the source was played")
        wall_s = collector.last_s - collector.first_s
        answers, positions = self._ask(group, collector)
        folder = self.out / "map"
        shutil.rmtree(folder, ignore_errors=True)
        saved = collector.save_map(str(folder))
        if not saved.success:
            raise LiveFailure(f"the map was not saved: {saved.message}")
        pids = {name: group.children[name].pid for name in NODES}
        cpu_s = {name: _cpu_s(pid) for name, pid in pids.items()}
        memory = {name: process_memory(pid) for name, pid in pids.items()}
        used_ms = 1e3 * (cpu_s["tracker"] - before_s) / max(len(collector.latencies_ms), 1)
        return LiveResult(
            collector.trajectory(), collector.raw_trajectory(), collector.status,
            collector.latencies_ms, wall_s, player, player["topics"].get(self.color_topic, 0),
            saved, {name: m.peak_rss_mb for name, m in memory.items()},
            {name: m.pss_mb for name, m in memory.items()}, cpu_s, used_ms,
            answers, positions, self.duration_s, self.config)

    def _check(self, group: NodeGroup) -> None:
        """Raise when a node keeps failing or somebody wants an end."""
        group.check()
        if self.stop.is_set():
            raise KeyboardInterrupt

    def _pause(self, group: NodeGroup, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._check(group)
            time.sleep(0.1)

    def _play(self, group: NodeGroup, collector: Collector) -> dict[str, Any]:
        """Play the source in real time behind a progress bar; return the player's report."""
        report = self.out / "logs" / "player.json"
        command = player_command(
            self.source.path, namespace=self.namespace, report=report, options=self.options)
        player = group.run("player", [*command, "--transport", "compressed"])
        total = len(self.source)
        spoken_s = time.monotonic()
        layout = "  live {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} frames{postfix}"
        with tqdm(total=total, bar_format=layout, dynamic_ncols=True,
                  disable=not sys.stderr.isatty()) as bar:
            while player.poll() is None:
                self._pause(group, 0.2)
                if collector.status is None:
                    continue
                done = min(int(collector.status.frames), total)
                bar.set_postfix_str(_live_text(collector), refresh=False)
                bar.update(done - bar.n)
                if bar.disable and time.monotonic() - spoken_s >= 5.0:
                    spoken_s = time.monotonic()
                    say(f"  live      {done}/{total} frames, {_live_text(collector)}")
        if player.returncode != 0:
            raise LiveFailure(
                f"the player ended with exit code {player.returncode}; "
                f"{self.out / 'logs' / 'player.log'} says why")
        return dict(json.loads(report.read_text()))

    def _ask(
        self, group: NodeGroup, collector: Collector
    ) -> tuple[list[Answer], list[tuple[Float64Array, Float64Array]]]:
        """Ask the relocalizer about frames of random places and tell it nothing else."""
        reference = Reference(collector.trajectory(), self.source.groundtruth)
        stamps = self.source.stamps_ns.tolist()
        places = choose_places(
            stamps, set(collector.keyframe_stamps), reference, PLACES, self.seed)
        answers, positions = [], []
        for index in places:
            self._check(group)
            try:
                frame = self.source[index]
            except DataError as error:
                answers.append(Answer(
                    stamps[index], False, None, None, 0.0, 0.0, 0, f"not asked: {error}"))
                continue
            began_s = time.monotonic()
            reply = collector.relocalize(frame)
            latency_ms = (time.monotonic() - began_s) * 1e3
            error_m = error_deg = None
            if reply.success:
                T_map_cam = pose_from_msg(reply.pose.pose.pose)
                error_m, error_deg = reference.error(frame.stamp_ns, T_map_cam)
                positions.append((T_map_cam[:3, 3], reference.pose(frame.stamp_ns)[:3, 3]))
            answers.append(Answer(
                frame.stamp_ns, bool(reply.success), error_m, error_deg, latency_ms,
                float(reply.inlier_ratio), int(reply.weights_version),
                "" if reply.success else str(reply.message)))
        return answers, positions


def _live_text(collector: Collector) -> str:
    status = collector.status
    assert status is not None
    seconds = collector.last_s - collector.first_s
    rate = (len(collector.latencies_ms) - 1) / seconds if seconds > 0.0 else 0.0
    state = STATES.get(status.state, "?")
    return (f"{state}, {rate:.1f} Hz, {status.latency_ms:.0f} ms, inliers "
            f"{100 * status.inlier_ratio:.0f} %, weights v{status.weights_version}")


def _cpu_s(pid: int | None) -> float:
    """Processor time a process has used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
