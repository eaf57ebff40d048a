"""The frame budget: mean cost, safety, and nothing to decide without a budget."""

from hypothesis import given
from hypothesis import strategies as st

from ace_slam_ros.core.frame_budget import FrameBudget


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


def test_a_quick_machine_relocalises_every_frame():
    assert play(FrameBudget(30.0), 10.0, 5.0, 100)[2] == 100


def test_no_budget_and_unsure_tracking_relocalise_every_frame():
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
    assert budget.feature_share(True) == 1.0
    for _ in range(60):
        share = budget.feature_share(True)
        spent = {"encode": 30.0, "refine": 8.0, "localise": 24.0 * share}
        budget.spent(sum(spent.values()), spent)
    assert abs(budget.feature_share(True) - 0.5) < 0.02
    assert budget.gave_up["feature_share"] < 0.6 and budget.feature_share(False) == 1.0
    budget.spent(500.0, {"encode": 450.0})
    assert budget.feature_share(True) == 0.25
    budget.clear()
    assert budget.feature_share(True) == 1.0


def test_without_a_budget_all_features_are_seen():
    budget = FrameBudget(0.0, 10.0)
    budget.spent(100.0, {"encode": 60.0, "localise": 40.0})
    assert budget.feature_share(True) == 1.0
