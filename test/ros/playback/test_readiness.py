"""A recording begins when every node is active, not when somebody listens."""

import logging
import threading

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode

from ace_slam_ros.ros.playback.readiness import NotReadyError, wait_until_active

pytestmark = pytest.mark.live


@pytest.fixture
def nodes():
    """Two managed nodes that are spun in a thread, and one that asks."""
    rclpy.init()
    managed = [LifecycleNode(name, namespace="ready") for name in ("tracker", "mapper")]
    executor, ended = SingleThreadedExecutor(), threading.Event()
    for node in managed:
        executor.add_node(node)

    def spin():
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=spin)
    thread.start()
    asker = rclpy.create_node("player", namespace="ready")
    yield asker, managed
    ended.set()
    thread.join()
    executor.shutdown()
    for node in (*managed, asker):
        node.destroy_node()
    rclpy.try_shutdown()


def test_waits_for_all_and_says_for_whom(nodes, caplog):
    asker, (tracker, mapper) = nodes
    caplog.set_level(logging.INFO)
    tracker.trigger_configure()
    tracker.trigger_activate()
    with pytest.raises(NotReadyError, match=r"within 3 s: mapper \(unconfigured\), relocalizer "
                                            r"\(not started\); start or activate"):
        wait_until_active(asker, ["tracker", "mapper", "relocalizer"], 3.0, threading.Event())
    assert "waiting for mapper (unconfigured), relocalizer (not started)" in caplog.text

    def activate():
        mapper.trigger_configure()
        mapper.trigger_activate()

    later = threading.Timer(0.5, activate)
    later.start()
    wait_until_active(asker, ["tracker", "mapper"], 60.0, threading.Event())
    assert later.finished.is_set()
    stopped = threading.Event()
    stopped.set()
    wait_until_active(asker, ["nobody"], 60.0, stopped)
