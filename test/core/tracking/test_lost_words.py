"""What is said when a tracked camera is lost: never a time that nobody waited."""

import logging
from types import SimpleNamespace

import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.tracking.result import TrackerState
from ace_slam_ros.core.tracking.tracker import Tracker


@pytest.mark.parametrize(("gap_s", "said"), [
    (1.5, "no pose for 1.50 s"), (490755344.99, "no pose for more than 10 s, by the stamps")])
def test_a_clock_that_jumps_is_no_waiting_time(gap_s, said, caplog):
    tracker = SimpleNamespace(
        _last_seen_ns=10**9, _config=SlamConfig(), state=TrackerState.TRACKING,
        _model=SimpleNamespace(lose=lambda: None))
    with caplog.at_level(logging.WARNING):
        Tracker.missed(tracker, 10**9 + int(gap_s * 1e9))
    assert tracker.state is TrackerState.LOST
    assert said in caplog.text and "490755344" not in caplog.text
