"""Pairing of color and depth: against brute force, and under what real streams do."""

import importlib
from types import SimpleNamespace

import pytest
from helpers import robot_libraries
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.ros.inputs.synchronizer import (
    QUEUE,
    MessageFiltersMatcher,
    NearestMatcher,
    Synchronizer,
    make_matcher,
)
from ace_slam_ros.ros.messages.compat import MESSAGE_FILTERS

MS = 1_000_000
TOPICS = {"color": "/rgb/image", "depth": "/depth/image", "info": "/rgb/camera_info"}


def message_filters_matcher(slop_ns):
    """Through message_filters where it is installed, else through its stand-in."""
    real = "message_filters" in robot_libraries.INSTALLED
    module = importlib.import_module("message_filters") if real else robot_libraries
    return MessageFiltersMatcher(module, slop_ns)


both = pytest.mark.parametrize("matcher", [NearestMatcher, message_filters_matcher])


def message(stamp_ns):
    """A message with a stamp; None makes one that no library can read."""
    from builtin_interfaces.msg import Time

    if stamp_ns is None:
        return SimpleNamespace(header=SimpleNamespace(stamp="now"))
    stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), stamp_ns=stamp_ns)


class Streams:
    """A synchronizer with a list of what it handed out."""

    def __init__(self, matcher, slop_ns=20 * MS, info=True):
        self.pairs, self.jumps = [], 0
        self.sync = Synchronizer(slop_ns, self._pair, self._jump, matcher)
        if info:
            self.sync.add_info(message(1))

    def _pair(self, pair):
        assert pair.color.stamp_ns == pair.stamp_ns
        self.pairs.append((pair.color.stamp_ns, pair.depth.stamp_ns))

    def _jump(self):
        self.jumps += 1

    def color(self, stamp_ns):
        self.sync.add_color(message(stamp_ns))

    def depth(self, stamp_ns):
        self.sync.add_depth(message(stamp_ns))


def brute_force(events, slop_ns):
    """Pair each arrival with the nearest waiting one of the other stream, by looking at all."""
    waiting, pairs, newest = [[], []], [], -1
    for stream, stamp in events:
        if stamp not in waiting[stream]:
            waiting[stream].append(stamp)
        waiting[stream] = sorted(waiting[stream])[-QUEUE:]
        near = [s for s in waiting[1 - stream] if abs(s - stamp) <= slop_ns]
        if stamp not in waiting[stream] or not near:
            continue
        partner = min(near, key=lambda s: abs(s - stamp))
        waiting[stream].remove(stamp)
        waiting[1 - stream].remove(partner)
        pair = (stamp, partner) if stream == 0 else (partner, stamp)
        if pair[0] > newest:
            newest = pair[0]
            pairs.append(pair)
    return pairs


@both
@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 400)), max_size=60, unique=True),
       st.integers(0, 40))
def test_pairs_like_brute_force(matcher, events, slop_ms):
    # Stamps within half a second: no clock jump. Distances are odd, so no two are the same.
    events = [(s, 10**9 + t * MS + (t * t % 997) * 2 + s) for s, t in events]
    streams = Streams(matcher, slop_ms * MS)
    for stream, stamp in events:
        (streams.depth if stream else streams.color)(stamp)
    assert streams.pairs == brute_force(events, slop_ms * MS)
    assert streams.jumps == 0
    assert all(abs(c - d) <= slop_ms * MS for c, d in streams.pairs)
    assert len({c for c, _ in streams.pairs}) == len({d for _, d in streams.pairs})


@both
def test_slop_is_inclusive(matcher):
    streams = Streams(matcher, 20 * MS)
    streams.color(10**9)
    streams.depth(10**9 + 20 * MS)
    streams.color(2 * 10**9)
    streams.depth(2 * 10**9 + 20 * MS + 1)
    assert streams.pairs == [(10**9, 10**9 + 20 * MS)]


@both
def test_depth_at_half_rate_and_late(matcher):
    streams = Streams(matcher)
    colors = [10**9 + i * 33 * MS for i in range(60)]
    for i, stamp in enumerate(colors):
        streams.color(stamp)
        if i >= 3 and (i - 3) % 2 == 0:  # depth comes three frames late
            streams.depth(colors[i - 3] + 5 * MS)
    assert streams.pairs == [(c, c + 5 * MS) for c in colors[:57:2]]


@both
def test_three_passes_of_a_bag_pair_alike(matcher):
    streams = Streams(matcher)
    one_pass = [10**9 + i * 33 * MS for i in range(40)]
    for _ in range(3):
        for stamp in one_pass:
            streams.color(stamp)
            streams.depth(stamp + MS)
    assert streams.pairs == [(s, s + MS) for s in one_pass] * 3
    assert streams.jumps == 2


@both
def test_an_exception_in_the_callback_does_not_block(matcher):
    streams = Streams(matcher)

    def explode(pair):
        raise RuntimeError("user code")

    streams.sync._on_pair = explode
    streams.color(10**9)
    with pytest.raises(RuntimeError):
        streams.depth(10**9)
    streams.sync._on_pair = streams._pair
    streams.color(2 * 10**9)
    streams.depth(2 * 10**9)
    assert streams.pairs == [(2 * 10**9, 2 * 10**9)]


def test_the_choice_of_the_process_decides(libraries):
    kind = MessageFiltersMatcher if libraries == "robot" else NearestMatcher
    assert isinstance(make_matcher(20 * MS), kind)


def test_matching_goes_on_when_message_filters_fails(libraries, caplog):
    """An exception leaves its lock taken: whoever asks again waits for ever."""
    streams = Streams(make_matcher)
    streams.color(10**9)
    broken = message(None) if libraries == "robot" else message(10**9)
    streams.sync._matcher.add(1, 10**9, broken)
    for stamp in (2 * 10**9, 3 * 10**9):
        streams.color(stamp)
        streams.depth(stamp)
    assert streams.pairs == [(2 * 10**9, 2 * 10**9), (3 * 10**9, 3 * 10**9)]
    told = [r for r in caplog.records if "message_filters fails in use" in r.getMessage()]
    assert len(told) == (libraries == "robot")


@pytest.mark.parametrize("libraries", ["robot"], indirect=True)
def test_message_filters_that_cannot_be_made_are_stood_in_for(libraries, caplog, monkeypatch):
    def broken(*args):
        raise TypeError("'<' not supported between instances of 'Duration' and 'float'")

    assert isinstance(make_matcher(10), MessageFiltersMatcher)
    monkeypatch.setattr(
        MESSAGE_FILTERS.module(), "ApproximateTimeSynchronizer", broken)
    assert isinstance(make_matcher(10), NearestMatcher)
    assert isinstance(make_matcher(10), NearestMatcher)
    assert caplog.text.count("message_filters is broken: TypeError") == 1


def test_a_pair_before_its_camera_info_waits_for_it():
    streams = Streams(NearestMatcher, info=False)
    for stamp in (10**9, 10**9 + 33 * MS):
        streams.color(stamp)
        streams.depth(stamp)
    assert streams.pairs == []
    streams.sync.add_info(message(10**9))
    assert streams.pairs == [(10**9 + 33 * MS, 10**9 + 33 * MS)]


@pytest.mark.parametrize(("stamp_ns", "words"), [
    (0, "/rgb/image: stamps are zero: let the driver"),
    (5 * 10**9, "/rgb/image: stamps do not grow: all of 10 messages carry the same one"),
])
def test_stamps_that_say_nothing_are_told(monkeypatch, stamp_ns, words):
    clock = [0]
    monkeypatch.setattr("ace_slam_ros.ros.inputs.synchronizer.time.monotonic_ns", lambda: clock[0])
    streams = Streams(NearestMatcher)
    for _ in range(200):
        clock[0] += 33 * MS
        streams.color(stamp_ns)
        streams.depth(stamp_ns)
    assert len(streams.pairs) == 1
    text = streams.sync.explain(TOPICS)
    assert text.startswith(words) and text.endswith("ros.stamps=arrival")


def test_explains_silence(monkeypatch):
    clock = [0]
    monkeypatch.setattr("ace_slam_ros.ros.inputs.synchronizer.time.monotonic_ns", lambda: clock[0])
    streams = Streams(NearestMatcher, info=False)
    assert streams.sync.explain(TOPICS) == "", "drivers may still be starting"
    clock[0] = 6 * 10**9
    text = streams.sync.explain(TOPICS)
    assert all(topic in text for topic in TOPICS.values())

    streams.sync.add_info(message(5))
    for i in range(30):
        clock[0] += 33 * MS
        streams.color(10**9 + i * 33 * MS)
    text = streams.sync.explain(TOPICS)
    assert text.startswith("no data on /depth/image") and "/rgb/image 30.3 Hz" in text

    for i in range(30):
        clock[0] += 33 * MS
        streams.color(3 * 10**9 + i * 100 * MS)
        streams.depth(3 * 10**9 + i * 100 * MS + 45 * MS)
    text = streams.sync.explain(TOPICS)
    assert "nearest stamp gap 0.0450 s" in text and "ros.slop_s is 0.02 s" in text

    streams.depth(3 * 10**9 + 29 * 100 * MS + 1)
    assert streams.sync.explain(TOPICS) == ""
    clock[0] += 6 * 10**9
    text = streams.sync.explain(TOPICS)
    assert "no data on /rgb/image, /depth/image" in text and "arriving" not in text
