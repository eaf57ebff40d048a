"""Which keyframes reach the mapper, and what becomes of the others."""

from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.ros.inputs.keyframe_inbox import KeyframeInbox
from ace_slam_ros.ros.messages.conversions import keyframe_to_msg
from ace_slam_ros.ros.weights.announcement import Announcement
from ace_slam_ros.ros.weights.map_follower import MapFollower

ENCODER = SimpleNamespace(hash="cafe", dimension=8)


def message(map_id="ours", identifier=1, encoder="cafe"):
    return keyframe_to_msg(Keyframe(
        identifier, 5, np.eye(4), np.zeros((2, 8), np.int8), np.ones((2, 2), np.float32),
        np.ones((2, 3), np.float32), Camera(32, 24, 30.0, 31.0, 15.5, 11.5)),
        map_id, encoder, "map")


@pytest.fixture
def inbox():
    """An inbox whose tracker is in the map `ours` and was in `left`; what it logged; what came."""
    logged, added = {}, []
    found = KeyframeInbox(
        ENCODER, MapFollower("ours", lambda: Announcement("ours", "ours", ("left",))), 100,
        lambda key, text: logged.setdefault(key, text))
    return found, logged, added


def test_only_ours_are_handed_over(inbox):
    found, logged, added = inbox
    for msg in (message("left"), message(), message("forged", 2), message(identifier=3)):
        found.put(msg)
    assert len(found) == 4
    found.empty_into(lambda keyframe, map_id: added.append((keyframe.id, map_id)), lambda: True)
    assert added == [(1, "ours"), (3, "ours")] and len(found) == 0 and not found.problem
    assert found.counts["keyframes_refused"] == 1, "a straggler is no forgery"
    assert "never in map 'forged'" in logged["DataError"]


@pytest.mark.parametrize("msg", [message(encoder="other"), message()])
def test_what_cannot_be_used_is_told_and_counted(inbox, msg):
    found, logged, _ = inbox

    def refuse(keyframe, map_id):
        raise MapError("no such submap")

    found.put(msg)
    found.empty_into(refuse, lambda: True)
    assert found.counts["keyframes_refused"] == 1 and found.problem in str(logged)
    assert "encoder 'other'" in found.problem or found.problem == "no such submap"


def test_a_flood_is_bounded(inbox):
    found, logged, added = inbox
    for identifier in range(130):
        found.put(message(identifier=identifier))
    assert len(found) == 100 and found.counts["keyframes_dropped"] == 30 and "queue" in logged
    found.empty_into(lambda keyframe, _: added.append(keyframe.id), lambda: True)
    assert added == list(range(30, 130))
    found.put(message())
    found.clear()
    assert len(found) == 0
