"""The relocalizer's image subscriptions: there while somebody asks for the newest frame."""

import time

import pytest
from helpers.node_processes import live_system
from helpers.wall import wander

from ace_slam_ros.ros.inputs.on_demand import OnDemandImages
from ace_slam_ros.ros.messages.conversions import image_to_msg
from ace_slam_ros.srv import Relocalize

pytestmark = pytest.mark.live
TOPICS = ("rgb/image", "depth/image", "rgb/camera_info")
POSES = wander(72)[:8]


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """Three nodes with a map of a few frames; the tracker alone listens to the camera."""
    with live_system("/on_demand", tmp_path_factory.mktemp("live")) as found:
        for T_world_cam in POSES:
            status = found.show(T_world_cam)
        while status.weights_version == 0:
            status = found.show(POSES[-1])
        yield found


def subscribers(system):
    """Return how many listen to each image topic, as the camera sees it."""
    return [system.probe.node.count_subscribers(f"/on_demand/{name}") for name in TOPICS]


def test_nobody_listens_before_during_and_after_but_who_must(system):
    assert subscribers(system) == [1, 1, 1]
    client, pair = system.probe.clients["relocalize"], system.wall.look(POSES[-1])
    futures = [client.call_async(Relocalize.Request()) for _ in range(10)]
    system.probe.spin_until(lambda: subscribers(system) == [2, 2, 2], "the subscriptions")
    deadline = time.monotonic() + OnDemandImages.WAIT_S
    while not all(f.done() for f in futures) and time.monotonic() < deadline:
        system.stamp_ns += 33_000_000
        system.probe.publish(system.stamp_ns, *pair)
        system.probe.executor.spin_once(timeout_sec=0.05)
    answers = [f.result() for f in futures]
    assert all(a.success for a in answers), [a.message for a in answers]
    stamps = {(a.pose.header.stamp.sec, a.pose.header.stamp.nanosec) for a in answers}
    assert len(stamps) < len(answers) / 2, "one pair serves all who wait for it"
    answered_s = time.monotonic()
    system.probe.spin_until(lambda: subscribers(system) == [1, 1, 1], "the end of them")
    assert time.monotonic() - answered_s > OnDemandImages.IDLE_S - 2.0, "one may ask again soon"


def test_a_request_with_image_and_info_needs_no_camera(system):
    system.relocalize(POSES[-1])  # so that the camera is known
    system.probe.spin_until(lambda: subscribers(system) == [1, 1, 1], "the end of them")
    image, depth_mm = system.wall.look(POSES[3])
    answer = system.probe.call("relocalize", Relocalize.Request(
        image=image_to_msg(image, 5, ""), depth=image_to_msg(depth_mm, 5, "")))
    assert answer.success, answer.message
    assert "the one that the camera sent last was used" in answer.message
    assert 0.0 < answer.probability <= 1.0 and answer.views >= 1
    assert subscribers(system) == [1, 1, 1]


def test_a_silent_camera_is_named(system):
    began_s = time.monotonic()
    answer = system.probe.call("relocalize", Relocalize.Request())
    assert answer.reason == Relocalize.Response.NO_IMAGE and not answer.success
    assert OnDemandImages.WAIT_S <= time.monotonic() - began_s < OnDemandImages.WAIT_S + 2.0
    assert "no image pair within 5 s" in answer.message
    assert "/on_demand/rgb/image" in answer.message, answer.message
