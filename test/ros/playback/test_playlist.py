"""The playlist tells the transports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.recordings import CAMERA, COUNT, frames, write_bag
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from ace_slam_ros.apps.sources import as_nodes_read
from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.bags.file import TYPES
from ace_slam_ros.io.bags.topics import INFO_TOPIC
from ace_slam_ros.io.bags.writer import BagWriter
from ace_slam_ros.io.source import ReadOptions
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.playback.player import _arguments, options_of
from ace_slam_ros.ros.playback.playlist import open_playlist
from ace_slam_ros.ros.up import for_source, player_command


def test_playlist_tells_the_transports(bag: Path, folder: Path) -> None:
    config = for_source(NodeConfig(), bag)
    assert (config.ros.color_transport, config.ros.depth_transport) == (
        "compressed", "compressedDepth")
    config = for_source(NodeConfig(), folder)
    assert (config.ros.color_transport, config.ros.depth_transport) == ("raw", "raw")
    items = list(open_playlist(bag))
    assert [item.time_ns for item in items] == sorted(item.time_ns for item in items)
    assert {item.topic for item in items} == {
        "rgb/image/compressed", "depth/image/compressedDepth", "rgb/camera_info", "groundtruth"}


def test_the_player_reads_a_recording_as_it_was_told(folder: Path) -> None:
    options = ReadOptions("/c", "/d", "/i", slop_s=0.25, stamps="arrival", depth_unit_m=1e-4)
    args = _arguments(player_command(folder, options=options)[3:])
    assert options_of(args) == options
    assert options_of(_arguments([str(folder)])) == ReadOptions()


def test_the_slop_of_the_nodes_counts_when_a_bag_is_played(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "loose", CAMERA) as writer:
        for frame in frames(3):
            writer.add(frame.stamp_ns, frame.image, frame.depth_m,
                       depth_stamp_ns=frame.stamp_ns + 24_000_000)
    with pytest.raises(DataError, match="within 20 ms"):
        open_playlist(tmp_path / "loose")
    wide = as_nodes_read(ReadOptions(), NodeConfig().with_values({"ros.slop_s": 0.0245}))
    assert open_playlist(tmp_path / "loose", options=wide).pairs == 3


def test_a_calibration_that_was_sent_once_long_before_is_played(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", frames(3), None, CAMERA)
    with Reader(tmp_path / "bag") as reader, Writer(
        tmp_path / "latched", version=8, storage_plugin=StoragePlugin.MCAP
    ) as writer:
        made = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=TYPES)
                for c in reader.connections}
        sent = False
        for connection, time_ns, raw in reader.messages():
            if connection.topic == INFO_TOPIC:
                if sent:
                    continue
                sent, time_ns = True, time_ns - 60 * 10**9
            writer.write(made[connection.topic], time_ns + 60 * 10**9, raw)
    items = list(open_playlist(tmp_path / "latched"))
    assert [item.topic for item in items].count("rgb/camera_info") == 1
    assert items[0].topic == "rgb/camera_info" and items[0].time_ns == items[1].time_ns


def test_what_was_recorded_without_images_is_not_waited_for(tmp_path: Path) -> None:
    """A player that loops stood still while only motion capture went on."""
    stamps = np.arange(0, 40, dtype=np.int64) * 500_000_000  # images: from 1 to 2 s
    write_bag(tmp_path / "long", frames(), Trajectory(stamps, np.tile(np.eye(4), (40, 1, 1))),
              CAMERA)
    items = list(open_playlist(tmp_path / "long"))
    images = [item.time_ns for item in items if "image" in item.topic]
    assert len(images) == 2 * COUNT
    assert items[-1].time_ns == max(images)
    assert min(images) - items[0].time_ns <= 1_000_000_000
    assert sum(item.topic == "groundtruth" for item in items) == 4  # 0.5 and 1 to 2 s
