"""Which transforms a node gets: tf2_ros's, our own over the topics, or none."""

import sys

import numpy as np
import pytest

from ace_slam_ros.ros.messages import compat
from ace_slam_ros.ros.tf.factory import NoTransforms, make_transforms
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.tf2 import Tf2Transforms
from ace_slam_ros.ros.tf.topics import TopicTransforms

HERE = StampedTransform("map", "base", 10**9, np.eye(4))


def test_the_choice_of_the_process_decides(graph, libraries):
    pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed")
    make, _ = graph
    transforms = make_transforms(make("chooser"))
    assert isinstance(transforms, Tf2Transforms if libraries == "robot" else TopicTransforms)
    assert transforms.available
    transforms.close()


def test_without_the_message_package_there_is_no_tf_and_it_is_told(graph, monkeypatch):
    make, _ = graph
    node, logged = make("poor"), []
    monkeypatch.setattr(node.get_logger(), "warning", logged.append)
    monkeypatch.setenv(compat.OWN_CODE_VARIABLE, "tf2_ros")
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    compat.TF2_ROS.forget()
    transforms = make_transforms(node)
    compat.TF2_ROS.forget()
    assert isinstance(transforms, NoTransforms) and not transforms.available
    transforms.send([HERE])
    assert transforms.lookup("map", "base", 10**9) is None
    assert len(logged) == 1 and "TF is neither read nor sent" in logged[0]


@pytest.mark.parametrize("libraries", ["robot"], indirect=True)
def test_a_lookup_that_breaks_is_unknown_and_told_once(graph, libraries, caplog):
    """Anything but tf2's own exceptions is a fault of the library, not of the tree."""
    make, _ = graph
    transforms = make_transforms(make("broken"))
    transforms._buffer.set_transform(HERE.to_msg(), "test")
    assert transforms.lookup("map", "base", 10**9) is not None
    assert transforms.lookup("map", "nowhere", 10**9) is None
    assert not caplog.records
    for _ in range(3):
        assert transforms.lookup("map", 7, 10**9) is None
    told = [r for r in caplog.records if r.levelname == "WARNING"]
    assert len(told) == 1 and "tf2_ros fails in use" in told[0].getMessage()
    transforms.close()
