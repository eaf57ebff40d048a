"""What goes out on /tf beside late odometry: never a second parent of the base."""

from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.ros.config import RosConfig
from ace_slam_ros.ros.tf import map_transform
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.map_transform import MapTransform, TfMode
from ace_slam_ros.ros.tf.tree import TransformTree

MS = 10**6


class Recorder(TransformTree):
    """A tree that remembers what was sent."""

    available, watcher = True, None

    def __init__(self):
        super().__init__()
        self.sent = []

    def send(self, transforms):
        self.sent += [(t.parent, t.child) for t in transforms]


@pytest.mark.parametrize("shift_ms", [-100, -200, 0, -10**7, 10**7])
def test_the_base_keeps_one_parent(graph, monkeypatch, shift_ms):
    make, _ = graph
    tree, clock_s, logged = Recorder(), [0.0], []
    monkeypatch.setattr(map_transform, "time", SimpleNamespace(monotonic=lambda: clock_s[0]))
    monkeypatch.setattr(map_transform, "others_publish_tf", lambda *_: True)
    node = make("mapping")
    monkeypatch.setattr(node.get_logger(), "error", logged.append)
    out = MapTransform(node, RosConfig(), tree)
    for ms in range(20_000, 26_000, 20):
        clock_s[0] = (ms - 20_000) / 1000
        tree.add(StampedTransform("odom", "base_link", (ms + shift_ms) * MS, np.eye(4)), False)
        if ms % 40 == 0:
            out.show((ms - 30) * MS, np.eye(4))
        out.repeat()
    assert out.mode is TfMode.ODOM
    if abs(shift_ms) < 1000:
        assert set(tree.sent) == {("map", "odom")} and not out.problem() and not logged
    else:
        assert not tree.sent and len(logged) == 1 and "ros.odom_tolerance_s" in out.problem()
    out.close()


def test_a_camera_in_the_hand_gets_map_to_base(graph):
    make, _ = graph
    tree = Recorder()
    out = MapTransform(make("hand"), RosConfig(odom_frame=""), tree)
    out.show(5, np.eye(4))
    out.repeat()
    assert tree.sent == [("map", "base_link")] and not out.problem()
    out.close()


def test_a_correction_is_spread_over_time_and_a_lost_robot_starts_at_the_truth(graph, monkeypatch):
    make, _ = graph
    tree, clock_s = Recorder(), [0.0]
    monkeypatch.setattr(map_transform, "time", SimpleNamespace(monotonic=lambda: clock_s[0]))
    out = MapTransform(make("mapping"), RosConfig(map_jump_limit=0.2), tree)
    sent = []
    monkeypatch.setattr(tree, "send", lambda found: sent.extend(
        t.T_parent_child[0, 3] for t in found))
    for ms in range(0, 3000, 100):
        clock_s[0] = ms / 1000
        tree.add(StampedTransform("odom", "base_link", (20_000 + ms) * MS, np.eye(4)), False)
        T_map_base = np.eye(4)
        T_map_base[0, 3] = 0.0 if ms < 1000 else 0.3 if ms < 2500 else 0.6
        if ms == 2500:
            out.interrupt()
        out.show((20_000 + ms) * MS, T_map_base)
        out.repeat()
    corrected = np.array(sent[10:25])
    assert np.allclose(np.diff(sent[:10]), 0) and np.allclose(sent[25:], 0.6)
    assert np.diff(corrected).max() < 0.021 and np.allclose(corrected[-1], 0.3)
    assert corrected[5] == pytest.approx(0.12)
    out.close()
