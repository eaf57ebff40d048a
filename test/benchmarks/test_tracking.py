"""The tracking benchmark's bookkeeping: ablations compared, lost and failed runs told, lists."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lib.report import Report
from lib.tracking_ablations import ABLATIONS, ablate, check, compared, summarized
from lib.tracking_report import _ablations
from lib.tracking_runs import Runs, Sequence, first_lost_s, map_ate_m, shortened, thinned

from ace_slam_ros.core.config.fields import flatten
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.trajectory import Trajectory, write_tum
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.maps.keyframe_codec import pack_keyframes
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.io.tum import write_tum_folder

CAMERA = Camera(32, 24, 26.0, 26.0, 15.5, 11.5)
STAMPS = 10**9 + np.arange(12) * 33_000_000
POSES = np.stack([exp_se3(np.array([0.1 * n, 0.02 * n * n, 0.0, 0.0, 0.0, 0.01 * n]))
                  for n in range(12)])


def went(ate_m, lost=0, frames=100):
    return {"ate_m": ate_m, "lost": lost, "frames": frames}


@pytest.fixture
def sequence(tmp_path):
    """Twelve blank images with a true path."""
    depth = np.full((24, 32), 2.0, np.float32)
    frames = [Frame(int(s), np.zeros((24, 32, 3), np.uint8), depth, CAMERA) for s in STAMPS]
    write_tum_folder(tmp_path / "all", iter(frames), Trajectory(STAMPS, POSES), CAMERA)
    return Sequence("room", 1, tmp_path / "all")


def test_a_component_is_judged_by_the_median_of_its_runs():
    runs = {str(n): compared(went(0.01), went(ate), "ate_m")
            for n, ate in enumerate((0.008, 0.011, 0.5))}
    row = summarized(runs)
    assert row["ratio"] == pytest.approx(1.1) and row["ratios"] == pytest.approx((0.8, 50.0))
    report = Report("tracking")
    check(report, {"no window": row, "no graph": {**row, "ratio": 0.99}})
    assert [c.ok for c in report.checks] == [True, False]


def test_a_lost_run_is_told_as_lost_and_is_worse_than_any_error():
    run = compared(went(0.01), went(0.002, lost=40) | {"lost_at_s": 1.5}, "ate_m")
    assert run.ratio == math.inf and run.without_m == 0.002
    row = {**summarized({"room_1": run, "room_2": compared(went(0.01), went(0.012), "ate_m")}),
           "figure": "ate_m", "why": ""}
    page = "\n".join(_ablations({"ablations": {"no motion prior": row}}))
    assert "1.00 → 0.20, lost 40 of 100 frames, first at 1.5 s" in page
    assert "1.20 to lost" in page and "40 of 200" in page
    few = compared(went(0.01), went(0.02, lost=3), "ate_m")
    assert few.ratio == pytest.approx(2.0) and few.lost == 3


def test_a_run_that_fails_is_no_worth_of_the_component():
    failed = compared(went(0.01), {"failed": "Traceback\nKeyError: 15"}, "ate_m")
    row = {**summarized({"a": failed, "b": compared(went(0.01), went(0.02), "ate_m")}),
           "figure": "ate_m", "why": ""}
    assert row["ratio"] is None
    report = Report("tracking")
    check(report, {"no window": row})
    assert not report.checks[0].ok
    assert "failed: KeyError: 15" in "\n".join(_ablations({"ablations": {"no window": row}}))


def test_every_ablation_switches_something_off_that_there_is():
    known = flatten(SlamConfig())
    for ablation in ABLATIONS:
        for name, value in ablation.settings.items():
            assert known[name] != value, f"{ablation.name}: {name} is {value} anyway"


def test_ablations_run_where_their_component_has_something_to_do(sequence, tmp_path, monkeypatch):
    asked = []

    class Asked(Runs):
        def run(self, of, name, *, settings):
            asked.append((of.title, name, len(open_source(of.path)), settings))
            return {"ate_rmse_m": 0.02 if settings else 0.01, "lost": 0, "frames": 12}

    monkeypatch.setattr("lib.tracking_ablations.map_ate_m",
                        lambda of, out: 0.03 if "no_graph" in out.name else 0.01)
    loop = Sequence("loop", 2, sequence.path)
    measured = {s.title: {"every_frame": went(0.01, frames=12)} for s in (sequence, loop)}
    table = ablate([sequence, loop], measured, Asked(tmp_path), tmp_path, Report("tracking"))
    assert {name: list(row["runs"]) for name, row in table.items()} == {
        a.name: ["loop_2" if a.name == "no graph" else "room_1"] for a in ABLATIONS}
    assert table["no refinement"]["ratio"] == pytest.approx(2.0)
    assert table["no graph"]["ratio"] == pytest.approx(3.0)
    thin = sorted((out, frames) for _, out, frames, _ in asked if "every_3" in out)
    assert thin == [("room_1.every_3", 4), ("room_1.every_3.no_motion_prior", 4)]


def test_resuming_keeps_what_has_ended_of_the_same_program(sequence, tmp_path, monkeypatch):
    started = []

    def slam(command, **_):
        started.append(command)
        out = Path(command[command.index("--out") + 1])
        out.mkdir(parents=True)
        summary = {"ate_rmse_m": 0.01 * len(started), "lost": 0, "skipped": 0,
                   "latency_ms": {"p95": 1.0}}
        (out / "summary.json").write_text(json.dumps(summary))
        return SimpleNamespace(returncode=int("tracker.window=1" in command), stderr="no")

    monkeypatch.setattr("lib.tracking_runs.subprocess.run", slam)
    first, later = Runs(tmp_path / "runs"), Runs(tmp_path / "runs", resume=True)
    assert first.run(sequence, "whole")["ate_rmse_m"] == 0.01
    assert later.run(sequence, "whole")["ate_rmse_m"] == 0.01 and len(started) == 1
    assert later.run(sequence, "whole", settings={"tracker.window": 1}) == {"failed": "no"}
    assert later.run(sequence, "whole", settings={"tracker.window": 0})["ate_rmse_m"] == 0.03
    monkeypatch.setattr("lib.tracking_runs._program_hash", lambda _: "another version")
    newer = Runs(tmp_path / "runs", resume=True)
    assert newer.run(sequence, "whole", settings={"tracker.window": 0})["ate_rmse_m"] == 0.04
    assert first.run(sequence, "whole")["ate_rmse_m"] == 0.05, "unasked, nothing is kept"


def test_lists_are_thinned_and_shortened_without_touching_the_images(sequence, tmp_path):
    thin = thinned(sequence, 3, tmp_path)
    assert np.array_equal(open_source(thin.path).stamps_ns, STAMPS[::3]) and thin.seed == 1
    assert open_source(thin.path)[1].depth_m.max() == 2.0
    short = shortened("desk", sequence.path, 5, tmp_path)
    assert np.array_equal(open_source(short.path).stamps_ns, STAMPS[:5])
    assert shortened("desk", sequence.path, None, tmp_path).path == sequence.path
    assert len(open_source(sequence.path)) == 12


def test_when_track_was_lost_is_told_from_the_poses(sequence, tmp_path):
    kept = np.array([1, 2, 3, 7, 8])  # not yet tracked at 0, lost from 4 on
    write_tum(tmp_path / "trajectory.txt", Trajectory(STAMPS[kept], POSES[kept]))
    assert first_lost_s(sequence, tmp_path) == pytest.approx(4 * 0.033)
    write_tum(tmp_path / "trajectory.txt", Trajectory(STAMPS, POSES))
    assert first_lost_s(sequence, tmp_path) is None


def test_the_error_of_a_map_is_that_of_its_keyframes(sequence, tmp_path):
    moved = exp_se3(np.array([3.0, 1.0, 0.0, 0.0, 0.0, 1.0]))
    bent = POSES.copy()
    bent[6:, 2, 3] += 0.05
    (tmp_path / "map").mkdir()
    for poses, low, high in ((POSES, 0.0, 1e-5), (bent, 0.01, 0.04)):
        keyframes = [Keyframe(n, int(s), moved @ T, np.ones((5, 4), np.int8),
                              np.ones((5, 2), np.float32), np.ones((5, 3), np.float32), CAMERA)
                     for n, (s, T) in enumerate(zip(STAMPS, poses, strict=True))]
        (tmp_path / "map" / "keyframes.safetensors").write_bytes(pack_keyframes(keyframes))
        assert low <= map_ate_m(sequence, tmp_path) < high
