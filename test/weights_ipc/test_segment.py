"""Shared memory: never a torn payload, versions that only go up, whoever dies when."""

import dataclasses
import hashlib
import logging
import os
import random
import signal
import struct
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from helpers.scripts import start_python
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import SegmentError
from ace_slam_ros.weights_ipc import layout as layout
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path
from ace_slam_ros.weights_ipc.reader import WeightsReader
from ace_slam_ros.weights_ipc.writer import WeightsWriter

SCHEMA = "test weights 1"
PATIENCE_S = 60.0

PRELUDE = """
import hashlib, os, random, struct, sys, time
from ace_slam_ros.weights_ipc.reader import WeightsReader
from ace_slam_ros.weights_ipc.writer import WeightsWriter
def sealed(version, rng):
    body = struct.pack("<Q", version) + rng.randbytes(rng.randrange(1, 300_000))
    return body + hashlib.sha256(body).digest()
def check(version, payload):
    body, digest = payload[:-32], payload[-32:]
    assert hashlib.sha256(body).digest() == digest, "torn payload"
    assert struct.unpack_from("<Q", body)[0] == version, "payload of another version"
name = sys.argv[1]
"""
WRITE_FOREVER = PRELUDE + f"""
rng = random.Random(int(sys.argv[2]))
writer = WeightsWriter(name, 400_000, {SCHEMA!r})
while True:
    writer.write(sealed(writer.version + 1, rng))
"""
WRITE_ONCE = PRELUDE + f"""
writer = WeightsWriter(name, 400_000, {SCHEMA!r})
writer.write(sys.argv[2].encode())
print("written", flush=True)
if len(sys.argv) > 3 and os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(600)
"""
READ_UNTIL_TOLD = PRELUDE + f"""
import select
reader, last, count, told = WeightsReader(name, {SCHEMA!r}), 0, 0, False
print("ready", flush=True)
while True:
    found = reader.read(newer_than=last)
    if found is None:
        if told:
            break
        told = bool(select.select([sys.stdin], [], [], 0.0005)[0])
        continue
    assert found[0] > last, f"version went from {{last}} to {{found[0]}}"
    check(*found)
    last, count = found[0], count + 1
print(count, last)
"""


def start(script: str, *arguments: str) -> subprocess.Popen:
    return start_python(
        script, *arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def name():
    name = f"ace_slam_test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    yield name
    for path in [segment_path(name), *segment_path(name).parent.glob(f".{name}.*")]:
        path.unlink(missing_ok=True)


@pytest.fixture
def dead(name):
    """A segment whose writer was killed after version 1, `old weights`."""
    process = start(WRITE_ONCE, name, "old weights")
    assert process.stdout.readline() == "written\n", process.stderr.read()
    kill(process)
    return name


def patch(name: str, offset: int, data: bytes) -> None:
    with open(segment_path(name), "r+b") as file:
        file.seek(offset)
        file.write(data)


def test_names(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.delenv("ACE_SLAM_SEGMENT", raising=False)
    uid = os.getuid()
    assert segment_name("/robot1") == segment_name("robot1/") == f"ace_slam_robot1_{uid}"
    assert segment_name("/a/b") != segment_name("/a_b")
    assert segment_name("/") == segment_name("") == f"ace_slam_default_{uid}"
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert segment_name("/robot1") == f"ace_slam_robot1_{uid}_d42"
    monkeypatch.setenv("ACE_SLAM_SEGMENT", "shared")
    assert segment_name("/robot1") == "shared"
    assert segment_name("/robot1", "mine") == "mine"
    with pytest.raises(SegmentError, match="characters"):
        segment_name("/robot1", "../etc/passwd")


def test_reader_before_writer_then_versions(name):
    reader = WeightsReader(name, SCHEMA)
    assert reader.read() is None
    assert "start the mapper" in reader.status().message
    with WeightsWriter(name, 1000, SCHEMA, first_version=7) as writer:
        assert reader.read() is None and reader.status().version == 0
        assert writer.write(b"first") == writer.version == 8
        assert reader.read() == reader.read(7) == (8, b"first")
        assert reader.read(newer_than=8) is None
        for version, payload in enumerate([b"", b"x" * 1000, b"short"], start=9):
            assert writer.write(payload) == version
            assert reader.read(newer_than=8) == (version, payload)
        status = reader.status()
        assert status.exists and status.writer_alive and status.schema_ok
        assert (status.version, status.writer_pid) == (11, os.getpid())
        writer.heartbeat()
        assert reader.status().heartbeat_age_s <= status.heartbeat_age_s + PATIENCE_S


def test_payload_too_large_leaves_the_old_one(name):
    with WeightsWriter(name, 10, SCHEMA) as writer:
        writer.write(b"0123456789")
        with pytest.raises(SegmentError, match="larger capacity"):
            writer.write(b"0123456789a")
        assert WeightsReader(name, SCHEMA).read() == (1, b"0123456789")


def test_second_writer_is_refused_and_named(name):
    with WeightsWriter(name, 10, SCHEMA):
        with pytest.raises(SegmentError, match=f"process {os.getpid()}.*namespace"):
            WeightsWriter(name, 10, SCHEMA)
    process = start(WRITE_ONCE, name, "x")
    process.stdout.readline()
    try:
        with pytest.raises(SegmentError, match=f"process {process.pid}"):
            WeightsWriter(name, 10, SCHEMA)
    finally:
        kill(process)


def test_closed_writer_says_so(name):
    writer = WeightsWriter(name, 10, SCHEMA)
    writer.close()
    writer.close()
    with pytest.raises(SegmentError, match="closed"):
        writer.write(b"x")


def test_takeover_continues_the_version(dead):
    assert WeightsReader(dead, SCHEMA).read() is None  # nothing says these weights are current
    assert WeightsReader(dead, SCHEMA, allow_stale=True).read() == (1, b"old weights")
    status = WeightsReader(dead, SCHEMA).status()
    assert not status.writer_alive and "restart the mapper" in status.message
    reader = WeightsReader(dead, SCHEMA, allow_stale=True)
    reader.read()
    with WeightsWriter(dead, 50, SCHEMA) as writer:
        assert writer.version == 1
        assert WeightsReader(dead, SCHEMA).read() is None  # the old payload is not carried over
        assert writer.write(b"new") == 2
        assert reader.read(newer_than=1) == (2, b"new")


def test_takeover_with_first_version_and_another_schema(dead):
    with WeightsWriter(dead, 50, "other", first_version=40) as writer:
        assert writer.write(b"a") == 41


def test_weights_survive_the_death_of_the_writer(name):
    process = start(WRITE_ONCE, name, "kept")
    process.stdout.readline()
    reader = WeightsReader(name, SCHEMA)
    assert reader.status().writer_alive  # attaches while the writer lives
    kill(process)
    assert reader.read() == (1, b"kept")
    assert "kept in use" in reader.status().message


def test_clean_restart_counts_from_its_own_start(name):
    reader = WeightsReader(name, SCHEMA)
    with WeightsWriter(name, 50, SCHEMA, first_version=99) as writer:
        writer.write(b"old")
        assert reader.read() == (100, b"old")
    assert not segment_path(name).exists()
    assert reader.read(100) is None and "shut down" in reader.status().message
    with WeightsWriter(name, 50, SCHEMA) as writer:
        assert reader.read(100) is None
        writer.write(b"new map")
        assert reader.read(100) == (1, b"new map")
        assert reader.read(1) is None


def test_close_can_keep_the_segment(name):
    writer = WeightsWriter(name, 50, SCHEMA)
    writer.write(b"x")
    writer.close(unlink=False)
    assert segment_path(name).exists()
    with WeightsWriter(name, 50, SCHEMA) as writer:
        assert writer.version == 1


def test_other_schema(name, dead):
    assert WeightsReader(dead, "other").read() is None  # dead: the next writer replaces it
    with pytest.raises(SegmentError, match="schema.*same version"):
        WeightsReader(dead, "other", allow_stale=True).read()
    with WeightsWriter(dead, 50, SCHEMA):
        reader = WeightsReader(dead, "other")
        with pytest.raises(SegmentError, match="schema.*same version"):
            reader.read()
        assert not reader.status().schema_ok and "schema" in reader.status().message


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [(0, b"NOTMAGIC", "not a weights segment"),
     (8, struct.pack("<I", 2), "layout 2.*restart"),
     (20, b"\xff\xff\xff", "damaged header.*start the mapper")])
def test_foreign_or_damaged_header(dead, offset, data, message):
    patch(dead, offset, data)
    reader = WeightsReader(dead, SCHEMA)
    with pytest.raises(SegmentError, match=message):
        reader.read()
    assert not reader.status().schema_ok
    with WeightsWriter(dead, 50, SCHEMA) as writer:  # a new writer puts it right
        writer.write(b"fine")
        assert reader.read() == (1, b"fine")


@pytest.mark.parametrize("size", [0, 50, 4096, 100_000])
def test_truncated_file(name, size):
    with WeightsWriter(name, 400_000, SCHEMA) as writer:
        writer.write(b"x" * 300_000)
        early, late = WeightsReader(name, SCHEMA), WeightsReader(name, SCHEMA)
        assert early.read() is not None
        os.truncate(segment_path(name), size)
        for reader in (early, late):
            with pytest.raises(SegmentError, match="remove .* and start the mapper"):
                reader.read()


def test_corrupt_slot_is_reported_once_and_not_returned(name, caplog):
    with WeightsWriter(name, 1000, SCHEMA) as writer:
        writer.write(b"a" * 1000)
        at = layout.slot_offset(1, 1000) + layout.SLOT_HEAD + 500
        assert Path(segment_path(name)).read_bytes()[at:at + 1] == b"a"
        patch(name, at, b"b")
        reader = WeightsReader(name, SCHEMA)
        with caplog.at_level(logging.ERROR):
            assert reader.read() is None and reader.read() is None
        assert [r.message for r in caplog.records if "corrupt" in r.message] == [
            f"segment {name}: the active slot is corrupt (checksum); its weights are not used, "
            "waiting for the mapper's next version"]
        writer.write(b"c")
        assert reader.read() == (2, b"c")


def test_flip_seen_before_the_bytes_it_announces(name):
    """What a processor with weak memory ordering may show to a reader."""
    with WeightsWriter(name, 1000, SCHEMA) as writer:
        writer.write(b"a" * 1000)
        writer.write(b"b" * 1000)
        reader = WeightsReader(name, SCHEMA)
        assert reader.read() == (2, b"b" * 1000)
        before = segment_path(name).read_bytes()
        writer.write(b"c" * 1000)
        after = segment_path(name).read_bytes()
        sequence = layout.SEQUENCE * 8
        start_at, end = layout.slot_offset(1, 1000), layout.slot_offset(2, 1000)
        for seen in (0, 8, 16, 20, layout.SLOT_HEAD, layout.SLOT_HEAD + 500):
            mixed = bytearray(before)
            mixed[sequence:sequence + 8] = after[sequence:sequence + 8]
            mixed[start_at:start_at + seen] = after[start_at:start_at + seen]
            patch(name, 0, bytes(mixed))
            assert reader.read(newer_than=2) is None, seen
        patch(name, start_at, after[start_at:end])
        assert reader.read(newer_than=2) == (3, b"c" * 1000)


def test_versions_never_go_back(name):
    with WeightsWriter(name, 10, SCHEMA) as writer:
        writer.write(b"one")
        writer.write(b"two")
        reader = WeightsReader(name, SCHEMA)
        assert reader.read() == (2, b"two")
        patch(name, layout.SEQUENCE * 8, struct.pack("<Q", 1))  # an old flip seen late
        assert reader.read() is None
        patch(name, layout.SEQUENCE * 8, struct.pack("<Q", 2))
        assert reader.read() == (2, b"two")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8 * 3 * 4096 - 1)), min_size=1, max_size=12))
def test_flipped_bits_never_give_other_weights(flips):
    name = f"ace_slam_test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    try:
        with WeightsWriter(name, 4000, SCHEMA) as writer:
            payloads = {writer.write(bytes([i]) * 4000): bytes([i]) * 4000 for i in range(3)}
            data = bytearray(segment_path(name).read_bytes())
            for (bit,) in flips:
                data[bit // 8] ^= 1 << (bit % 8)
            patch(name, 0, bytes(data))
            try:
                found = WeightsReader(name, SCHEMA).read()
            except SegmentError:
                found = None
            assert found is None or payloads[found[0]] == found[1]
    finally:
        segment_path(name).unlink(missing_ok=True)


def test_namespaces_are_independent(name):
    other = name + "_b"
    with WeightsWriter(name, 10, SCHEMA) as one, WeightsWriter(other, 10, SCHEMA) as two:
        one.write(b"one")
        two.write(b"two")
        two.write(b"more")
        assert WeightsReader(name, SCHEMA).read() == (1, b"one")
        assert WeightsReader(other, SCHEMA).read() == (2, b"more")
    assert not segment_path(other).exists()


def test_exit_of_a_reader_does_not_remove_the_segment(name):
    with WeightsWriter(name, 400_000, SCHEMA) as writer:
        process = start(READ_UNTIL_TOLD, name)
        body = struct.pack("<Q", 1)
        writer.write(body + hashlib.sha256(body).digest())
        assert process.stdout.readline() == "ready\n"
        process.communicate("stop\n", timeout=PATIENCE_S)
        assert process.returncode == 0
        assert segment_path(name).exists()
        assert WeightsReader(name, SCHEMA).read() is not None


def test_forked_child_does_not_keep_the_lock(name):
    process = start(WRITE_ONCE, name, "x", "fork")
    assert process.stdout.readline() == "written\n"
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        os.kill(child, 0)
        with WeightsWriter(name, 10, SCHEMA) as writer:
            assert writer.version == 1
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_pid_reuse_and_foreign_pid_namespace():
    ticks = layout.process_start_ticks(os.getpid())
    own = layout.FixedHeader(b"", 0, os.getpid(), ticks, layout.own_pid_namespace(), 0, 0)
    now = time.monotonic_ns()
    assert layout.writer_is_alive(own, 0)
    assert not layout.writer_is_alive(dataclasses.replace(own, start_ticks=ticks + 1), now)
    foreign = dataclasses.replace(own, pid_namespace=1, pid=2**22 + 1)
    assert layout.writer_is_alive(foreign, now)
    assert not layout.writer_is_alive(foreign, now - layout.FOREIGN_DEAD_AFTER_NS - 1)


def test_no_room_is_an_error_and_leaves_nothing(name):
    with pytest.raises(SegmentError, match="shm-size"):
        WeightsWriter(name, 1 << 50, SCHEMA)
    assert not list(segment_path(name).parent.glob(f"*{name}*"))


def test_leftovers_of_an_interrupted_creation_are_removed(name):
    leftover = segment_path(name).with_name(f".{name}.1-aa.tmp")
    leftover.write_bytes(b"x")
    os.utime(leftover, (1, 1))
    with WeightsWriter(name, 10, SCHEMA):
        assert not leftover.exists()


def wait_for_version(reader: WeightsReader, above: int, writer: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE_S
    while reader.status().version <= above:
        assert writer.poll() is None, writer.stderr.read()
        assert time.monotonic() < end, "the writer makes no progress"
        time.sleep(0.002)


def test_writer_killed_at_random_points(name):
    rng = random.Random(0)
    readers = [start(READ_UNTIL_TOLD, name) for _ in range(2)]
    watcher = WeightsReader(name, SCHEMA)
    last = 0
    try:
        assert all(reader.stdout.readline() == "ready\n" for reader in readers)
        for round_index in range(14):
            writer = start(WRITE_FOREVER, name, str(round_index))
            if round_index % 3 == 2:
                time.sleep(rng.uniform(0.0, 0.2))  # often before or while it creates the segment
            else:
                wait_for_version(watcher, last, writer)
                time.sleep(rng.uniform(0.0, 0.05))
            assert all(reader.poll() is None for reader in readers), "a reader gave up"
            kill(writer)
            version = watcher.status().version
            assert version >= last or version == 0  # 0: killed between takeover and first write
            last = max(last, version)
        with WeightsWriter(name, 400_000, SCHEMA) as final:
            assert final.version >= last
            body = struct.pack("<Q", final.version + 1)
            final.write(body + hashlib.sha256(body).digest())
            outcomes = [reader.communicate("stop\n", timeout=PATIENCE_S) for reader in readers]
            assert [r.returncode for r in readers] == [0, 0], [error for _, error in outcomes]
            for output, _ in outcomes:
                count, seen = map(int, output.split())
                assert seen == final.version and count > 1
    finally:
        for reader in readers:
            if reader.poll() is None:
                kill(reader)
