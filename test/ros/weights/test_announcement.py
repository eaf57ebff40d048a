"""What the tracker says of its maps, in a file that others may have meddled with."""

import json
import os

import pytest

from ace_slam_ros.ros.weights.announcement import (
    Announcement,
    Announcer,
    announcement_path,
    read_announcement,
)


@pytest.fixture
def segment(tmp_path, monkeypatch):
    monkeypatch.setattr("ace_slam_ros.weights_ipc.layout.SHM_DIR", tmp_path)
    return "ace_slam_my.robot_1000"


def test_what_is_said_is_read(segment):
    announcer = Announcer(segment)
    assert read_announcement(segment) is None
    announcer.say("a", "a")
    assert read_announcement(segment) == Announcement("a", "a")
    announcer.say("loaded", "a")
    announcer.say("b", "b")
    assert read_announcement(segment) == Announcement("b", "b", ("a", "loaded"))
    announcer.say("a", "b")
    assert read_announcement(segment).left == ("a", "loaded", "b")
    for number in range(100):
        announcer.say(str(number), "b")
    assert len(read_announcement(segment).left) == 16
    path = announcement_path(segment)
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size < 8192
    announcer.close()
    assert read_announcement(segment) is None and list(path.parent.iterdir()) == []


@pytest.mark.parametrize("meddle", [
    lambda path: path.unlink(),
    lambda path: (path.unlink(), os.mkfifo(path)),
    lambda path: (path.unlink(), path.mkdir()),
    lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
    lambda path: path.write_text(""),
    lambda path: path.write_text("[" * 8000),
    lambda path: path.write_text(json.dumps({"map_id": "evil", "begun": 1, "left": None})),
    lambda path: path.write_bytes(os.urandom(100_000)),
])
def test_whatever_lies_there_is_replaced(segment, meddle):
    announcer, path = Announcer(segment), announcement_path(segment)
    announcer.say("a", "a")
    meddle(path)
    assert read_announcement(segment) is None
    announcer.keep()
    assert read_announcement(segment) == Announcement("a", "a")
