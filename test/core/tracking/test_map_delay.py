"""Time from a keyframe to the head that knows it."""

from ace_slam_ros.core.tracking.map_delay import MapDelay


def test_keyframes_are_timed_once_until_a_head_knows_them():
    now_s = [0.0]
    delay = MapDelay(lambda: now_s[0])
    assert delay.values() == {}
    delay.sent([0, 1])
    now_s[0] = 0.05
    delay.learned(1)
    delay.sent([0, 1])  # again, with what moved taken out
    now_s[0] = 0.15
    delay.learned(3)
    assert delay.values() == {"keyframe_to_head_ms_p50": 100.0, "keyframe_to_head_ms_p95": 145.0}


def test_keyframes_of_a_map_that_was_left_are_not_waited_for():
    delay = MapDelay(lambda: 0.0)
    delay.sent([5])
    delay.clear()
    delay.learned(9)
    assert delay.values() == {}
