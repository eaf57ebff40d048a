"""Checks of what was heard: lost images, stamps, gaps between clocks."""

from collections import Counter

from ace_slam_ros.doctor.findings import GOOD, NOTE, PROBLEM
from ace_slam_ros.doctor.topic_checks import pairing, rate, stamps, sync_gap
from ace_slam_ros.doctor.topic_listener import Endpoint, Heard, LiveSystem

SECOND = 10**9


def heard(stamps_ns, arrivals_ns=None, topic="/t"):
    arrivals_ns = list(stamps_ns if arrivals_ns is None else arrivals_ns)
    return Heard(topic, "sensor_msgs/msg/Image", stamps_ns=list(stamps_ns),
                 arrivals_ns=arrivals_ns, frames=Counter({"f": len(arrivals_ns)}))


THIRTIETH = [SECOND * 100 + i * SECOND // 30 for i in range(60)]
NOBODY = LiveSystem({}, {}, [])


def test_our_own_looped_bag_is_not_wrong():
    """It was six times WRONG: of another time, and going back, on each of three topics."""
    loop = heard([*THIRTIETH, *THIRTIETH], range(SECOND * 10**6, SECOND * 10**6 + 120))
    loop.publishers = [Endpoint("/camera", "", "BEST_EFFORT", "VOLATILE")]
    assert {f.level for f in stamps(loop, NOBODY)} == {PROBLEM}
    loop.publishers = [Endpoint("/ns/player", "", "BEST_EFFORT", "VOLATILE")]
    told = stamps(loop, NOBODY)
    assert [f.level for f in told] == [NOTE] and "/ns/player plays" in told[0].text
    assert "use_sim_time:=true" in told[0].fix
    assert not stamps(loop, LiveSystem({}, {}, [], clock_ns=THIRTIETH[-1]))


def test_lost_images_and_slow_streams():
    lossy = [t for i, t in enumerate(THIRTIETH) if i % 5]
    unnumbered = rate(heard(lossy))[0]
    assert unnumbered.level == NOTE and "11 gaps" in unnumbered.text
    counted = heard(lossy)
    counted.publishers = [Endpoint("/camera", "", "BEST_EFFORT", "VOLATILE")]
    counted.numbers = [i for i in range(60) if i % 5]
    told = rate(counted)[0]
    assert told.level == PROBLEM and "19 % of the images are lost on the way" in told.text
    counted.numbers = list(range(48))  # nothing is lost, so the camera itself pauses
    assert not rate(counted)
    assert not rate(heard(THIRTIETH))
    assert rate(heard(THIRTIETH[::10]))[0].level == PROBLEM
    assert rate(heard(THIRTIETH[::3]))[0].level == NOTE


def test_stamps_of_simulated_time_zero_and_future():
    assert "zero" in stamps(heard([0, 0, 0], [1, 2, 3]), NOBODY)[0].text
    same = stamps(heard([5, 5, 5], [1, 2, 3]), NOBODY)[0]
    assert "do not grow" in same.text and "ros.stamps=arrival" in same.fix
    now = [t + 3600 * SECOND for t in THIRTIETH]
    assert stamps(heard(THIRTIETH, now), NOBODY)[0].level == PROBLEM
    simulated = LiveSystem({}, {}, [], True, THIRTIETH[-1])
    assert not stamps(heard(THIRTIETH, now), simulated)
    early = [t - SECOND // 2 for t in THIRTIETH]
    assert "in the future" in stamps(heard(THIRTIETH, early), NOBODY)[0].text


def test_gap_of_two_clocks_and_of_one_image():
    apart = sync_gap(heard(THIRTIETH), heard([t + 50 * SECOND for t in THIRTIETH]), 0.02)
    assert "two clocks" in apart[0].text
    assert sync_gap(heard(THIRTIETH), heard(THIRTIETH[30:31]), 0.02)[0].level in (GOOD, PROBLEM)
    assert not pairing({s: heard([]) for s in ("color", "depth", "info")}, 0.02)
