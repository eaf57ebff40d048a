"""The rules about which map counts."""

import pytest

from ace_slam_ros.ros.weights.map_follower import MapFollower


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ace_slam_ros.ros.weights.map_follower.time.monotonic", lambda: now[0])
    return now


def test_a_reset_of_the_tracker_is_followed(clock):
    follower = MapFollower("a")
    assert follower.accepts("a") and follower.accepts("b") and follower.current == "b"


def test_stragglers_after_loading_are_ignored(clock):
    follower = MapFollower("tracker1")
    follower.move_to("loaded")
    assert not follower.accepts("tracker1")
    assert not follower.accepts("tracker2"), "it started before the mapper told of its map"
    assert follower.accepts("loaded")
    assert not follower.accepts("tracker1"), "replayed keyframes come in any order"
    assert follower.current == "loaded"


def test_a_reset_after_loading_is_followed(clock):
    follower = MapFollower("x")
    follower.move_to("loaded")
    clock[0] += MapFollower.GRACE_S + 1
    assert follower.accepts("new") and follower.current == "new"
    assert follower.accepts("loaded"), "a tracker that comes back is followed as well"


def test_a_map_that_was_left_stays_out_longer_but_not_for_ever(clock):
    follower = MapFollower("left")
    follower.move_to("loaded")
    clock[0] += MapFollower.GRACE_S + 1
    assert not follower.accepts("left") and follower.current == "loaded"
    clock[0] += MapFollower.LEFT_S
    assert follower.accepts("left"), "the tracker clearly stays there"


def test_a_held_map_survives_replayed_keyframes(clock):
    follower = MapFollower("fresh")
    follower.move_to("restored")
    clock[0] += 60.0  # from configure to activate
    follower.hold()
    assert not follower.accepts("between") and follower.accepts("restored")
    clock[0] += MapFollower.GRACE_S + 1
    assert follower.accepts("between")
