"""Errors of relocalization queries when truth covers all, some or none of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.trajectories import smooth

from ace_slam_ros.apps.relocalize import _query_errors
from ace_slam_ros.core.data.trajectory import Trajectory


@pytest.mark.parametrize(("kept", "shift_ns", "expected"), [
    (slice(None), 0, (40, "map")), (slice(20, 40), 0, (20, "map")),
    (slice(None), 10**18, (40, "none")),
])
def test_queries_are_judged_where_there_is_truth(kept, shift_ns, expected):
    answers = smooth(40)
    truth = Trajectory(answers.stamps_ns[kept] + shift_ns, answers.T_map_cam_N44[kept])
    errors, how = _query_errors(
        answers.stamps_ns, answers, SimpleNamespace(groundtruth=truth), np.eye(4))
    within = [e for e in errors if e is not None]
    assert how == expected[1]
    assert abs(len(errors) - expected[0]) <= 2, "truth counts up to 50 ms beyond its ends"
    assert bool(within) == (how == "map") and all(e[0] < 0.05 for e in within)
