"""The scheduler: mean cost, safety, and nothing to decide without a deadline."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ace_slam_ros.core.tracking.scheduler import Scheduler, Stage


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def play(scheduler, head_ms, align_ms, frames, deadline_s=1e9):
    """Return (mean cost, frames between looks at most, looks) of a run that is held well."""
    total, gap, longest, looks = 0.0, 0, 0, 0
    for _ in range(frames):
        scheduler.begin_work(deadline_s)
        due = scheduler.look_due()
        gap = 0 if due else gap + 1
        longest, looks = max(longest, gap), looks + due
        cost = align_ms + (head_ms if due else 0.0)
        total += cost
        scheduler.end_frame(cost, looked=due)
    return total / frames, longest, looks


@given(st.floats(1, 120), st.floats(1, 25))
def test_mean_cost_keeps_to_the_budget_or_the_head_looks_every_fifteenth_frame(head_ms, align_ms):
    mean, longest, looks = play(Scheduler(30.0), head_ms, align_ms, 400)
    assert longest <= 14 and looks >= 26
    assert mean <= max(30.0, align_ms + head_ms / 15) + (head_ms + align_ms) / 50 + 0.5


def test_a_quick_machine_looks_at_every_frame():
    assert play(Scheduler(30.0), 10.0, 5.0, 100)[2] == 100


def test_without_a_deadline_everything_is_done_and_nothing_is_owed():
    scheduler = Scheduler(30.0)
    assert play(scheduler, 100.0, 50.0, 60, math.inf)[2] == 60
    scheduler.took(Stage.ENCODE, 1e9)
    assert scheduler.fits(Stage.ENCODE, ready=False) and scheduler.thorough
    assert scheduler.feature_share() == 1.0
    scheduler.begin_work(1e9)
    assert scheduler.look_due(), "no debt is left from then"


def test_one_stall_is_not_paid_for_long():
    scheduler = Scheduler(30.0)
    scheduler.begin_work(1e9)
    scheduler.end_frame(60_000.0, looked=True)
    assert play(scheduler, 0.0, 0.0, 16)[2] >= 1
    scheduler.clear()
    scheduler.begin_work(1e9)
    assert scheduler.look_due()


def test_the_head_sees_fewer_features_when_a_frame_would_pass_its_deadline():
    clock = Clock()
    scheduler = Scheduler(30.0, clock)
    scheduler.begin_work(0.012)
    assert scheduler.feature_share() == 1.0, "nothing is measured yet"
    for _ in range(60):
        scheduler.took(Stage.LOCALIZE, 24.0 * scheduler.feature_share())
    assert abs(scheduler.feature_share() - 0.5) < 0.02
    assert scheduler.gave_up["feature_share"] < 0.6
    scheduler.begin_work(0.030)
    assert scheduler.feature_share() == 1.0
    scheduler.begin_work(-1.0)
    assert scheduler.feature_share() == 0.25
    scheduler.begin_work(0.012)
    clock.now_s = 0.006
    assert abs(scheduler.feature_share() - 0.25) < 0.02
    scheduler.clear()
    assert scheduler.feature_share() == 1.0


def test_a_step_that_would_pass_the_deadline_waits_but_not_for_ever():
    clock = Clock()
    scheduler = Scheduler(30.0, clock)
    scheduler.begin_work(0.050)
    clock.now_s = 0.045
    assert scheduler.fits(Stage.ENCODE), "nothing is measured yet"
    scheduler.took(Stage.ENCODE, 20.0)
    clock.now_s = 0.029
    assert scheduler.fits(Stage.ENCODE)
    clock.now_s = 0.031
    assert not scheduler.fits(Stage.ENCODE)
    assert scheduler.fits(Stage.LINK), "every step for itself"
    assert not scheduler.fits(Stage.LINK, ready=False)
    clock.now_s = 0.060
    assert not any(scheduler.fits(Stage.ENCODE) for _ in range(4))
    assert scheduler.fits(Stage.ENCODE), "it has waited for five frames"
    assert not scheduler.fits(Stage.ENCODE) and scheduler.gave_up["waited_frames"] > 0.5


def test_a_debt_that_stays_is_paid_by_aligning_less():
    scheduler, thorough = Scheduler(25.0), []
    for _ in range(300):
        scheduler.begin_work(1e9)
        look = scheduler.look_due()
        thorough.append(scheduler.thorough)
        scheduler.end_frame((30.0 if scheduler.thorough else 17.0) + 40.0 * look, look)
    share = sum(thorough[150:]) / 150
    assert all(thorough[:3]) and 0.1 < share < 0.9
    assert abs(scheduler.gave_up["thorough_share"] - share) < 0.4
    quick = Scheduler(25.0)
    quick.begin_work(1e9)
    for _ in range(30):
        quick.end_frame(20.0, looked=True)
        quick.end_frame(70.0, looked=False)  # a keyframe
        assert quick.thorough
        for _ in range(10):
            quick.end_frame(15.0, looked=False)
