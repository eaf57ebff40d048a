"""The playlist tells the transports."""

from __future__ import annotations

from pathlib import Path

from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.playback.playlist import open_playlist
from ace_slam_ros.ros.up import for_source


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
