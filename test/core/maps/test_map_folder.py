"""Maps on disk: exact round trips, refusals that say what to do, saves killed at any moment."""

import dataclasses
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.saved_maps import (
    HASH,
    HEAD,
    MANIFEST,
    SAVE_FOREVER,
    edit_manifest,
    keyframe,
    numbered,
    numbered_head,
)
from helpers.scripts import start_python
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.maps import map_folder as map_store
from ace_slam_ros.core.maps.map_folder import back_up_larger, load_map, save_map
from ace_slam_ros.core.maps.map_path import resolve_map_path


def assert_same(left: list[Keyframe], right: list[Keyframe]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.id, a.stamp_ns, a.camera) == (b.id, b.stamp_ns, b.camera)
        for name in ("T_map_cam", "descriptors_i8_ND", "pixels_N2", "points_cam_N3"):
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes(), name


@pytest.fixture
def folder(tmp_path):
    save_map(tmp_path / "map", MANIFEST, HEAD, [keyframe(0, 5), keyframe(1, 3)])
    return tmp_path / "map"


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.none() | st.lists(st.integers(0, 20), max_size=5),
    cameras=st.lists(
        st.builds(Camera, st.integers(1, 4000), st.integers(1, 4000), st.floats(1, 5000),
                  st.floats(1, 5000), st.floats(-10, 4000), st.floats(-10, 4000)),
        min_size=1, max_size=3),
    name=st.text(max_size=20),
    twist=st.none() | st.lists(st.floats(-2, 2), min_size=6, max_size=6),
)
def test_round_trip(sizes, cameras, name, twist):
    keyframes = None if sizes is None else [
        keyframe(i, n, cameras[i % len(cameras)]) for i, n in enumerate(sizes)]
    T_44 = None if twist is None else exp_se3(np.array(twist))
    manifest = dataclasses.replace(
        MANIFEST, map_id=name, camera=cameras[0], T_groundtruth_map=T_44)
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "map"
        written = save_map(path, manifest, HEAD, keyframes)
        found = load_map(path, encoder_hash=HASH)
        assert found.manifest == written and found.head == HEAD
        assert written.map_bytes == (path / "head.safetensors").stat().st_size
        assert written.keyframes == len(keyframes or [])
        if T_44 is None:
            assert found.manifest.T_groundtruth_map is None
        else:
            np.testing.assert_array_equal(found.manifest.T_groundtruth_map, T_44)
        if keyframes is None:
            assert found.keyframes is None and not (path / "keyframes.safetensors").exists()
        else:
            assert_same(found.keyframes, keyframes)
            assert written.keyframe_bytes == (path / "keyframes.safetensors").stat().st_size
        assert [p.name for p in Path(parent).iterdir()] == ["map"]


def test_replaces_a_map_and_an_empty_folder(folder, tmp_path):
    save_map(folder, dataclasses.replace(MANIFEST, map_id="map-2"), HEAD)
    found = load_map(folder)
    assert found.manifest.map_id == "map-2" and found.keyframes is None
    (tmp_path / "empty").mkdir()
    save_map(tmp_path / "empty", MANIFEST, HEAD)
    assert load_map(tmp_path / "empty").manifest.map_id == "map-1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "map"]


def test_never_replaces_what_is_not_a_map(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "manifest.json").write_text('{"name": "holiday"}')
    (tmp_path / "file").write_text("x")
    for name in ("photos", "file"):
        with pytest.raises(MapError, match="not a map.*another folder"):
            save_map(tmp_path / name, MANIFEST, HEAD)
    assert (tmp_path / "photos" / "manifest.json").exists()
    assert (tmp_path / "file").read_text() == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photos"]


def test_follows_a_link_to_the_map(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    save_map(tmp_path / "link", dataclasses.replace(MANIFEST, map_id="map-2"), HEAD)
    assert (tmp_path / "link").is_symlink()
    assert load_map(folder).manifest.map_id == "map-2"


def test_files_of_others_stay(folder):
    """A navigation map, notes, a folder and a link beside ours outlive any number of saves."""
    (folder / "map.yaml").write_text("image: map.pgm")
    (folder / "photos").mkdir()
    (folder / "photos" / "door.png").write_bytes(b"door")
    (folder / "latest").symlink_to("photos")
    folder.chmod(0o700)
    for name in ("map-2", "map-3"):
        save_map(folder, dataclasses.replace(MANIFEST, map_id=name), HEAD)
        assert load_map(folder).manifest.map_id == name
    assert (folder / "map.yaml").read_text() == "image: map.pgm"
    assert (folder / "latest" / "door.png").read_bytes() == b"door"
    assert not (folder / "keyframes.safetensors").exists(), "that one is ours, of the old map"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "head.safetensors").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in folder.parent.iterdir()] == ["map"]


def test_a_larger_map_of_another_name_is_kept(folder):
    """The map there has two keyframes and is called map-1."""
    assert back_up_larger(folder, "map-1", 1) is None
    assert back_up_larger(folder, "map-2", 2) is None
    assert back_up_larger(folder.with_name("new"), "map-2", 1) is None
    (folder / "map.yaml").write_text("notes")
    for number in (1, 2):
        kept = back_up_larger(folder, "map-2", 1)
        assert kept == folder.with_name(f"map.backup-{number}")
        assert load_map(kept).manifest == load_map(folder).manifest
        assert not (kept / "map.yaml").exists()
    save_map(folder, dataclasses.replace(MANIFEST, map_id="map-2"), HEAD, [keyframe(0, 5)])
    assert load_map(kept).manifest.map_id == "map-1" and (folder / "map.yaml").exists()


def test_survives_special_characters(tmp_path):
    path = tmp_path / "new [1]*" / "my map"
    for _ in range(2):
        save_map(path, MANIFEST, HEAD)
    assert load_map(path).head == HEAD


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda p: (p / "manifest.json").unlink(), "no manifest.json.*saved map"),
    (lambda p: (p / "head.safetensors").unlink(), "head.safetensors is missing.*restore"),
    (lambda p: (p / "keyframes.safetensors").unlink(), "keyframes.safetensors is missing"),
    (lambda p: _truncate(p / "head.safetensors"), "head.safetensors is truncated.*copy"),
    (lambda p: _truncate(p / "keyframes.safetensors"), "keyframes.safetensors is truncated"),
    (lambda p: _truncate(p / "manifest.json"), "manifest.json is damaged.*restore"),
    (lambda p: (p / "manifest.json").write_bytes(b"\xff\xfe"), "map .*decode"),
    (lambda p: _flip(p / "head.safetensors"), "hash.*altered"),
    (lambda p: edit_manifest(p, format_version="3.0"), "version 3.0.*use ace_slam_ros 0.1.0"),
    (lambda p: edit_manifest(p, camera={"width": 0}), "manifest.json is damaged"),
    (lambda p: edit_manifest(p, bounds_m=None), "manifest.json is damaged"),
    (lambda p: edit_manifest(p, sha256={}), "names no head.safetensors"),
    (lambda p: edit_manifest(p, sha256=3), "manifest.json is damaged"),
    (lambda p: edit_manifest(p, map_bytes="many"), "manifest.json is damaged"),
    (lambda p: edit_manifest(p, keyframes=float("inf")), "manifest.json is damaged"),
    (lambda p: _alter(p), "does not have the checksum.*manifest_sha256"),
    (lambda p: (p / "manifest.json").write_text("[" * 100_000), "manifest.json is damaged"),
    (lambda p: _pipe(p / "manifest.json"), "manifest.json is not a file but a pipe"),
    (lambda p: _pipe(p / "keyframes.safetensors"), "keyframes.safetensors is not a file"),
    (lambda p: os.truncate(p / "manifest.json", 10**9), "more than the .* largest map"),
    (lambda p: os.truncate(p / "head.safetensors", 10**12), "more than the .* largest map"),
])
def test_damage_is_refused(folder, break_it, message):
    break_it(folder)
    with pytest.raises(MapError, match=message) as caught:
        load_map(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _alter(path: Path) -> None:
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"frame_id": "map"', '"frame_id": "nap"'))


@pytest.mark.parametrize("name", ["/", "~nobody-of-that-name/map", "with\0nothing"])
def test_paths_that_can_be_no_map_are_refused_in_a_sentence(name):
    for use in (load_map, lambda path: save_map(path, MANIFEST, HEAD)):
        with pytest.raises(MapError, match="give the path of a"):
            use(name)


def test_a_folder_outside_of_the_root_is_refused(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "out").symlink_to(tmp_path)
    assert resolve_map_path(tmp_path / "maps" / "a", tmp_path / "maps").name == "a"
    for path in ("elsewhere", "maps", "maps/../elsewhere", "maps/out/elsewhere", "maps_2/a"):
        with pytest.raises(MapError, match="is not below .*ros.map_root"):
            resolve_map_path(tmp_path / path, tmp_path / "maps")


def test_other_refusals(folder, tmp_path):
    with pytest.raises(MapError, match="no map at .*nowhere.*save one first"):
        load_map(tmp_path / "nowhere")
    with pytest.raises(MapError, match="is a file"):
        load_map(folder / "manifest.json")
    with pytest.raises(MapError, match="made with encoder 'tiny'.*encoder.weights"):
        load_map(folder, encoder_hash="cd" * 32)
    with pytest.raises(MapError, match="not a safetensors blob"):
        save_map(tmp_path / "new", MANIFEST, b"nonsense")
    with pytest.raises(MapError, match="different encoders"):
        save_map(tmp_path / "new", MANIFEST, HEAD, [keyframe(0, 2), keyframe(1, 2, dimension=8)])
    with pytest.raises(MapError, match="finite"):
        dataclasses.replace(MANIFEST, bounds_m=((0.0, 0.0, float("nan")), (1.0, 1.0, 1.0)))
    with pytest.raises(MapError, match="cannot write map.*choose"):
        save_map(folder / "manifest.json" / "below", MANIFEST, HEAD)
    assert not (tmp_path / "new").exists()


def test_keys_of_a_later_minor_version_are_ignored(folder):
    edit_manifest(folder, format_version="2.7", color="blue")
    assert load_map(folder).manifest.format_version == "2.7"


def test_death_between_the_two_renames(folder):
    """The one moment in which the name itself is free."""
    folder.rename(folder.with_name(".map.previous"))
    assert load_map(folder).manifest.map_id == "map-1"
    save_map(folder, dataclasses.replace(MANIFEST, map_id="map-2"), HEAD)
    assert load_map(folder).manifest.map_id == "map-2"
    assert [p.name for p in folder.parent.iterdir()] == ["map"]


@pytest.mark.slow
def test_save_killed_at_random_moments(tmp_path):
    path, rng = tmp_path / "map", random.Random(1)
    save_map(path, numbered(0), numbered_head(0))
    confirmed = 0
    for _ in range(4):
        process = start_python(SAVE_FOREVER, str(path), str(confirmed))
        assert process.stdout.readline()  # the first save is done, the next ones are under way
        for _ in range(rng.randrange(1, 20)):  # a reader meanwhile always finds a complete map
            found = load_map(path)
            assert found.head == numbered_head(int(found.manifest.map_id))
        time.sleep(rng.uniform(0.0, 0.01))
        process.kill()
        lines = process.communicate()[0].split()
        found = load_map(path)
        count = int(found.manifest.map_id)
        assert found.head == numbered_head(count)
        assert count >= (int(lines[-1]) if lines else confirmed + 1)
        confirmed = count
    save_map(path, numbered(-1), numbered_head(-1))
    assert [p.name for p in tmp_path.iterdir()] == ["map"]  # leftovers are gone


def test_a_folder_that_is_removed_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """A save replaces the folder after the reader opened it, and removes it file by file."""
    path = tmp_path / "map"
    save_map(path, numbered(1), numbered_head(1))
    reads = []
    original = map_store._read_at

    def read_late(descriptor, folder):
        reads.append(folder)
        if len(reads) == 1:
            os.unlink("head.safetensors", dir_fd=descriptor)
            found = original(descriptor, folder)
            save_map(path, numbered(2), numbered_head(2))
            return found
        return original(descriptor, folder)

    monkeypatch.setattr(map_store, "_read_at", read_late)
    assert load_map(path).head == numbered_head(2) and len(reads) == 2
    (path / "head.safetensors").unlink()
    with pytest.raises(MapError, match="head.safetensors is missing: restore"):
        load_map(path)


def test_every_step_of_a_save_leaves_a_loadable_map(tmp_path, monkeypatch):
    """Stop before each file-system step in turn, as a crash would."""
    class Crash(BaseException):
        pass

    steps = {Path: ("rename", "mkdir", "unlink", "rmdir"), os: ("fsync",), shutil: ("rmtree",)}
    for stop_at in range(100):
        path = tmp_path / str(stop_at) / "map"
        save_map(path, numbered(0), numbered_head(0))
        (path / "notes.txt").write_text("mine")
        left = stop_at

        def step(original):
            def wrapped(*args, **kwargs):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Crash
                return original(*args, **kwargs)
            return wrapped

        with monkeypatch.context() as patched:
            for owner, names in steps.items():
                for name in names:
                    patched.setattr(owner, name, step(getattr(owner, name)))
            try:
                save_map(path, numbered(1), numbered_head(1))
                finished = True
            except Crash:
                finished = False
        found = load_map(path)
        assert found.head == numbered_head(int(found.manifest.map_id))
        assert not finished or found.manifest.map_id == "1"
        save_map(path, numbered(2), numbered_head(2))
        assert load_map(path).manifest.map_id == "2"
        assert (path / "notes.txt").read_text() == "mine"
        assert [p.name for p in path.parent.iterdir()] == ["map"]
        if finished:
            assert stop_at > 5
            return
    raise AssertionError("the save never finished")
