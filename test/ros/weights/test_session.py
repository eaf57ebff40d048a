"""What a mapper that died was working on: told by its weights, or by what it wrote last."""

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers.saved_maps import HEAD, MANIFEST, save_map
from safetensors.numpy import save

from ace_slam_ros.ros.weights.session import Session
from ace_slam_ros.weights_ipc.layout import segment_path

NAME, SCHEMA = f"ace_slam_test_session_{os.getpid()}", "schema"
KILLED = """
import os, sys
from pathlib import Path
from ace_slam_ros.weights_ipc.writer import WeightsWriter
writer = WeightsWriter(sys.argv[1], 10_000, sys.argv[2])
if sys.argv[3]:
    writer.write(Path(sys.argv[3]).read_bytes())
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield Session(NAME, SCHEMA, 1e-9)
    segment_path(NAME).unlink(missing_ok=True)


def keep(session, map_id):
    """Let a session save a map of this name."""
    manifest = dataclasses.replace(MANIFEST, map_id=map_id)
    session.hurry()
    session.save_when_due(object(), lambda path: save_map(path, manifest, HEAD))
    assert not session.problem


def die(tmp_path, map_id=None):
    """Let a mapper publish a head of a map, or nothing, and be killed; return the head."""
    head = b"" if map_id is None else save({"w": np.zeros(3, np.float32)}, {
        "map_id": map_id, "encoder_hash": "", "head": "affine", "keyframes": "1",
        "next_keyframe": "2"})
    path = tmp_path / "head"
    path.write_bytes(head)
    done = subprocess.run([sys.executable, "-c", KILLED, NAME, SCHEMA, str(path) if head else ""])
    assert done.returncode == -signal.SIGKILL
    return head


def test_the_weights_of_the_dead_mapper_name_its_map(session, tmp_path):
    assert session.crashed() is None
    keep(session, "hall")
    head = die(tmp_path, "hall")
    found = session.crashed()
    assert (found.head, found.path, found.localization_only) == (head, session.path, False)
    assert session.crashed(localization_only=True) is None
    die(tmp_path, "attic")
    assert session.crashed() is None, "of that map nothing is kept"


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(), lambda path: os.truncate(path, 100),
    lambda path: path.write_bytes(b"rubbish"), lambda path: (path.unlink(), path.mkdir()),
], ids=["removed", "cut off", "overwritten", "a folder"])
def test_a_map_is_resumed_without_the_weights(session, tmp_path, damage):
    """Removed or damaged while nobody was there to make them anew, the whole map was lost."""
    keep(session, "hall")
    die(tmp_path, "hall")
    path = segment_path(NAME)
    damage(path)
    try:
        found = session.crashed()
        assert (found.head, found.path, found.localization_only) == (b"", session.path, False)
        assert session.crashed(localization_only=True) is None
    finally:
        if path.is_dir():
            path.rmdir()


def test_a_mapper_that_is_killed_again_while_it_loads_loses_nothing(session, tmp_path):
    keep(session, "hall")
    die(tmp_path)
    assert session.crashed().path == session.path


def test_without_weights_what_was_written_last_counts(session, tmp_path):
    keep(session, "hall")
    session.note_loaded(tmp_path / "given", "given", localization_only=True)
    found = session.crashed()
    assert (found.path, found.localization_only) == (tmp_path / "given", True)
    keep(session, "hall")
    assert session.crashed().path == session.path


def test_neither_a_clean_end_nor_a_reboot_leaves_something_to_resume(session):
    keep(session, "hall")
    boot = session.path.with_name("boot_id")
    assert boot.stat().st_mode & 0o777 == 0o600
    boot.write_text("another run of the machine")
    assert session.crashed() is None
    keep(session, "hall")
    assert session.crashed() is not None
    session.remove()
    assert session.crashed() is None and not session.path.parent.exists()
