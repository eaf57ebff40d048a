"""The segment is not what it was: nobody hangs, nobody dies, and all of it comes back."""

import os
import struct
import subprocess
import sys
import uuid

import pytest

from ace_slam_ros.core.errors import SegmentError
from ace_slam_ros.weights_ipc import layout
from ace_slam_ros.weights_ipc.layout import segment_path
from ace_slam_ros.weights_ipc.reader import WeightsReader
from ace_slam_ros.weights_ipc.writer import WeightsWriter

SCHEMA = "test weights 1"


@pytest.fixture
def name(tmp_path, monkeypatch):
    """The name of a segment in a folder of its own."""
    monkeypatch.setattr(layout, "SHM_DIR", tmp_path)
    return f"ace_slam_test_{uuid.uuid4().hex[:8]}"


def _fill(path):
    path.mkdir()
    (path / "of_somebody").write_text("x")


#: What may lie at the path instead of a segment, and how it gets there.
INSTEAD = {
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "full folder": _fill,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "nothing": lambda path: None,
    "empty file": lambda path: path.write_bytes(b""),
    "other file": lambda path: path.write_bytes(b"no segment" * 100),
}


@pytest.mark.parametrize("kind", INSTEAD)
@pytest.mark.parametrize("moment", ["write", "heartbeat"])
def test_what_replaces_the_segment_is_an_error_until_the_writer_puts_it_right(
    name, kind, moment
):
    """A pipe hung the readers for good, a folder made every frame rejected."""
    path = segment_path(name)
    with WeightsWriter(name, 1000, SCHEMA) as writer:
        writer.write(b"one")
        early = WeightsReader(name, SCHEMA)
        assert early.read() == (1, b"one")
        path.unlink()
        INSTEAD[kind](path)
        for reader in (early, WeightsReader(name, SCHEMA)):
            if kind == "nothing":
                assert reader.read(newer_than=1) is None
            else:
                with pytest.raises(SegmentError, match=f"{path}.*remove"):
                    reader.read()
                assert path.name in reader.status().message
        getattr(writer, moment)(*([b"two"] if moment == "write" else []))
        expected = (2, b"two" if moment == "write" else b"one")
        for reader in (early, WeightsReader(name, SCHEMA)):
            assert reader.read(newer_than=1) == expected
        assert writer.write(b"three") == 3 and early.read(newer_than=2) == (3, b"three")
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


@pytest.mark.parametrize("kind", INSTEAD)
def test_a_new_writer_clears_the_name(name, kind, tmp_path):
    INSTEAD[kind](segment_path(name))
    with WeightsWriter(name, 1000, SCHEMA) as writer:
        assert writer.write(b"one") == 1 and WeightsReader(name, SCHEMA).read() == (1, b"one")
    kept = [p for p in tmp_path.glob("*aside*") if (p / "of_somebody").exists()]
    assert len(kept) == (kind == "full folder"), "what somebody put there is not removed"


def test_truncation_ends_no_process(name, tmp_path):
    """Mapped memory that is cut off is a SIGBUS: the mapper was gone, and its map with it."""
    script = f"""
import os, sys
from pathlib import Path
from ace_slam_ros.weights_ipc import layout
layout.SHM_DIR = Path({str(tmp_path)!r})
from ace_slam_ros.weights_ipc.reader import WeightsReader
from ace_slam_ros.weights_ipc.writer import WeightsWriter
with WeightsWriter({name!r}, 400_000, {SCHEMA!r}) as writer:
    writer.write(b"a" * 300_000)
    reader = WeightsReader({name!r}, {SCHEMA!r})
    assert reader.read()[0] == 1
    for size in (0, 50, 4096, 100_000):
        os.truncate(layout.segment_path({name!r}), size)
        version = writer.write(b"b" * 300_000)
        assert reader.read() == (version, b"b" * 300_000)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_versions_that_no_message_can_hold_are_damage(name):
    """A version of 2^64 - 1 left by somebody stopped publication for good."""
    path = segment_path(name)

    def patch(offset, value):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(struct.pack("<Q", value))

    writer = WeightsWriter(name, 1000, SCHEMA)
    reader = WeightsReader(name, SCHEMA)
    writer.write(b"one")
    patch(layout.VERSION * 8, 2**64 - 1)
    assert writer.write(b"two") == 2 and reader.read() == (2, b"two")
    patch(layout.VERSION * 8, 2**64 - 1)
    writer.close(unlink=False)
    with WeightsWriter(name, 1000, SCHEMA) as writer:
        assert writer.write(b"new") == 1 and reader.read(newer_than=2) == (1, b"new")
        record = layout.pack_record(2**64 - 1, b"evil")
        with open(path, "r+b") as file:
            file.seek(layout.slot_offset(1, 1000))
            file.write(record.ljust(layout.SLOT_HEAD, b"\0") + b"evil")
        assert reader.read(newer_than=1) is None
        assert writer.write(b"next") == 2 and reader.read(newer_than=1) == (2, b"next")


def test_a_file_of_another_user_is_refused(name, monkeypatch):
    with WeightsWriter(name, 1000, SCHEMA) as writer:
        writer.write(b"one")
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(SegmentError, match="belongs to user"):
            WeightsReader(name, SCHEMA).read()
