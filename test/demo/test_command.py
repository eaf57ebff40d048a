"""The demonstration on a small world: three live nodes, results on disk, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.recordings import write_bag
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.trajectory import Trajectory, read_tum
from ace_slam_ros.core.maps.map_folder import load_map

DESIGN_KEYS = {
    "frames", "tracked", "lost", "skipped", "ate_rmse_m", "raw_ate_rmse_m", "rpe_trans_m_per_s",
    "latency_ms", "fps", "realtime_factor", "map_bytes", "keyframe_bytes", "peak_rss_mb",
    "device", "config", "version", "relocalizations",
}


def _bag(path: Path, count: int = 25) -> Path:
    wall, poses = Wall(), wander(count)
    stamps = [1_000_000_000 + number * 200_000_000 for number in range(count)]
    frames = []
    for stamp_ns, T_44 in zip(stamps, poses, strict=True):
        image, depth_mm = wall.look(T_44)
        frames.append(Frame(stamp_ns, image, depth_mm.astype(np.float32) / 1000, CAMERA))
    truth = Trajectory(np.array(stamps, np.int64), np.stack(poses))
    write_bag(path, frames, truth, CAMERA, transport="compressed")
    return path


def _demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ace_slam_ros", "demo", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.live
def test_demo_maps_relocalizes_and_saves(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _demo(_bag(tmp_path / "bag"), "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary.keys() >= DESIGN_KEYS
    assert summary["frames"] == 25 and summary["tracked"] > 0
    assert 0.0 <= summary["ate_rmse_m"] <= 0.05
    assert len(summary["relocalizations"]) == 10
    assert set(summary["relocalizations"][0]) >= {
        "stamp", "success", "trans_m", "rot_deg", "latency_ms", "inlier_ratio"}
    assert summary["weights_versions"]["tracker"] >= 1
    assert len(load_map(out / "map").head) == summary["map_bytes"]
    assert len(read_tum(out / "trajectory.txt")) == summary["tracked"]
    assert (out / "trajectory.png").stat().st_size > 10_000
    assert "pass  trajectory" in done.stdout and "Traceback" not in done.stderr
    for name in ("tracker", "mapper", "relocalizer", "player"):
        assert (out / "logs" / f"{name}.log").is_file()


@pytest.mark.slow
def test_bad_input_is_one_line_before_any_node_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments in ([tmp_path / "missing", "--out", tmp_path / "out"],
                      [tmp_path, "--out", tmp_path / "file" / "below"]):
        done = _demo(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("ace-slam: error: ") and done.stderr.count("\n") == 1
        assert done.stdout == ""
