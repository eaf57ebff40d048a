"""The player: recorded sequences arrive as messages, pixel by pixel."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from helpers.recordings import COUNT, PATIENCE_S, frames, wait_until
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.ros.messages.conversions import depth_from_msg, image_from_msg, stamp_to_ns
from ace_slam_ros.ros.playback.player import Player, PlayError
from ace_slam_ros.ros.playback.playlist import open_playlist
from ace_slam_ros.ros.qos import reliable_qos, sensor_qos

pytestmark = pytest.mark.live


class Listener:
    """Subscribes to the camera's topics like a node would."""

    def __init__(self, namespace: str, color: Any, suffixes: tuple[str, str]) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("listener", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.color: list[Any] = []
        self.depth: list[Any] = []
        self.info: list[Any] = []
        self.clock: list[Any] = []
        depth = CompressedImage if suffixes[1] else Image
        for kind, topic, sink in (
            (color, f"rgb/image{suffixes[0]}", self.color),
            (depth, f"depth/image{suffixes[1]}", self.depth),
            (CameraInfo, "rgb/camera_info", self.info), (Clock, "/clock", self.clock),
        ):
            self.node.create_subscription(kind, topic, sink.append, sensor_qos(200))

    def until_ended(self, process: subprocess.Popen[str]) -> None:
        """Spin until a process has ended and nothing more arrives."""
        deadline_s = time.monotonic() + PATIENCE_S
        quiet_s = 0.0
        while process.poll() is None or quiet_s < 0.5:
            assert time.monotonic() < deadline_s
            before, began_s = self.count(), time.monotonic()
            self.executor.spin_once(timeout_sec=0.05)
            busy = process.poll() is None or self.count() != before
            quiet_s = 0.0 if busy else quiet_s + time.monotonic() - began_s

    def count(self) -> int:
        return len(self.color) + len(self.depth) + len(self.info) + len(self.clock)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def _player(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ace_slam_ros.ros.playback.player", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _stamps(messages: list[Any]) -> list[int]:
    return [stamp_to_ns(m.header.stamp) for m in messages]


def test_bag_arrives_as_recorded_twice_with_clock(bag: Path, tmp_path: Path) -> None:
    listener = Listener("bag_test", CompressedImage, ("/compressed", "/compressedDepth"))
    report = tmp_path / "report.json"
    began_s = time.monotonic()
    player = _player(bag, "--namespace", "bag_test", "--rate", 2, "--loop", 2, "--clock",
                     "--report", report)
    try:
        listener.until_ended(player)
        wall_s = time.monotonic() - began_s
    finally:
        player.kill()
        listener.close()
    assert player.returncode == 0, player.stdout and player.stdout.read()
    stamps = [frame.stamp_ns for frame in frames()]
    assert _stamps(listener.color) == stamps * 2
    assert _stamps(listener.depth) == stamps * 2
    assert len(listener.info) == 2 * COUNT
    assert wall_s > 2 * 0.95 / 2  # it may be late on a busy machine, never early
    sent = json.loads(report.read_text())
    assert sent["topics"]["rgb/image/compressed"] == 2 * COUNT
    assert sent["messages"] == 2 * 4 * COUNT  # with the ground truth
    assert sent["wall_s"] >= 0.95 and sent["late_ms"]["max"] >= sent["late_ms"]["p50"] >= 0.0
    first = next(open_source(bag).raw_frames())  # type: ignore[attr-defined]
    assert bytes(listener.color[0].data) == first.color
    clock = [m.clock.sec * 1_000_000_000 + m.clock.nanosec for m in listener.clock]
    assert len(clock) > 2 * COUNT and max(clock) == stamps[-1]
    assert sum(b < a for a, b in zip(clock, clock[1:], strict=False)) == 1  # the loop


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_tum_folder_arrives_pixel_by_pixel(folder: Path, transport: str) -> None:
    compressed = transport == "compressed"
    listener = Listener(
        "tum_test", CompressedImage if compressed else Image,
        ("/compressed" if compressed else "", ""))
    player = _player(folder, "--namespace", "/tum_test/", "--transport", transport, "--rate", 4)
    try:
        listener.until_ended(player)
    finally:
        player.kill()
        listener.close()
    assert player.returncode == 0
    frames = list(open_source(folder))
    assert _stamps(listener.color) == [f.stamp_ns for f in frames]
    assert np.array_equal(image_from_msg(listener.color[3]), frames[3].image)
    assert np.allclose(depth_from_msg(listener.depth[3]), frames[3].depth_m, atol=1e-6)


def test_player_says_who_is_missing(bag: Path, tmp_path: Path) -> None:
    lonely = _player(bag, "--namespace", "nobody", "--wait", 1)
    output = lonely.communicate(timeout=PATIENCE_S)[0]
    assert lonely.returncode == 1
    assert "nobody subscribed to" in output and "/nobody/rgb/image/compressed" in output
    missing = _player(tmp_path / "missing")
    output = missing.communicate(timeout=PATIENCE_S)[0]
    assert missing.returncode == 2 and "does not exist" in output and "Traceback" not in output


def test_a_looping_player_ends_with_its_parent(bag: Path) -> None:
    orphan = _player(bag, "--namespace", "orphan", "--wait", 0, "--loop", 0, "--parent-pid", 1)
    try:
        assert orphan.wait(PATIENCE_S) == 0
    finally:
        orphan.kill()


def test_player_names_subscribers_that_want_more_than_best_effort(bag: Path) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        picky = rclpy.create_node("display", namespace="/picky", context=context)
        picky.create_subscription(
            CompressedImage, "rgb/image/compressed", lambda msg: None, reliable_qos())
        node = rclpy.create_node("player", namespace="/picky", context=context)
        player = Player(
            node, open_playlist(bag), rate=1.0, clock=False, stop=threading.Event())
        wait_until(lambda: node.count_subscribers("rgb/image/compressed") == 1, "the subscriber")
        with pytest.raises(PlayError, match="/picky/display ask for RELIABLE"):
            player.wait_for_subscribers(0.0)
    finally:
        context.try_shutdown()
