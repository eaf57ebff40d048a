"""The GPU benchmark: bars with made-up figures; without a GPU it says so and ends."""

import gpu
import pytest
import torch
from lib.device_agreement import check_agreement, check_times
from lib.report import Report

SAME = {
    "cosine_least": 0.9995, "cosine_mean": 0.9999, "same_search": 1.0, "same_words": 0.98,
    "frames": 40, "same_found": 1.0, "both_found": 40,
    "pose_m": {"median": 0.001, "largest": 0.01}, "pose_deg": {"median": 0.05, "largest": 0.4}}
QUICK = {"encoder": {"median": 0.8}, "frame": {"median": 6.0}}
RUN = {"ate_rmse_m": 0.01, "lost": 0}
RUNS = {name: RUN for name in ("cpu, every frame", "device, every frame", "device, real time")}


def failing(check, figures):
    report = Report("gpu")
    check(report, figures)
    return [check.name for check in report.checks if not check.ok]


@pytest.mark.parametrize(("change", "names"), [
    ({}, []),
    ({"cosine_least": 0.99}, ["least cosine of descriptors to the CPU's"]),
    ({"same_search": 0.99}, ["same word of the same descriptor"]),
    ({"same_words": 0.9}, ["same word of the same cell"]),
    ({"same_found": 0.9}, ["frames found, or not, like on the CPU"]),
    ({"pose_m": {"median": 0.01}}, ["median difference of poses, m"]),
    ({"pose_deg": {"median": 0.5}}, ["median difference of poses, deg"]),
    ({"both_found": 0, "pose_m": None, "pose_deg": None}, [
        "share of frames that both find", "median difference of poses, m",
        "median difference of poses, deg"]),
])
def test_devices_must_agree(change, names):
    assert failing(check_agreement, SAME | change) == names


def test_a_gpu_must_be_quick():
    assert failing(check_times, QUICK) == []
    assert failing(check_times, QUICK | {"encoder": {"median": 1.1}}) == ["encoder, median ms"]
    assert failing(check_times, QUICK | {"frame": {"median": 11.0}}) == ["frame, median ms"]


def test_runs_on_the_device_must_be_as_good():
    assert failing(gpu.check_runs, RUNS) == []
    worse = RUNS | {"device, real time": {"ate_rmse_m": 0.016, "lost": 2}}
    assert failing(gpu.check_runs, worse) == [
        "device, real time: lost", "device, real time: ATE over that of the CPU"]
    failed = RUNS | {"device, every frame": {"failed": "no", "lost": None, "ate_rmse_m": None}}
    assert len(failing(gpu.check_runs, failed)) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr("sys.argv", ["gpu.py", "--out", str(out)])
    assert gpu.main() == gpu.SKIPPED == 77
    assert "no CUDA device" in capsys.readouterr().out and not out.exists()
