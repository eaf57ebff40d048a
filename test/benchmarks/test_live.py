"""Figures of the live benchmarks, from courses made by hand."""

import os

import pytest
from lib.live_passes import Bars, cpu_s, stream_figures
from lib.live_system import Heard, longest_gap_s, percentiles, resident_mb
from lib.report import Report
from soak import growth_percent, tracked_by_pass


def heard(at_s, tracked=True, frames=0, skipped=0, latency_ms=20.0):
    return Heard(at_s, 1 if tracked else 2, "m", 1, latency_ms, frames, skipped, 0, tracked)


def test_growth_is_measured_after_the_warm_up():
    samples = [(float(t), {"mapper": 200.0 if t < 300 else 300.0 + 0.01 * (t - 300)})
               for t in range(0, 1800, 5)]
    assert growth_percent(samples, "mapper", 300.0) == pytest.approx(4.8, abs=0.4)
    flat = [(t, {"mapper": 300.0}) for t, _ in samples]
    assert growth_percent(flat, "mapper", 300.0) == 0.0


def test_every_pass_is_judged_by_itself():
    course = [heard(100.0 + i / 30, tracked=not 60 <= i < 120) for i in range(180)]
    assert tracked_by_pass(course, 2.0) == [100.0, 0.0, 100.0]


def test_longest_gap_counts_both_ends():
    course = [heard(10.0), heard(11.0), heard(11.5, tracked=False), heard(12.5)]
    assert longest_gap_s(course, 9.0, 13.0) == pytest.approx(1.5)
    assert longest_gap_s([], 9.0, 13.0) == 4.0


def test_figures_of_one_pass():
    course = [heard(0.1 * i, frames=100 + i, skipped=i // 10, tracked=i != 5) for i in range(99)]
    found = stream_figures(course, {
        "topics": {"rgb/image": 100, "depth/image": 101, "rgb/camera_info": 90}, "late_ms": {}})
    assert (found["sent"], found["arrived"], found["skipped_by_choice"]) == (100, 99, 9)
    assert found["arrived_percent"] == 99.0 and found["tracked_percent"] < 100.0
    assert found["latency_ms"] == {"p50": 20.0, "p95": 20.0}


def test_a_check_holds_when_it_holds_in_every_run():
    bars, report = Bars(), Report("live")
    for p95, tracked, ate in ((7.0, 99.0, 0.9), (8.5, 98.0, float("nan")), (6.0, 96.0, 1.0)):
        bars.at_most("p95", p95, 8.0)
        bars.at_least("tracked", tracked, 95.0)
        bars.at_most("ATE", ate, 1.3)
    bars.report(report)
    assert [(c.name, c.value, c.ok) for c in report.checks] == [
        ("p95", 8.5, False), ("tracked", 96.0, True), ("ATE", None, False)]


def test_processor_time_of_this_process_and_of_none():
    assert cpu_s(os.getpid()) > 0.0
    assert cpu_s(None) == 0.0


def test_missing_values_fail_no_comparison_by_accident():
    assert percentiles([])["p50"] != percentiles([])["p50"], "NaN"
    assert resident_mb(None) == 0.0
