"""Real nodes, a camera carried to an unknown place: a new submap, joined on the way back."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from helpers.node_processes import FRAME, PATIENCE_S, live_system
from helpers.worlds import world_shots

from ace_slam_ros.core.geometry.se3 import (
    R_BODY_OPTICAL_33,
    invert_pose,
    make_pose,
    pose_error,
)
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.conversions import camera_to_msg, image_to_msg
from ace_slam_ros.ros.messages.poses import pose_from_msg, transform_from_msg
from ace_slam_ros.ros.qos import reliable_qos
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.srv import Relocalize

pytestmark = [pytest.mark.live, pytest.mark.render]

tf2 = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed")

STEP_NS = 66_666_667
#: In this room the frames below KNOWN and those around AWAY show different walls; from AWAY back
#: to HOME the camera turns to the wall it knows.
KNOWN, AWAY, HOME = 23, 55, 12
T_BASE_CAM = make_pose(R_BODY_OPTICAL_33, np.zeros(3))


class Walk:
    """A robot in a rendered room whose wheels do not notice when it is carried."""

    def __init__(self, system, items):
        self.system, self.probe = system, system.probe
        self.frames = [item.frame for item in items]
        T_0 = items[0].T_world_cam_44
        self.truth = [T_BASE_CAM @ invert_pose(T_0) @ item.T_world_cam_44
                      @ invert_pose(T_BASE_CAM) for item in items]
        self.T_odom_base, self.at = np.eye(4), 0
        node = self.probe.node
        self.tf = node.create_publisher(tf2.TFMessage, "/tf", reliable_qos(100))
        self.heard, self.mapper = [], {}
        node.create_subscription(
            tf2.TFMessage, "/tf", lambda m: self.heard.extend(
                t for t in m.transforms if t.header.frame_id == "map"), reliable_qos(100))
        node.create_subscription(DiagnosticArray, "/diagnostics", self._note, reliable_qos())

    def _note(self, message):
        for status in message.status:
            if status.name.endswith("/mapper"):
                self.mapper = {v.key: v.value for v in status.values}

    def show(self, number, covered=False, carried=False):
        """Drive to where a frame was taken, and let the tracker see it."""
        if not carried:
            step = invert_pose(self.truth[self.at]) @ self.truth[number]
            self.T_odom_base = self.T_odom_base @ step
        self.at = number
        self.system.stamp_ns += STEP_NS
        stamp_ns, frame = self.system.stamp_ns, self.frames[number]
        self.tf.publish(tf2.TFMessage(transforms=[
            StampedTransform("odom", "base_link", stamp_ns, self.T_odom_base).to_msg()]))
        image, depth_mm = frame.image, np.rint(frame.depth_m * 1000.0).astype(np.uint16)
        if covered:
            image, depth_mm = np.zeros_like(image), np.zeros_like(depth_mm)
        return self.probe.send(stamp_ns, image, depth_mm, frame.camera)

    def show_until(self, number, done):
        """Stand still and show the same view until a status is as it should be."""
        deadline = time.monotonic() + PATIENCE_S
        while not done(status := self.show(number)):
            assert time.monotonic() < deadline, status
        return status

    def of(self, messages, status):
        """Return the message for the frame of a status, None when there is none."""
        return next((m for m in messages if m.header.stamp == status.header.stamp), None)

    def relocalize(self, number):
        frame = self.frames[number]
        depth_mm = np.rint(frame.depth_m * 1000.0).astype(np.uint16)
        return self.probe.call("relocalize", Relocalize.Request(
            image=image_to_msg(frame.image, 5, FRAME), depth=image_to_msg(depth_mm, 5, FRAME),
            camera_info=camera_to_msg(frame.camera, 5, FRAME)))


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Map a place, be carried to another, walk back: what the nodes said on the way."""
    items = world_shots("room", 0, range(0, 112, 2))
    with live_system(
            "/carried", tmp_path_factory.mktemp("carried"), tracker__submap_after_s=0.3,
            ros__camera_extrinsic="0 0 0 -0.5 0.5 -0.5 0.5") as system:
        walk = Walk(system, items)
        known = [walk.show(n) for n in range(KNOWN)]
        walk.show_until(KNOWN - 1, lambda s: s.weights_version > 0)
        covered = [walk.show(KNOWN - 1, covered=True) for _ in range(6)]
        tf_before = len(walk.heard)
        walk.show(AWAY, carried=True)
        away = [walk.show_until(AWAY, lambda s: "submap 1" in s.reason)]
        unknown = walk.relocalize(AWAY)
        away += [walk.show(n) for n in range(AWAY, HOME - 1, -1)]
        home = walk.show_until(HOME, lambda s: s.state == SlamStatus.TRACKING)
        walk.show_until(HOME, lambda s: (
            walk.mapper.get("backlog") == "0"
            and walk.mapper.get("weights_version") == str(s.weights_version)))
        heard = len(walk.heard)
        after = [walk.show(n) for n in (HOME, HOME + 1, HOME + 2)]
        walk.probe.spin_until(lambda: len(walk.heard) > heard + 3, "map -> odom")
        walk.probe.spin_until(lambda: walk.of(walk.probe.odometry, after[-1]), "odometry")
        yield SimpleNamespace(
            walk=walk, probe=walk.probe, known=known, covered=covered, away=away, home=home,
            after=after, unknown=unknown, tf_before=tf_before)
        for name, node in system.nodes.items():
            print(f"--- {name}\n{node.log.read_text()}")


def test_the_new_submap_is_no_place_in_the_map(walked):
    assert {s.state for s in walked.known} == {SlamStatus.TRACKING}
    assert walked.covered[-1].state == SlamStatus.LOST
    beside = [s for s in walked.away if "submap 1: place unknown" in s.reason]
    assert len(beside) > 10 and {s.state for s in beside} == {SlamStatus.LOST}
    for status in beside:
        assert walked.walk.of(walked.probe.poses, status) is None
    frames = {o.header.frame_id for s in beside
              if (o := walked.walk.of(walked.probe.odometry, s)) is not None}
    assert frames == {"map_submap_1"}
    assert not walked.unknown.success, "nobody knows where that is"


def test_on_the_way_back_it_is_joined_to_the_one_map(walked):
    walk = walked.walk
    assert {s.map_id for s in (*walked.known, *walked.away, walked.home, *walked.after)} == {
        walked.known[0].map_id}
    assert walk.mapper["map_id"] == walked.known[0].map_id
    assert {s.state for s in walked.after} == {SlamStatus.TRACKING}
    for number, status in zip((HOME, HOME + 1, HOME + 2), walked.after, strict=True):
        pose = pose_from_msg(walked.probe.pose_of(status).pose.pose)
        assert pose_error(pose, walk.truth[number])[0] < 0.05
    path = walked.probe.spin_until(lambda: walked.probe.keyframe_poses, "keyframe poses")[-1]
    assert np.abs([p.pose.position.x for p in path.poses]).max() < 10.0
    found = walk.relocalize(AWAY)
    assert found.success, found.message
    T_map_base = pose_from_msg(found.pose.pose.pose) @ invert_pose(T_BASE_CAM)
    assert pose_error(T_map_base, walk.truth[AWAY])[0] < 0.05


def test_nothing_jumps_for_those_who_follow_odometry(walked):
    walk = walked.walk
    fastest = max(pose_error(a, b)[0] for a, b in zip(
        walk.truth, walk.truth[1:], strict=False)) / (STEP_NS * 1e-9)
    twists = [np.linalg.norm([t.x, t.y, t.z]) for t in (
        o.twist.twist.linear for o in walked.probe.odometry)]
    assert max(twists) < 1.5 * fastest + 0.3
    stamps = [o.header.stamp for o in walked.probe.odometry]
    assert len(stamps) > KNOWN + 10
    # map -> odom took the way that the wheels did not notice, in one step and rightly
    T_map_odom = transform_from_msg(walk.heard[-1].transform)
    assert walk.heard[-1].child_frame_id == "odom"
    assert pose_error(T_map_odom @ walk.T_odom_base, walk.truth[walk.at])[0] < 0.05
    shifts = [transform_from_msg(t.transform)[0, 3] for t in walk.heard]
    assert np.abs(shifts).max() < 10.0, "nobody may hear where a submap lies beside the map"


def test_tracker_and_mapper_agree(walked):
    walked.walk.show_until(HOME, lambda s: (
        walked.walk.mapper["weights_version"] == str(s.weights_version)))
    assert walked.walk.mapper["keyframes"] != "0"
