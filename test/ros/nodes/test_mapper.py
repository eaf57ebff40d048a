"""What the mapper node publishes when it saves, and what it restores after a crash."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import rclpy
import torch
from helpers.node_processes import PATIENCE_S, LiveSystem, Probe
from helpers.tracking import process
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.heads.payload import read_info
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.ros.nodes.mapper import MapperNode
from ace_slam_ros.ros.weights.link import weights_schema
from ace_slam_ros.ros.weights.session import Session
from ace_slam_ros.srv import LoadMap, SaveMap
from ace_slam_ros.weights_ipc.layout import segment_name, segment_path
from ace_slam_ros.weights_ipc.reader import WeightsReader


@pytest.fixture(scope="module")
def mapper():
    """A map of a few views and its keyframes."""
    config = SlamConfig()
    encoder = load_encoder(config.encoder, torch.device("cpu"))
    tracker, wall, keyframes = Tracker(config, encoder), Wall(), []
    for i, T_world_cam in enumerate(wander(36)[:12]):
        image, depth_mm = wall.look(T_world_cam)
        depth_m = depth_mm.astype(np.float32) / 1000.0
        shown = Frame((i + 1) * 33_000_000, image, depth_m, CAMERA)
        keyframes += process(tracker, shown).keyframes
    assert len(keyframes) >= 2
    made = Mapper(config, encoder, map_id="given")
    for keyframe in keyframes:
        made.add_keyframe(keyframe, "given")
    made.work(float("inf"))
    return made


def test_what_saving_learns_is_published(mapper, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    rclpy.init(args=["--ros-args", "-r", "__ns:=/saving", "-p", "mapper.autosave_s:=0.001"])
    node = MapperNode()
    reader = WeightsReader(node.segment, "")
    try:
        node.trigger_configure()
        assert node.state_label == "inactive"
        reader = WeightsReader(node.segment, weights_schema(node.encoder))
        keyframes = list(mapper._buffer.keyframes)
        for keyframe in keyframes:
            node._mapper.add_keyframe(keyframe, "given")
        saved, _ = node._save(tmp_path / "map")
        version, payload = reader.read()
        assert saved.keyframes == read_info(payload).keyframes == len(keyframes)

        backlogs, save = [], node._mapper.save
        monkeypatch.setattr(node._mapper, "save", lambda path, **options: (
            backlogs.append(node._mapper.backlog), save(path, **options)))
        monkeypatch.setattr(node._mapper, "work", lambda budget_s, interrupted=None: False)
        monkeypatch.setattr(node, "_worker", type("Idle", (), {"wait": lambda self, s: None})())
        node._mapper._queue.append(replace(keyframes[0], id=1000))  # not a pruned one
        node._step()
        assert not backlogs, "a backlog is learned first"
        node._mapper._queue.clear()
        node._step()
        assert backlogs == [0]
    finally:
        reader.close()
        node.teardown()
        node.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.live
def test_a_crash_does_not_make_a_map_changeable(mapper, tmp_path):
    mapper.save(tmp_path / "given")
    starter = LiveSystem.__new__(LiveSystem)
    starter.namespace, starter.folder, starter.parameters = "/crash", tmp_path, {}
    node = starter.start("mapper")
    probe = Probe("/crash")
    record = tmp_path / "state" / "ace_slam_ros" / segment_name("/crash") / "loaded.json"
    try:
        loaded = probe.call("load_map", LoadMap.Request(
            path=str(tmp_path / "given"), localization_only=True))
        assert loaded.success and loaded.map_id == "given", loaded.message
        node.process.kill()
        node.process.wait()
        node = starter.start("mapper")
        node.wait_for("resumed map given")
        refused = probe.call("save_map", SaveMap.Request(path=str(tmp_path / "given")))
        assert not refused.success and "never writes" in refused.message

        # Another order given at start counts more than what was loaded before the crash.
        node.process.kill()
        node.process.wait()
        node = starter.start("mapper", ros__map_dir=tmp_path / "new")
        saved = probe.call("save_map", SaveMap.Request())
        assert "the map is empty" in saved.message
        assert node.end() == 0 and not record.exists()
    finally:
        print(node.log.read_text())
        probe.close()
        node.process.kill()
        node.process.wait(PATIENCE_S)
        segment_path(segment_name("/crash")).unlink(missing_ok=True)


def test_stopping_in_the_middle_of_a_step_is_no_error(tmp_path, monkeypatch):
    """The worker's last step still asks for the worker while the node deactivates."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    rclpy.init(args=["--ros-args", "-r", "__ns:=/stopping"])
    node, errors = MapperNode(), []
    monkeypatch.setattr(node, "log_exception", errors.append)
    try:
        node.trigger_configure()
        inside, go_on = threading.Event(), threading.Event()

        def learn(budget_s):
            inside.set()
            go_on.wait(PATIENCE_S)
            return False

        monkeypatch.setattr(node, "_learn", learn)
        node.trigger_activate()
        assert inside.wait(PATIENCE_S)
        threading.Timer(0.3, go_on.set).start()
        node.trigger_deactivate()
        assert node.state_label == "inactive" and errors == []
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    assert list((tmp_path / "ace_slam_ros").glob("*")) == []  # nor an empty session folder


def test_what_a_user_saved_is_in_the_session_at_once(tmp_path, monkeypatch):
    """Killed a second after save_map, the mapper resumed an older map, and saved that over it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session, saved = Session("segment", "schema", 600.0), []
    session.save_when_due(1, saved.append)
    session.hurry()
    session.save_when_due(1, saved.append)
    session.save_when_due(2, saved.append)
    assert saved == [session.path]
    never = Session("segment", "schema", 0.0)
    never.hurry()
    never.save_when_due(1, saved.append)
    assert len(saved) == 1


def test_a_session_that_cannot_be_saved_is_logged_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session = Session("segment", "schema", 1e-9)

    def full_disk(path):
        raise MapError("no space left")

    for state in range(3):
        session._due_s = 0.0
        session.save_when_due(state, full_disk)
    assert [r.getMessage() for r in caplog.records] == [session.problem]
    assert "a crash would lose the map: no space left" in session.problem
    session._due_s = 0.0
    session.save_when_due(3, lambda path: None)
    assert not session.problem
