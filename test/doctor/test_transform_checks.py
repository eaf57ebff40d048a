"""What the doctor says about a TF tree."""

from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.doctor.findings import GOOD, PROBLEM
from ace_slam_ros.doctor.transform_checks import ParentsHeard, transform_findings
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.tree import TransformTree

SECOND = 10**9
COLOR = SimpleNamespace(frames={"cam": 9}, stamps_ns=[100 * SECOND])


@pytest.mark.parametrize(("newest_s", "level", "said"), [
    (99.9, GOOD, "0.10 s behind"), (90.0, PROBLEM, "10.00 s behind"),
    (1000.0, PROBLEM, "900.00 s ahead")])
def test_the_times_of_odometry_are_compared_with_the_images(newest_s, level, said):
    tree = TransformTree()
    tree.add(StampedTransform("odom", "base_link", int(newest_s * SECOND), np.eye(4)), False)
    found = {f.check: f for f in transform_findings(NodeConfig(), COLOR, tree, ParentsHeard())}
    assert found["odometry"].level == level and said in found["odometry"].text


def test_two_parents_are_named():
    parents = ParentsHeard()
    for parent in ("map", "odom"):
        parents.heard(StampedTransform(parent, "base_link", 0, np.eye(4)).to_msg(), False)
    found = transform_findings(NodeConfig(), COLOR, TransformTree(), parents)
    assert found[0].level == PROBLEM and "2 parents: map, odom" in found[0].text
