"""A managed node answers whatever transition it is asked for."""

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor

from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.nodes.managed import ManagedNode


class Idle(ManagedNode):
    """A node whose hooks do what a test says."""

    fault = None

    def _configure(self):
        if self.fault is not None:
            raise self.fault

    _activate = _deactivate = _cleanup = lambda self: None

    def summary(self):
        return "idle"

    def log_exception(self, where):
        pass


@pytest.fixture
def change():
    """An idle node, and a function that orders a transition of it."""
    rclpy.init()
    node = Idle("idle")
    client = node.create_client(ChangeState, "idle/change_state")
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def order(number=0, label=""):
        future = client.call_async(ChangeState.Request(
            transition=Transition(id=number, label=label)))
        executor.spin_until_future_complete(future, 10.0)
        assert future.done(), "no answer"
        return future.result().success

    yield node, order
    executor.shutdown()
    rclpy.try_shutdown()


def test_a_transition_that_is_none_is_answered(change):
    """rclpy raised, and who asked waited for ever."""
    node, order = change
    assert not order(Transition.TRANSITION_ACTIVATE)
    assert not order(Transition.TRANSITION_CLEANUP) and not order(77) and not order(label="swim")
    assert order(Transition.TRANSITION_CONFIGURE) and order(label="activate")
    assert not order(Transition.TRANSITION_CONFIGURE) and node.state_label == "active"
    assert order(Transition.TRANSITION_DEACTIVATE) and order(Transition.TRANSITION_CLEANUP)


@pytest.mark.parametrize("fault", [ConfigError("no map"), ZeroDivisionError()])
def test_a_transition_that_fails_is_answered(change, fault):
    node, order = change
    node.fault = fault
    assert not order(Transition.TRANSITION_CONFIGURE) and node.state_label == "unconfigured"
    node.fault = None
    assert order(Transition.TRANSITION_CONFIGURE) and node.state_label == "inactive"
