"""The heartbeat for nav2's lifecycle manager: while active and managed, never else."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from ace_slam_ros.core.errors import AceSlamError
from ace_slam_ros.ros.nodes import managed
from ace_slam_ros.ros.nodes.bond import PERIOD_S, bond_status
from ace_slam_ros.ros.nodes.managed import ManagedNode


class Status(SimpleNamespace):
    """Has the fields of bond/msg/Status."""

    def __init__(self):
        super().__init__(header=SimpleNamespace(stamp=None), id="", instance_id="", active=False,
                         heartbeat_timeout=0.0, heartbeat_period=0.0)


class Recorder:
    """Stands for the publisher and the timer, whose message type is not installed here."""

    def __init__(self):
        self.heard, self.topics, self.beats = [], [], []

    def publisher(self, kind, topic, qos):
        assert kind is Status and qos.depth == 5
        self.topics.append(topic)
        return SimpleNamespace(publish=self.heard.append)

    def timer(self, period_s, beat, clock):
        self.beats.append(beat)
        assert period_s == PERIOD_S
        return beat


class Small(ManagedNode):
    """Does nothing in its transitions, or fails."""

    fails = False

    def _configure(self):
        pass

    _deactivate = _cleanup = _configure

    def _activate(self):
        if self.fails:
            raise AceSlamError("it cannot")

    def summary(self):
        return "small"

    def log_exception(self, where):
        raise AssertionError(where)


@pytest.fixture
def node(graph, monkeypatch):
    make, _ = graph
    made = Small("small", context=make("context").context)
    recorder = made.recorder = Recorder()
    monkeypatch.setattr(managed, "bond_status", lambda: Status)
    for name, stand_in in (("create_publisher", recorder.publisher),
                           ("create_timer", recorder.timer),
                           ("destroy_publisher", lambda p: recorder.topics.clear()),
                           ("destroy_timer", recorder.beats.remove)):
        monkeypatch.setattr(made, name, stand_in)
    yield made
    monkeypatch.undo()
    made.destroy_node()


def test_a_managed_node_sends_heartbeats_while_it_is_active(node):
    node.on_configure(None)
    assert not node.recorder.topics
    node.on_activate(None)
    node.recorder.beats[0]()
    assert node.recorder.topics == ["bond"]
    first, second = node.recorder.heard
    assert first.active and second.active and first.instance_id == second.instance_id != ""
    assert first.id == "small" and first.heartbeat_timeout == 4.0
    node.on_deactivate(None)
    assert not node.recorder.heard[-1].active and len(node.recorder.heard) == 3
    assert not node.recorder.topics and not node.recorder.beats
    node.on_activate(None)
    assert node.recorder.heard[-1].instance_id != first.instance_id
    node.on_shutdown(None)
    assert not node.recorder.heard[-1].active


def test_a_node_that_starts_by_itself_or_fails_sends_none(node):
    node._autostarting = True
    assert node.on_activate(None) == TransitionCallbackReturn.SUCCESS
    node._autostarting = False
    node.on_deactivate(None)
    node.fails = True
    assert node.on_activate(None) == TransitionCallbackReturn.FAILURE
    assert not node.recorder.heard


def test_without_bond_there_is_no_heartbeat(monkeypatch):
    monkeypatch.setitem(sys.modules, "bond", None)
    monkeypatch.setitem(sys.modules, "bond.msg", None)
    assert bond_status() is None
    module = ModuleType("bond.msg")
    module.Status = Status
    monkeypatch.setitem(sys.modules, "bond", ModuleType("bond"))
    monkeypatch.setitem(sys.modules, "bond.msg", module)
    assert bond_status() is Status
