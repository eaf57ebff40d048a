"""Bars of the tracking benchmark, with made-up figures; runs are repeated, and taken in turn."""

from types import SimpleNamespace

import pytest
from lib.report import Report
from lib.tracking_checks import OFFICE, check_tracking, worst
from lib.tracking_measure import RECORDED, measure
from lib.tracking_report import _all_rows
from lib.tracking_runs import FAST, Runs, Sequence
from lib.yardstick import Yardstick

GOOD = {
    "frames": 789, "lost": 0, "skipped": 0, "skipped_share": 0.0, "longest_lost_s": 0.0,
    "submaps": 1, "ate_m": 0.006, "raw_ate_m": 0.01, "map_ate_m": 0.006, "rpe_m_per_s": 0.01,
    "p50_ms": 20.0, "p95_ms": 50.0, "cpu_ms": 40.0, "p50_yardsticks": 2.0, "p95_yardsticks": 5.0,
    "cpu_yardsticks": 4.0, "head_share": 0.95, "rss_mb": 900.0, "nees": 1.0}


def recorded(**changes):
    """Figures of the recorded sequence; `changes` are of the last run at rate 1."""
    live = [GOOD | {"rate": rate} for rate in (1.0, 1.0, 1.5, 1.5, 2.0, 2.0)]
    return {"every_frame": GOOD, "realtime": [live[0], live[1] | changes, *live[2:]]}


def failing(measured, found=(), bf16=True):
    """Names of the checks that fail."""
    report = Report("tracking")
    check_tracking(report, list(found), measured, torch_rss_mb=400.0, bf16=bf16)
    assert report.checks
    return [check.name.removeprefix(f"{RECORDED} ") for check in report.checks if not check.ok]


def test_good_figures_pass():
    assert failing({RECORDED: recorded()}) == []


@pytest.mark.parametrize(("change", "name"), [
    ({"lost": 1}, "at rate 1: lost"),
    ({"skipped_share": 0.011}, "at rate 1: skipped"),
    ({"ate_m": 0.0071}, "at rate 1: ATE, m"),
    ({"ate_m": None}, "at rate 1: ATE, m"),
    ({"head_share": 0.89}, "at rate 1: frames with a look of the head"),
    ({"p50_yardsticks": 2.6}, "at rate 1: latency p50, yardsticks"),
    ({"p95_yardsticks": 6.1}, "at rate 1: latency p95, yardsticks"),
    ({"rss_mb": 1001.0}, "at rate 1: memory beyond torch's own, MB"),
])
def test_one_bad_run_of_several_fails(change, name):
    assert failing({RECORDED: recorded(**change)}) == [name]


def test_bars_of_higher_rates_are_their_own():
    figures = recorded()
    figures["realtime"][3] = GOOD | {"rate": 1.5, "skipped_share": 0.029, "ate_m": 0.0074}
    figures["realtime"][5] = GOOD | {"rate": 2.0, "skipped_share": 0.099, "ate_m": 0.0089,
                                     "head_share": 0.4, "p95_yardsticks": 9.0}
    assert failing({RECORDED: figures}) == []
    figures["realtime"][3] = GOOD | {"rate": 1.5, "skipped_share": 0.031, "ate_m": 0.0076}
    figures["realtime"][5] = GOOD | {"rate": 2.0, "skipped_share": 0.101, "ate_m": 0.0091,
                                     "lost": 2}
    assert failing({RECORDED: figures}) == [
        "at rate 1.5: skipped", "at rate 1.5: ATE, m", "at rate 2: lost", "at rate 2: skipped",
        "at rate 2: ATE, m"]


def test_runs_that_fail_or_are_missing_fail():
    figures = recorded()
    figures["realtime"][1] = {"rate": 1.0, "failed": "killed"}
    assert len(failing({RECORDED: figures})) == 7, "each bar of rate 1"
    figures["realtime"] = [run for run in recorded()["realtime"] if run["rate"] != 2.0]
    assert failing({RECORDED: figures}) == [
        "at rate 2: lost", "at rate 2: skipped", "at rate 2: ATE, m"]
    assert worst([{"a": 1}, {}], "a") is None and worst([], "a") is None
    assert worst([{"a": 1}, {"a": 0}], "a") == 1 and worst([{"a": 1}, {"a": 0}], "a", min) == 0


def test_without_bfloat16_a_frame_may_cost_more():
    figures = recorded() | {"every_frame": GOOD | {"cpu_yardsticks": 5.0}}
    assert failing({RECORDED: figures}, bf16=False) == []
    assert failing({RECORDED: figures}) == [f"{RECORDED}: CPU time of a frame, yardsticks"]


def test_the_office_must_be_found_again_soon_and_in_one_map():
    figures = {"every_frame": GOOD | {"longest_lost_s": 0.6}, "realtime": [GOOD, GOOD]}
    assert failing({OFFICE: figures}) == []
    late = figures | {"realtime": [GOOD, GOOD | {"longest_lost_s": 0.8}]}
    assert failing({OFFICE: late}) == [f"{OFFICE}: longest time lost, s"]
    apart = figures | {"every_frame": GOOD | {"submaps": 2}}
    assert failing({OFFICE: apart}) == [f"{OFFICE}: submaps"]
    assert len(failing({OFFICE: figures | {"every_frame": {"failed": "killed"}}})) == 2


def test_fast_motion_must_be_as_good_in_real_time(tmp_path):
    found = [Sequence(FAST, seed, tmp_path) for seed in (1, 2)]

    def figures(*live, every=GOOD):
        return {found[0].title: {"every_frame": GOOD, "realtime": [GOOD]},
                found[1].title: {"every_frame": every, "realtime": [GOOD | run for run in live]}}

    assert failing(figures({"ate_m": 0.0089}, {}), found) == []
    ratio = f"{FAST} in real time: ATE over that of every frame"
    assert failing(figures({"ate_m": 0.0091}, {}), found) == [ratio]
    assert failing(figures({"lost": 1}, {}), found) == [f"{FAST}: lost"]
    assert failing(figures({}, every=GOOD | {"lost": 3}), found) == [f"{FAST}: lost"]
    assert failing(figures({}, every={"failed": "no"}), found) == [f"{FAST}: lost", ratio]


def test_versions_run_in_turn_and_every_run_is_told(tmp_path, monkeypatch):
    order = []

    class Asked(Runs):
        def run(self, of, name, *, rate=None, settings=None):
            order.append((self.folder.name, name))
            summary = {
                "frames": 10, "lost": 0, "skipped": 1, "ate_rmse_m": None, "raw_ate_rmse_m": None,
                "rpe_trans_m_per_s": None, "latency_ms": {"p50": 30.0, "p95": 60.0},
                "peak_rss_mb": 1.0, "map_bytes": 1, "stages_ms": {}}
            new = {"cpu_ms_per_frame": 50.0, "longest_lost_s": 0.0, "submaps": 1,
                   "gave_up": {"head_share": 0.9}}
            return summary | (new if self.folder.name == "new" else {})

    monkeypatch.setattr("lib.tracking_measure.take_yardstick", lambda _: Yardstick(15.0, 10.0))
    recording = Sequence(RECORDED, None, tmp_path)
    programs = [Asked(tmp_path / "new"), Asked(tmp_path / "old")]
    new, old = measure([recording], programs, repeats=2)
    assert order[:4] == [(program, f"{RECORDED}.realtime_x1_{n}") for n in (1, 2)
                         for program in ("new", "old")]
    assert len(order) == 2 * (3 * 2 + 1)
    runs = new[RECORDED]["realtime"]
    assert [run["rate"] for run in runs] == [1.0, 1.0, 1.5, 1.5, 2.0, 2.0]
    assert (runs[0]["p50_yardsticks"], runs[0]["cpu_yardsticks"]) == (2.0, 5.0)
    assert old[RECORDED]["realtime"][0]["cpu_yardsticks"] is None, "older versions do not tell"
    assert len(measure([recording], programs[:1])[0][RECORDED]["realtime"]) == 9
    rows = _all_rows(old)
    assert [row[1] for row in rows] == [
        "every frame", "real time", "real time", *["real time x 1.5"] * 2, *["real time x 2"] * 2]


def test_another_version_runs_from_its_own_folder(tmp_path, monkeypatch):
    def slam(command, *, cwd, env, **_):
        assert env["PYTHONPATH"] == str(cwd) == str(tmp_path / "other")
        assert command[command.index("--rate") + 1] == "1.5" and "--realtime" in command
        return SimpleNamespace(returncode=1, stderr="as asked")

    monkeypatch.setattr("lib.tracking_runs.subprocess.run", slam)
    (tmp_path / "other" / "ace_slam_ros").mkdir(parents=True)
    with pytest.raises(SystemExit, match="no checkout"):
        Runs(tmp_path / "runs", checkout=tmp_path / "other")
    (tmp_path / "other" / "ace_slam_ros" / "cli.py").touch()
    other = Runs(tmp_path / "runs", checkout=tmp_path / "other")
    assert other.run(Sequence("room", 1, tmp_path), "x", rate=1.5) == {"failed": "as asked"}
