"""Which transforms a node gets: tf2_ros's, our own over the topics, or none."""

import sys
import time

import numpy as np
import pytest

from ace_slam_ros.ros.messages import compat
from ace_slam_ros.ros.qos import latched_qos
from ace_slam_ros.ros.tf.factory import NoTransforms, make_transforms, others_publish_tf
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
def test_a_tf2_ros_of_another_tf2_msgs_is_stood_in_for(graph, libraries, caplog, monkeypatch):
    """It imports and interpolates, but cannot subscribe, or cannot send."""
    make, executor = graph
    tf2 = compat.TF2_ROS.module()

    def broken(*args, **kwargs):
        raise AttributeError("type object 'type' has no attribute '_TYPE_SUPPORT'")

    transforms = make_transforms(make("sender"))
    monkeypatch.setattr(transforms._broadcaster, "sendTransform", broken)
    heard = TopicTransforms(make("listener"))
    end = time.monotonic() + 20.0
    while heard.lookup("map", "base", 10**9) is None and time.monotonic() < end:
        transforms.send([HERE])
        executor.spin_once(timeout_sec=0.05)
    assert heard.lookup("map", "base", 10**9) is not None, "our own code sends"
    transforms.close()
    monkeypatch.setattr(tf2, "TransformListener", broken)
    for name in ("one", "two"):
        transforms = make_transforms(make(name))
        assert isinstance(transforms, TopicTransforms)
        transforms.close()
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(told) == 2 and "tf2_ros is broken: AttributeError" in told[1]
    assert "tf2_ros (broken" in compat.libraries_in_use()


@pytest.mark.parametrize("error", [AttributeError("_TYPE_SUPPORT"), RuntimeError("no type")])
def test_broken_tf_messages_are_told_and_poses_go_on(graph, monkeypatch, error):
    make, _ = graph
    node, logged = make("poor"), []
    monkeypatch.setattr(node.get_logger(), "warning", logged.append)
    monkeypatch.setenv(compat.OWN_CODE_VARIABLE, "tf2_ros")
    compat.TF2_ROS.forget()

    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(node, "create_publisher", refuse)
    assert isinstance(make_transforms(node), NoTransforms)
    compat.TF2_ROS.forget()
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


def test_who_broadcasts_is_looked_for_where_tf_was_remapped_to(graph):
    """nav2 has the transforms of a robot in its namespace."""
    messages = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed")
    make, _ = graph
    node = make("tracker", ["--ros-args", "-r", "/tf_static:=tf_static", "-r", "/tf:=tf"])
    transforms = make_transforms(node)
    assert not others_publish_tf(node, transforms)
    make("state_publisher").create_publisher(
        messages.TFMessage, "/inputs/tf_static", latched_qos())
    end = time.monotonic() + 20.0
    while not others_publish_tf(node, transforms) and time.monotonic() < end:
        time.sleep(0.02)
    assert others_publish_tf(node, transforms)
    transforms.close()
