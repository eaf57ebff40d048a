"""The frame budget: mean cost, safety, and nothing to decide without a budget."""

from hypothesis import given
from hypothesis import strategies as st

from ace_slam_ros.core.tracking.frame_budget import FrameBudget


def play(budget, head_ms, refine_ms, frames, steady=True):
    """Return (mean cost, frames between heads at most, heads) of a run."""
    total, gap, longest, heads = 0.0, 0, 0, 0
    for _ in range(frames):
        due = budget.head_due(steady)
        gap = 0 if due else gap + 1
        longest, heads = max(longest, gap), heads + due
        cost = refine_ms + (head_ms if due else 0.0)
        total += cost
        budget.spent(cost)
    return total / frames, longest, heads


@given(st.floats(1, 120), st.floats(1, 25))
def test_mean_cost_keeps_to_the_budget_or_the_head_runs_every_fifteenth_frame(head_ms, refine_ms):
    mean, longest, heads = play(FrameBudget(30.0), head_ms, refine_ms, 400)
    assert longest <= 14 and heads >= 26
    assert mean <= max(30.0, refine_ms + head_ms / 15) + (head_ms + refine_ms) / 50 + 0.5


def test_a_quick_machine_relocalizes_every_frame():
    assert play(FrameBudget(30.0), 10.0, 5.0, 100)[2] == 100


def test_no_budget_and_unsure_tracking_relocalize_every_frame():
    assert play(FrameBudget(0.0), 100.0, 50.0, 60)[2] == 60
    assert play(FrameBudget(30.0), 100.0, 50.0, 60, steady=False)[2] == 60


def test_one_stall_is_not_paid_for_long():
    budget = FrameBudget(30.0)
    budget.spent(60_000.0)
    assert sum(budget.head_due(True) for _ in range(16)) >= 1
    budget.clear()
    assert budget.head_due(True)


def test_the_head_sees_fewer_features_when_a_frame_would_pass_its_deadline():
    budget = FrameBudget(30.0, 50.0)
    assert budget.feature_share(38.0) == 1.0, "nothing is measured yet"
    for _ in range(60):
        budget.took("localize", 24.0 * budget.feature_share(38.0))
    assert abs(budget.feature_share(38.0) - 0.5) < 0.02
    assert budget.gave_up["feature_share"] < 0.6 and budget.feature_share(20.0) == 1.0
    assert budget.feature_share(500.0) == 0.25
    budget.begin(late_ms=6.0)
    assert abs(budget.feature_share(38.0) - 0.25) < 0.02
    budget.clear()
    assert budget.feature_share(38.0) == 1.0


def test_a_step_that_would_pass_the_deadline_waits_but_not_for_ever():
    budget = FrameBudget(30.0, 50.0)
    assert budget.fits("encode", 45.0), "nothing is measured yet"
    budget.took("encode", 20.0)
    budget.begin(late_ms=0.0)
    assert budget.fits("encode", 29.0) and not budget.fits("encode", 31.0)
    budget.begin(late_ms=15.0)
    assert budget.fits("encode", 14.0) and not budget.fits("encode", 16.0)
    assert budget.fits("link", 16.0), "every step for itself"
    assert not budget.fits("link", 16.0, ready=False)
    assert not any(budget.fits("encode", 60.0) for _ in range(4))
    assert budget.fits("encode", 60.0), "it has waited for five frames"
    assert not budget.fits("encode", 60.0) and budget.gave_up["waited_frames"] > 0.5


def test_a_debt_that_stays_is_paid_by_refining_less():
    budget, thorough = FrameBudget(25.0), []
    for _ in range(300):
        budget.begin(late_ms=0.0)
        head = budget.head_due(True)
        thorough.append(budget.thorough)
        budget.spent((30.0 if budget.thorough else 17.0) + 40.0 * head)
    share = sum(thorough[150:]) / 150
    assert all(thorough[:3]) and 0.1 < share < 0.9
    assert abs(budget.gave_up["thorough_share"] - share) < 0.4
    quick = FrameBudget(25.0)
    for _ in range(30):
        quick.head_due(True)
        quick.spent(20.0)
        quick.spent(70.0)  # a keyframe
        assert quick.thorough
        for _ in range(10):
            quick.spent(15.0)
    assert FrameBudget(0.0).thorough


def test_a_frame_that_is_looked_at_is_the_only_one():
    budget = FrameBudget(30.0)
    assert not budget.head_due(True, looking=True) and budget.head_due(True)
    assert not FrameBudget(0.0).shares_work and budget.shares_work
