"""Player, `ace-slam up` and the three nodes as real processes over DDS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.io.bag_writer import write_bag
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.io.tum import write_tum_folder
from ace_slam_ros.ros.messages.conversions import depth_from_msg, image_from_msg, stamp_to_ns
from ace_slam_ros.ros.playback.player import Player, PlayError
from ace_slam_ros.ros.playback.playlist import open_playlist
from ace_slam_ros.ros.process.node_group import NodeGroup
from ace_slam_ros.ros.qos import reliable_qos, sensor_qos
from ace_slam_ros.ros.up import for_source
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
COUNT = 20
PATIENCE_S = 90.0


def _frames(count: int = COUNT) -> Iterator[Frame]:
    random = np.random.default_rng(5)
    image = random.integers(0, 255, (120, 160, 3), np.uint8)
    depth_m = np.full((120, 160), 1.5, np.float32)
    for number in range(count):
        stamp_ns = 1_000_000_000 + number * 50_000_000
        yield Frame(stamp_ns, np.roll(image, number, 1), depth_m, CAMERA)


def _truth() -> Trajectory:
    stamps = np.array([f.stamp_ns for f in _frames()])
    return Trajectory(stamps, np.tile(np.eye(4), (len(stamps), 1, 1)))


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of twenty pairs, one second, compressed."""
    path = tmp_path_factory.mktemp("bags") / "short"
    write_bag(path, _frames(), _truth(), CAMERA, transport="compressed")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pairs as a TUM folder."""
    path = tmp_path_factory.mktemp("tum") / "short"
    write_tum_folder(path, _frames(), None, CAMERA)
    return path


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
    stamps = [frame.stamp_ns for frame in _frames()]
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
        _until(lambda: node.count_subscribers("rgb/image/compressed") == 1, "the subscriber")
        with pytest.raises(PlayError, match="/picky/display ask for RELIABLE"):
            player.wait_for_subscribers(0.0)
    finally:
        context.try_shutdown()


def test_playlist_tells_the_transports(bag: Path, folder: Path) -> None:
    config = for_source(SlamConfig(), bag)
    assert (config.ros.color_transport, config.ros.depth_transport) == (
        "compressed", "compressedDepth")
    config = for_source(SlamConfig(), folder)
    assert (config.ros.color_transport, config.ros.depth_transport) == ("raw", "raw")
    items = list(open_playlist(bag))
    assert [item.time_ns for item in items] == sorted(item.time_ns for item in items)
    assert {item.topic for item in items} == {
        "rgb/image/compressed", "depth/image/compressedDepth", "rgb/camera_info", "groundtruth"}


def _until(done: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.05)


def _processes(marker: str) -> list[int]:
    """Processes whose command line holds `marker`, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_nodes_run_come_back_and_leave_nothing() -> None:
    namespace = f"group_{os.getpid()}"
    lines: list[tuple[str, str]] = []
    segment = segment_path(segment_name(f"/{namespace}"))

    def ready(name: str) -> int:
        return sum(who == name and ", segment " in line for who, line in lines)

    with NodeGroup(
        SlamConfig(), namespace=namespace, on_line=lambda *line: lines.append(line)
    ) as group:
        _until(lambda: all(ready(n) for n in ("tracker", "mapper", "relocalizer")), str(lines))
        assert len(_processes(f"__ns:=/{namespace}")) == 3
        pid = group.children["mapper"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        _until(lambda: ready("mapper") == 2, "the mapper did not come back")
        assert group.children["mapper"].restarts == 1
        others = [group.children[n].restarts for n in ("tracker", "relocalizer")]
        assert others == [0, 0]
        group.check()
    assert _processes(f"__ns:=/{namespace}") == []
    assert not segment.exists()
    ends = {who for who, line in lines if "stopping: SIGTERM" in line}
    assert ends == {"tracker", "mapper", "relocalizer"}


def test_up_plays_a_bag_and_ends_with_it(bag: Path) -> None:
    namespace = f"up_{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-m", "ace_slam_ros", "up", "--bag", str(bag), "--rate", "2",
         "--namespace", namespace],
        capture_output=True, text=True, timeout=PATIENCE_S * 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tracker | [WARN] TF does not know base_link -> " in done.stdout
    assert "mapper | [INFO] encoder tiny: weights" in done.stdout  # the core's log is the node's
    assert f"played {4 * COUNT} messages" in done.stdout
    assert _processes(namespace) == []


def test_nodes_end_when_up_is_killed() -> None:
    namespace = f"orphans_{os.getpid()}"
    up = subprocess.Popen(
        [sys.executable, "-m", "ace_slam_ros", "up", "--namespace", namespace],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: len(_processes(f"__ns:=/{namespace}")) == 3, "three nodes")
    finally:
        up.kill()
        up.wait()
    _until(lambda: not _processes(f"__ns:=/{namespace}"), "the nodes' end")
