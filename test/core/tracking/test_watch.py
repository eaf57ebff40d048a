"""When a tracked camera is LOST, and what is said: never a time that nobody waited."""

import logging

import pytest

from ace_slam_ros.core.tracking.result import TrackerState
from ace_slam_ros.core.tracking.watch import Watch

SECOND = 10**9


@pytest.mark.parametrize(("gap_s", "said"), [
    (1.5, "no pose for 1.50 s"), (490755344.99, "no pose for more than 10 s, by the stamps")])
def test_a_clock_that_jumps_is_no_waiting_time(gap_s, said, caplog):
    watch = Watch(1.0)
    watch.seen(SECOND, "m")
    with caplog.at_level(logging.WARNING):
        assert watch.missed(SECOND + int(gap_s * 1e9))
    assert watch.state is TrackerState.LOST
    assert said in caplog.text and "490755344" not in caplog.text


def test_lost_after_a_time_without_pose_and_found_by_a_pose():
    watch = Watch(1.0)
    assert not watch.missed(0) and watch.state is TrackerState.INIT
    watch.seen(SECOND, "m")
    assert not watch.missed(SECOND + SECOND // 2) and watch.state is TrackerState.TRACKING
    watch.clear()  # the clock jumped: time counts from the next frame
    assert not watch.missed(9 * SECOND)
    assert watch.missed(10 * SECOND) and not watch.missed(11 * SECOND)
    watch.seen(12 * SECOND, "m")
    assert watch.state is TrackerState.TRACKING
