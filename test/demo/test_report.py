"""What the demonstration computes from a run: places, errors, checks, tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ace_slam_ros.apps.reporting import table
from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, make_pose
from ace_slam_ros.demo.report import (
    ANSWER_HEADER,
    Answer,
    Limits,
    Reference,
    answer_rows,
    checks,
    choose_places,
    result_rows,
)
from ace_slam_ros.evaluation.summary import Latency, RunSummary

STAMPS = np.arange(100, dtype=np.int64) * 33_000_000


def _walk(scale_m: float = 1.0) -> Trajectory:
    twists = np.random.default_rng(3).normal(size=(100, 6)).cumsum(axis=0) * 0.02
    twists[:, :3] *= scale_m
    return Trajectory(STAMPS, np.stack([exp_se3(t) for t in twists]))


def _moved(trajectory: Trajectory, T_44: np.ndarray) -> Trajectory:
    return Trajectory(trajectory.stamps_ns, T_44 @ trajectory.T_map_cam_N44)


def _answer(trans_m: float | None = 0.01, rot_deg: float | None = 0.5, success: bool = True,
            message: str = "") -> Answer:
    return Answer(1_500_000_000, success, trans_m, rot_deg, 12.0, 0.6, 7, message)


def _summary(**changes: object) -> RunSummary:
    values: dict[str, object] = {
        "source": "x", "frames": 100, "tracked": 90, "lost": 2, "skipped": 8, "rejected": 0,
        "keyframes": 9, "ate_rmse_m": 0.01, "raw_ate_rmse_m": 0.02, "rpe_trans_m_per_s": 0.01,
        "latency_ms": Latency(20.0, 30.0), "fps": 30.0, "realtime_factor": 1.0,
        "map_bytes": 800_000, "keyframe_bytes": 1, "peak_rss_mb": 1.0, "weights_version": 5,
        "initialized_at_frame": 0, "device": "cpu", "config": {}, "version": "0",
        "extra": {"undelivered": 0, "tracker_cpu_ms": 31.0,
                  "weights_versions": {"tracker": 5, "relocalizer": 6}},
    }
    return RunSummary(**{**values, **changes})  # type: ignore[arg-type]


@given(st.lists(st.floats(-2.0, 2.0), min_size=6, max_size=6))
def test_reference_undoes_any_map_frame(twist: list[float]) -> None:
    truth = _walk()
    T_44 = exp_se3(np.array(twist))
    reference = Reference(_moved(truth, T_44), truth)
    meters, degrees = reference.error(int(STAMPS[40]), T_44 @ truth.T_map_cam_N44[40])
    assert meters < 1e-9 and degrees < 1e-5


def test_reference_measures_a_wrong_pose() -> None:
    truth = _walk()
    reference = Reference(truth, truth)
    offset = make_pose(exp_se3(np.array([0, 0, 0, 0, 0, math.radians(2.0)]))[:3, :3],
                       np.array([0.03, 0.0, 0.0]))
    meters, degrees = reference.error(int(STAMPS[40]), truth.T_map_cam_N44[40] @ offset)
    assert meters == pytest.approx(0.03, abs=1e-6) and degrees == pytest.approx(2.0, abs=1e-4)


def test_rotation_is_fixed_even_when_the_camera_hardly_moved() -> None:
    """Positions alone, 0.1 mm apart with 1 mm of noise, would leave the rotation open."""
    truth = _walk(scale_m=1e-4)
    noisy = truth.T_map_cam_N44.copy()
    noisy[:, :3, 3] += np.random.default_rng(0).normal(size=(100, 3)) * 1e-3
    T_44 = exp_se3(np.array([1.0, 2.0, 3.0, 0.3, -0.2, 1.0]))
    reference = Reference(_moved(Trajectory(STAMPS, noisy), T_44), truth)
    assert reference.error(int(STAMPS[50]), T_44 @ truth.T_map_cam_N44[50])[1] < 0.1


def test_without_ground_truth_tracking_is_the_reference() -> None:
    estimate = _moved(_walk(), exp_se3(np.ones(6)))
    reference = Reference(estimate, None)
    assert reference.error(int(STAMPS[10]), estimate.T_map_cam_N44[10])[0] < 1e-12
    assert np.allclose(invert_pose(reference.pose(int(STAMPS[10]))) @ estimate.T_map_cam_N44[10],
                       np.eye(4))


def test_places_are_spread_seeded_and_held_out() -> None:
    reference = Reference(_walk(), None)
    keyframes = {int(s) for i, s in enumerate(STAMPS) if i % 10 != 4}
    stamps = STAMPS.tolist()
    first = choose_places(stamps, keyframes, reference, 10, seed=1)
    assert first == [4, 14, 24, 34, 44, 54, 64, 74, 84, 94]
    free = choose_places(stamps, set(), reference, 10, seed=1)
    assert [i // 10 for i in free] == list(range(10))
    assert free == choose_places(stamps, set(), reference, 10, seed=1)
    assert free != choose_places(stamps, set(), reference, 10, seed=2)


def test_places_need_a_reference_pose() -> None:
    walk = _walk()
    half = Trajectory(walk.stamps_ns[:50], walk.T_map_cam_N44[:50])
    chosen = choose_places(STAMPS.tolist(), set(), Reference(half, None), 10, seed=0)
    assert len(chosen) == 10 and max(chosen) <= 51
    assert choose_places([], set(), Reference(half, None), 10, seed=0) == []


@pytest.mark.parametrize(("answer", "good"), [
    (_answer(), True), (_answer(trans_m=0.051), False), (_answer(rot_deg=3.1), False),
    (_answer(success=False), False), (_answer(None, None), False),
])
def test_good_answers(answer: Answer, good: bool) -> None:
    assert answer.good is good


def test_checks_pass_and_fail() -> None:
    limits = Limits(ate_m=0.025, relocalizations=9, tracked_share=0.9)
    answers = [_answer()] * 9 + [_answer(None, None, False)]
    assert all(check.passed for check in checks(_summary(), answers, limits))
    bad = checks(_summary(ate_rmse_m=0.026, lost=20), answers[1:], limits)
    assert [c.name for c in bad if not c.passed] == [
        "trajectory", "relocalization", "tracked share"]


def test_nothing_tracked_fails_whatever_the_limits() -> None:
    nothing = _summary(tracked=0, lost=0, ate_rmse_m=float("nan"))
    failed = [c.name for c in checks(nothing, [], Limits(ate_m=0.05)) if not c.passed]
    assert failed == ["tracking", "trajectory"]


def test_result_table_names_versions_and_transport_losses() -> None:
    assert "undelivered" not in table(result_rows(_summary()))
    lossy = _summary(extra={
        "undelivered": 3, "tracker_cpu_ms": 31.0,
        "weights_versions": {"tracker": 5, "relocalizer": 6}})
    text = table(result_rows(lossy))
    assert "lost between processes" in text and "version the relocalizer answered with" in text


def test_answer_table_lines_up() -> None:
    answers = [_answer(), _answer(None, None, False, "no pose explains the image")]
    lines = table(answer_rows(answers, 0), ANSWER_HEADER).splitlines()
    assert lines[2].split() == ["1", "1.5", "1.0", "0.50", "60", "12.0", "ok"]
    assert lines[3].index("no pose") == lines[2].index("ok")
