"""Output folders of the applications, and the tables they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from ace_slam_ros.apps.reporting import (
    OutputError,
    prepare_out_folder,
    relocalize_rows,
    run_rows,
    table,
)


def test_out_folder_is_made_and_reused(tmp_path: Path) -> None:
    out = prepare_out_folder(tmp_path / "a" / "b")
    assert out.is_dir() and not any(out.iterdir())
    (out / "old").touch()
    assert prepare_out_folder(out) == out
    assert (out / "old").exists()


def test_out_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="is a file"):
        prepare_out_folder(file)
    with pytest.raises(OutputError, match="cannot write to"):
        prepare_out_folder(file / "below")
    with pytest.raises(OutputError, match="cannot write to"):
        prepare_out_folder(Path("/proc/ace_slam"))


def _summary(**changes: object) -> dict[str, object]:
    known = {
        "frames": 200, "tracked": 150, "lost": 30, "skipped": 20, "rejected": 0, "keyframes": 12,
        "ate_rmse_m": 0.01234, "raw_ate_rmse_m": 0.02, "rpe_trans_m_per_s": 0.003,
        "latency_ms": {"p50": 30.04, "p95": 44.0}, "fps": 29.96, "realtime_factor": 1.0,
        "map_bytes": 800_000, "keyframe_bytes": 4_000_000, "peak_rss_mb": 512.3, "device": "cpu",
    }
    return {**known, **changes}


def test_run_table_shows_units_and_shares() -> None:
    rows = {row[0]: row[1:] for row in run_rows(_summary())}
    assert rows["ATE"][:2] == (1.23, "cm")
    honest = {row[0]: row for row in run_rows(
        _summary(nees={"pose_mocap": 1.234, "pose": 9.876}))}["NEES"]
    assert honest[1] == 1.23 and "5 mm" in honest[3] and "9.88 with an exact one" in honest[3]
    assert rows["tracked"] == (150, "", "75.0 %")
    assert rows["map"][:2] == (0.8, "MB")
    assert "1.23  cm" in table(run_rows(_summary()))


def test_run_table_without_ground_truth_has_no_errors() -> None:
    rows = {row[0]: row[1:] for row in run_rows(
        _summary(ate_rmse_m=None, raw_ate_rmse_m=None, rpe_trans_m_per_s=None))}
    assert rows["ATE"] == (None, "cm", "no ground truth in the source")
    assert "RPE" not in rows


def test_relocalize_table() -> None:
    summary = {
        "queries": 4, "mode": "rgbd", "recall_5cm_5deg": 0.5, "recall_10cm_5deg": 0.75,
        "median_trans_m": 0.04, "median_rot_deg": 1.234, "false_accepts": 1,
        "latency_ms": {"p50": 20.0, "p95": 30.0}, "asked": 5, "answered": 4, "rejected": 2,
        "refused": {"LOW_CONFIDENCE": {"count": 1, "first": "3 % of the features agree"}},
        "groundtruth_frame": "map",
    }
    rows = [row[:3] for row in relocalize_rows(summary)]
    assert ("within 5 cm, 5 deg", 50.0, "%") in rows
    assert ("median error", 1.23, "deg") in rows
    told = [("queries", 5, "", "rgbd"), ("answered", 4, "", "80.0 %"),
            ("not answered", 1, "", "low confidence: 3 % of the features agree"),
            ("unusable", 2, "", "frames that were not asked about")]
    assert relocalize_rows(summary)[:4] == told
    summary |= {"median_trans_m": None, "groundtruth_frame": "none"}
    rows = relocalize_rows(summary)
    assert rows[:5] == [*told, ("error", None, "", "no ground truth in the source")]
    assert all(row[0] != "median error" for row in relocalize_rows(summary))


def test_run_table_says_what_was_compared_and_what_was_dropped() -> None:
    compared = {"poses": 140, "of": 150, "from_s": 100.5, "until_s": 110.0, "problem": ""}
    dropped = {"poses": 3000, "dropped": {"not finite": 3}}
    rows = {row[0]: row[1:] for row in run_rows(_summary(compared=compared, groundtruth=dropped))}
    assert rows["compared"] == (
        140, "", "of 150 poses, 9.5 s: 100.500 to 110.000, 3 rows of ground truth dropped "
        "(not finite)")


def test_run_table_says_why_nothing_was_compared() -> None:
    compared = {"poses": 0, "of": 150, "from_s": None, "until_s": None, "problem": "two clocks"}
    rows = {row[0]: row[1:] for row in run_rows(_summary(ate_rmse_m=None, compared=compared))}
    assert rows["ATE"] == (None, "cm", "two clocks") and "compared" not in rows
