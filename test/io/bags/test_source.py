"""Bags: read in any order, late depth, loops, and depth beyond the slop."""

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.recordings import write_bag
from helpers.sequences import (
    CAMERA,
    LENS,
    SECOND,
    assert_same_frames,
    make_frames,
    make_truth,
    steps,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import open_source, write_tum_folder
from ace_slam_ros.io.bags.file import CAMERA_INFO, TYPES
from ace_slam_ros.io.bags.source import BagSource
from ace_slam_ros.io.bags.topics import COLOR_TOPIC, DEPTH_TOPIC
from ace_slam_ros.io.source import ReadOptions


def rewrite(bag: Path, out: Path, edit, storage=StoragePlugin.MCAP):
    """Copy a bag; `edit(topic, time_ns, raw)` returns the (time_ns, raw) to write instead."""
    with Reader(bag) as reader, Writer(out, version=8, storage_plugin=storage) as writer:
        made = {}
        for connection, time_ns, raw in reader.messages():
            for new_ns, data in edit(connection.topic, time_ns, raw):
                if connection.topic not in made:
                    made[connection.topic] = writer.add_connection(
                        connection.topic, connection.msgtype, typestore=TYPES)
                writer.write(made[connection.topic], new_ns, data)
    return out


@pytest.fixture
def small_bag(tmp_path):
    frames = list(make_frames(steps(6)))
    write_bag(tmp_path / "bag", frames, make_truth(steps(6)), CAMERA, depth_encoding="32FC1")
    return tmp_path / "bag", frames


def test_bag_iterates_twice_and_at_random(small_bag):
    path, frames = small_bag
    source = open_source(path)
    assert_same_frames(source, frames)
    assert_same_frames(source, frames)
    for i in (5, 0, -2, 3):
        assert_same_frames([source[i]], [frames[i]])
    with pytest.raises(IndexError):
        source[6]
    file, = path.glob("*.mcap")
    assert_same_frames(open_source(file), frames)
    (path / "metadata.yaml").unlink()
    assert_same_frames(open_source(path), frames)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_bag_with_late_depth_loops_and_reversed_recording(tmp_path, small_bag, storage):
    path, frames = small_bag
    late = rewrite(path, tmp_path / "late", lambda topic, t, raw: [
        (t + (80_000_000 if topic == DEPTH_TOPIC else 0), raw)], storage)
    assert_same_frames(open_source(late), frames)
    assert_same_frames([open_source(late)[4]], [frames[4]])
    looped = rewrite(path, tmp_path / "looped", lambda topic, t, raw: [
        (t, raw), (t + SECOND, raw)], storage)
    assert_same_frames(open_source(looped), frames)
    last = frames[-1].stamp_ns
    backwards = rewrite(
        path, tmp_path / "backwards", lambda topic, t, raw: [(2 * last - t, raw)], storage)
    assert_same_frames(open_source(backwards), frames)


def stamped(raw, stamp_ns):
    """Return a message with another stamp in its header."""
    return bytes(raw[:4]) + struct.pack("<iI", *divmod(stamp_ns, SECOND)) + bytes(raw[12:])


@pytest.mark.parametrize(("stamp_ns", "words"), [
    (0, "/camera/color/image_raw: stamps are zero: let the driver"),
    (5, "stamps do not grow: all of 6 messages carry the same one: .* ros.stamps=arrival"),
])
def test_stamps_that_say_nothing_are_refused_or_not_used(tmp_path, small_bag, stamp_ns, words):
    path, frames = small_bag
    bare = rewrite(path, tmp_path / "bare", lambda topic, t, raw: [(t, stamped(raw, stamp_ns))])
    with pytest.raises(DataError, match=words):
        open_source(bare)
    by_arrival = ReadOptions(stamps="arrival")
    assert_same_frames(open_source(bare, options=by_arrival), frames)
    assert_same_frames([open_source(bare, options=by_arrival)[3]], [frames[3]])


def test_a_message_that_is_not_stamped_is_left_out(tmp_path, small_bag, caplog):
    path, frames = small_bag
    first = frames[0].stamp_ns
    gap = rewrite(path, tmp_path / "gap", lambda topic, t, raw: [
        (t, stamped(raw, 0) if t == first else raw)])
    assert_same_frames(open_source(gap), frames[1:])
    assert "/camera/color/image_raw: 1 of 6 messages are left out" in caplog.text


def test_rectified_topics_use_the_projection_matrix(tmp_path, small_bag):
    """An image_rect topic is straight already; its camera_info still holds the lens."""
    path, frames = small_bag
    write_bag(tmp_path / "lens", frames, None, LENS, depth_encoding="32FC1")
    names = {COLOR_TOPIC: "/camera/color/image_rect_color"}
    with Reader(tmp_path / "lens") as reader, Writer(
        tmp_path / "rect", version=8, storage_plugin=StoragePlugin.MCAP
    ) as writer:
        made = {c.topic: writer.add_connection(
            names.get(c.topic, c.topic), c.msgtype, typestore=TYPES) for c in reader.connections}
        for connection, time_ns, raw in reader.messages():
            if connection.msgtype == CAMERA_INFO:
                info = TYPES.deserialize_cdr(raw, CAMERA_INFO)
                info.p = np.array([30.0, 0, 10, 0, 0, 31, 8, 0, 0, 0, 1, 0])
                raw = TYPES.serialize_cdr(info, CAMERA_INFO)
            writer.write(made[connection.topic], time_ns, raw)
    source = open_source(tmp_path / "rect")
    assert source.raw_camera == Camera(24, 16, 30.0, 31.0, 10.0, 8.0)
    np.testing.assert_array_equal(source[1].image, frames[1].image)


@pytest.fixture
def two_cameras(tmp_path):
    """A bag of two cameras: /front of noise, /back of other noise and another lens."""
    back = Camera(24, 16, 25.0, 25.0, 11.5, 7.5)
    one, two = (list(make_frames(steps(6), seed=seed)) for seed in (0, 1))
    cameras = {"front": (one, CAMERA), "back": (two, back)}
    with Writer(tmp_path / "two", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for name, (frames, camera) in cameras.items():
            write_bag(tmp_path / name, frames, None, camera, depth_encoding="32FC1",
                      frame_id=f"{name}_optical")
            with Reader(tmp_path / name) as reader:
                made = {c.topic: writer.add_connection(
                    c.topic.replace("/camera", f"/{name}"), c.msgtype, typestore=TYPES)
                    for c in reader.connections}
                for connection, time_ns, raw in reader.messages():
                    writer.write(made[connection.topic], time_ns, raw)
    return tmp_path / "two", cameras


def test_two_cameras_in_one_bag(two_cameras):
    path, cameras = two_cameras
    with pytest.raises(DataError, match="2 cameras fit equally well, choose one: --color /back"):
        open_source(path)
    for name, (frames, camera) in cameras.items():
        source = open_source(path, options=ReadOptions(depth=f"/{name}/depth/image_raw"))
        assert_same_frames(source, frames)
        assert source.camera == camera
        assert source.choice["color"] == f"/{name}/color/image_raw"
        assert source.choice["reason"] == "same size, frame; 100 % of the first stamps pair"


def test_a_folder_has_no_topics(tmp_path):
    write_tum_folder(tmp_path / "tum", make_frames(steps(2)), None, CAMERA)
    with pytest.raises(DataError, match="leave out --color"):
        open_source(tmp_path / "tum", options=ReadOptions(color="/rgb"))


def test_depth_beyond_the_slop_is_no_pair(tmp_path, small_bag):
    path, frames = small_bag
    with pytest.raises(DataError, match="within 20 ms"):
        open_source(rewrite(path, tmp_path / "shifted", lambda topic, t, raw: [
            (t, stamped(raw, t + 10 * SECOND) if topic == DEPTH_TOPIC else raw)]))
    assert len(BagSource(path, options=ReadOptions(slop_s=0.0))) == len(frames)


def test_sequences_without_depth_serve_color(tmp_path, small_bag):
    path, frames = small_bag
    blind = rewrite(path, tmp_path / "blind", lambda topic, t, raw: [
        (t, raw)] if topic != DEPTH_TOPIC else [])
    source = open_source(blind, require_depth=False)
    assert [f.depth_m for f in source] == [None] * 6
    np.testing.assert_array_equal(source[2].image, frames[2].image)
    write_tum_folder(tmp_path / "tum", frames, None, CAMERA)
    (tmp_path / "tum" / "depth.txt").unlink()
    assert [f.depth_m for f in open_source(tmp_path / "tum", require_depth=False)] == [None] * 6
