"""Summaries: the promised keys, JSON without NaN."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.evaluation.summary import (
    Latency,
    RelocalizeSummary,
    RunSummary,
    relocalize_scores,
)

RUN = RunSummary(
    source="fr1", frames=10, tracked=8, lost=1, skipped=0, rejected=1, keyframes=3,
    ate_rmse_m=0.01, raw_ate_rmse_m=math.nan, rpe_trans_m_per_s=math.nan,
    latency_ms=Latency.of([1.0, 2.0, 3.0]), fps=30.0, realtime_factor=1.0, map_bytes=1000,
    keyframe_bytes=2000, peak_rss_mb=300.0, weights_version=5, initialized_at_frame=None,
    device="cpu", config={"seed": np.int64(3), "path": Path("/a")}, version="0.1.0",
    extra={"relocalizations": [{"error_m": np.float32("nan"), "ok": np.bool_(True)}]})


def test_keys_of_a_run(tmp_path):
    RUN.write(tmp_path / "summary.json")
    text = (tmp_path / "summary.json").read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert set(found) == {
        "frames", "tracked", "lost", "skipped", "ate_rmse_m", "raw_ate_rmse_m",
        "rpe_trans_m_per_s", "latency_ms", "fps", "realtime_factor", "map_bytes",
        "keyframe_bytes", "peak_rss_mb", "device", "config", "version", "rejected", "keyframes",
        "weights_version", "source", "initialized_at_frame", "relocalizations"}
    assert found["latency_ms"] == {"p50": 2.0, "p95": pytest.approx(2.9)}
    assert found["raw_ate_rmse_m"] is None and found["ate_rmse_m"] == 0.01
    assert found["config"] == {"seed": 3, "path": "/a"}
    assert found["relocalizations"] == [{"error_m": None, "ok": True}]


def test_keys_of_relocalize():
    errors = [(0.01, 1.0), (0.07, 1.0), (0.5, 90.0), None]
    summary = RelocalizeSummary(
        source="s", map="m", mode="rgbd", latency_ms=Latency.of([]), **relocalize_scores(errors))
    found = summary.to_dict()
    assert set(found) == {
        "queries", "recall_5cm_5deg", "recall_10cm_5deg", "median_trans_m", "median_rot_deg",
        "false_accepts", "latency_ms", "mode", "source", "map"}
    assert found["queries"] == 4 and found["false_accepts"] == 1
    assert (found["recall_5cm_5deg"], found["recall_10cm_5deg"]) == (0.25, 0.5)
    assert (found["median_trans_m"], found["median_rot_deg"]) == (0.07, 1.0)
    assert found["latency_ms"] == {"p50": None, "p95": None}


@pytest.mark.parametrize("errors", [[], [None, None]])
def test_no_answers(errors):
    scores = relocalize_scores(errors)
    assert scores["recall_5cm_5deg"] == 0.0 and scores["false_accepts"] == 0
    assert math.isnan(scores["median_trans_m"])


def test_unwritable_summary(tmp_path):
    with pytest.raises(DataError, match="--out"):
        dataclasses.replace(RUN).write(tmp_path / "missing" / "summary.json")
