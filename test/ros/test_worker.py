"""The worker thread, the newest-wins slot, weights, and the rules about which map counts."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from rclpy.task import Future

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.heads.factory import head_capacity_bytes
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head
from ace_slam_ros.ros.nodes.worker import NewestSlot, Worker, WorkerStoppedError
from ace_slam_ros.ros.weights.link import Heartbeat, WeightsLink
from ace_slam_ros.ros.weights.map_follower import MapFollower
from ace_slam_ros.weights_ipc.reader import WeightsReader
from ace_slam_ros.weights_ipc.writer import WeightsWriter


def test_newest_wins_and_the_rest_is_counted():
    slot = NewestSlot()
    for i in range(5):
        slot.put(i)
    assert (slot.take(0.0), slot.take(0.0), slot.replaced) == (4, None, 4)
    slot.put(5)
    slot.clear()
    assert (slot.take(0.0), slot.replaced) == (None, 4)


def test_jobs_come_before_steps_and_errors_stay_with_the_caller():
    done, errors, stepped = threading.Event(), [], threading.Event()

    def step():
        stepped.set()
        worker.wait(10.0)
        raise RuntimeError("a step fails")

    worker = Worker("test", step, errors.append)
    good, bad = Future(), Future()
    worker.submit(lambda: 42, good, lambda: None)
    worker.submit(lambda: 1 / 0, bad, done.set)
    worker.start()
    assert done.wait(10) and good.result() == 42
    assert isinstance(bad.exception(), ZeroDivisionError)
    assert stepped.wait(10)
    late = Future()
    again = threading.Event()
    worker.submit(lambda: "still alive", late, again.set)
    assert again.wait(10) and late.result() == "still alive"
    assert worker.stop()
    assert errors == ["test"] * len(errors) and errors
    refused = Future()
    worker.submit(lambda: 1, refused, lambda: None)
    assert isinstance(refused.exception(), WorkerStoppedError)


def test_stopping_answers_those_who_wait():
    entered, release = threading.Event(), threading.Event()
    worker = Worker("test", lambda: worker.wait(0.05), lambda where: None)
    worker.start()
    running, queued = Future(), Future()

    def slow():
        entered.set()
        return release.wait(10)

    worker.submit(slow, running, lambda: None)
    worker.submit(lambda: 1, queued, lambda: None)
    assert entered.wait(10)
    threading.Timer(0.05, release.set).start()
    assert worker.stop()
    assert running.result() is True
    assert isinstance(queued.exception(), WorkerStoppedError)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ace_slam_ros.ros.weights.link.time.monotonic", lambda: now[0])
    return now


def test_a_reset_of_the_tracker_is_followed(clock):
    follower = MapFollower("a")
    assert follower.accepts("a") and follower.accepts("b") and follower.current == "b"


def test_stragglers_after_loading_are_ignored(clock):
    follower = MapFollower("tracker1")
    follower.move_to("loaded")
    assert not follower.accepts("tracker1")
    assert not follower.accepts("tracker2"), "it started before the mapper told of its map"
    assert follower.accepts("loaded")
    assert not follower.accepts("tracker1"), "replayed keyframes come in any order"
    assert follower.current == "loaded"


def test_a_reset_after_loading_is_followed(clock):
    follower = MapFollower("x")
    follower.move_to("loaded")
    clock[0] += MapFollower.GRACE_S + 1
    assert follower.accepts("new") and follower.current == "new"
    assert follower.accepts("loaded"), "a tracker that comes back is followed as well"


def test_a_map_that_was_left_stays_out_longer_but_not_for_ever(clock):
    follower = MapFollower("left")
    follower.move_to("loaded")
    clock[0] += MapFollower.GRACE_S + 1
    assert not follower.accepts("left") and follower.current == "loaded"
    clock[0] += MapFollower.LEFT_S
    assert follower.accepts("left"), "the tracker clearly stays there"


def test_a_held_map_survives_replayed_keyframes(clock):
    follower = MapFollower("fresh")
    follower.move_to("restored")
    clock[0] += 60.0  # from configure to activate
    follower.hold()
    assert not follower.accepts("between") and follower.accepts("restored")
    clock[0] += MapFollower.GRACE_S + 1
    assert follower.accepts("between")


@pytest.fixture
def writer():
    with WeightsWriter(f"test_worker_{id(object())}", 10_000, "schema") as found:
        yield found


def head(map_id):
    return pack_head({"a": torch.zeros(3)}, HeadInfo(
        map_id=map_id, encoder_hash="e", head="affine", keyframes=1, next_keyframe=1))


def test_a_refused_head_stays_a_problem_until_one_is_accepted(writer):
    told = []
    link = WeightsLink(writer.name, "schema", told.append)

    def refuse(payload, version):
        raise MapError("of another encoder")

    writer.write(head("a"))
    assert link.take(refuse) is None and link.problem == "of another encoder"
    assert link.take(refuse) is None, "there is nothing new"
    assert link.problem and told == ["of another encoder"]
    writer.write(head("b"))
    assert link.take(lambda payload, version: None).map_id == "b" and not link.problem
    writer.write(b"no head at all")
    assert link.take(refuse) is None and "not head weights" in link.problem
    writer.write(head("c"))
    assert link.take(lambda payload, version: None).version == 4 and not link.problem
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
        "count": torch.zeros(words, dtype=torch.uint8),
        "slopes": torch.zeros(experts, inputs, 3, dtype=torch.int8),
        "slope_scale": torch.zeros(experts, dtype=torch.half),
        "offset": torch.zeros(experts, 3, dtype=torch.int16),
        "offset_centre": torch.zeros(3), "offset_step": torch.zeros(3),
        "sigma": torch.zeros(experts, dtype=torch.half),
    }, HeadInfo(map_id="m" * 40, encoder_hash="e" * 64, head="affine", keyframes=1,
                next_keyframe=1))
    encoder = SimpleNamespace(
        codebook=SimpleNamespace(words_KD=torch.zeros(words, 1)), dimension=128)
    assert len(largest) <= head_capacity_bytes(config, encoder) < len(largest) + 100_000
    assert head_capacity_bytes(SlamConfig(), encoder) == 4 << 20
