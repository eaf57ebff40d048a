"""Weights between nodes: refused heads, heartbeats, the largest head."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.heads.factory import head_capacity_bytes
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head, read_info
from ace_slam_ros.ros.weights.link import Heartbeat, WeightsLink
from ace_slam_ros.weights_ipc.reader import WeightsReader
from ace_slam_ros.weights_ipc.writer import WeightsWriter


@pytest.fixture
def writer():
    with WeightsWriter(f"test_worker_{id(object())}", 10_000, "schema") as found:
        yield found


def head(map_id):
    return pack_head({"a": np.zeros(3)}, HeadInfo(
        map_id=map_id, encoder_hash="e", head="affine", keyframes=1, next_keyframe=1))


def test_a_refused_head_stays_a_problem_until_one_is_accepted(writer):
    told = []
    link = WeightsLink(writer.name, "schema", told.append)

    def refuse(payload, version):
        raise MapError("of another encoder")

    assert not link.take(refuse) and not link.problem, "nothing is there yet"
    writer.write(head("a"))
    assert not link.take(refuse) and link.problem == "of another encoder"
    assert not link.take(refuse), "there is nothing new"
    assert link.problem and told == ["of another encoder"]
    accepted = head("b")  # the order of its metadata is another one each time
    writer.write(accepted)
    taken = []
    assert link.take(lambda payload, version: taken.append((payload, version)))
    assert taken == [(accepted, 2)] and link.version == 2 and not link.problem
    writer.write(b"no head at all")
    assert not link.take(lambda payload, version: read_info(payload))
    assert "not head weights" in link.problem
    writer.write(head("c"))
    assert link.take(lambda payload, version: None) and link.version == 4 and not link.problem
    link.close()


def test_the_heart_beats_without_the_owner(writer, monkeypatch):
    monkeypatch.setattr(Heartbeat, "PERIOD_S", 0.001)
    beaten = threading.Event()
    monkeypatch.setattr(writer, "heartbeat", beaten.set)
    heartbeat = Heartbeat(writer)
    assert beaten.wait(10)
    heartbeat.stop()
    beaten.clear()
    assert not beaten.wait(0.02)


def test_a_busy_writer_in_another_pid_namespace_is_found_alive_later(writer, monkeypatch):
    monkeypatch.setattr("ace_slam_ros.weights_ipc.layout.own_pid_namespace", lambda: 1)
    real_ns, late_ns = time.monotonic_ns, [10**12]
    monkeypatch.setattr("time.monotonic_ns", lambda: real_ns() + late_ns[0])
    writer.write(head("a"))
    late_ns[0] *= 2
    reader = WeightsReader(writer.name, "schema")
    assert reader.read() is None and not reader.status().writer_alive
    writer.heartbeat()
    assert reader.read() is not None and reader.status().writer_alive
    reader.close()


def test_the_segment_holds_the_largest_head():
    config = SlamConfig().with_values({
        "head.experts_per_word": 64, "head.max_experts": 64 * 4096})
    words, per_word, inputs = 4096, config.head.experts_per_word, config.head.inputs
    experts = words * per_word
    largest = pack_head({
        "count": np.zeros(words, np.uint8),
        "slopes": np.zeros((experts, inputs, 3), np.int8),
        "slope_scale": np.zeros(experts, np.float16),
        "offset": np.zeros((experts, 3), np.int16),
        "offset_centre": np.zeros(3, np.float32), "offset_step": np.zeros(3, np.float32),
        "sigma": np.zeros(experts, np.float16),
        "submap": np.zeros(experts, np.uint8),
    }, HeadInfo(map_id="m" * 40, encoder_hash="e" * 64, head="affine", keyframes=1,
                next_keyframe=1))
    encoder = SimpleNamespace(
        codebook=SimpleNamespace(words_KD=np.zeros((words, 1))), dimension=128)
    tokens = 64 * config.head.tokens  # beside the experts, in a head of both kinds
    assert len(largest) <= head_capacity_bytes(config, encoder) < len(largest) + tokens + 100_000
    assert head_capacity_bytes(SlamConfig(), encoder) == 4 << 20
