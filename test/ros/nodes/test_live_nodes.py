"""The three nodes in three processes over DDS, from the first frame to a clean end."""

import itertools
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.node_processes import FRAME, PATIENCE_S, LiveSystem, live_system
from helpers.wall import CAMERA, Wall, wander
from std_srvs.srv import SetBool, Trigger

from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose, pose_error
from ace_slam_ros.core.maps.manifest import MapManifest
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.messages.conversions import camera_to_msg, image_to_msg
from ace_slam_ros.ros.messages.poses import pose_from_msg
from ace_slam_ros.srv import LoadMap, Relocalize, SaveMap

pytestmark = pytest.mark.live
POSES = wander(72)[:24]
T_BODY_OPTICAL = make_pose(R_BODY_OPTICAL_33, np.zeros(3))


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """One system for the whole module; the tests below run in order and build on each other."""
    folder = tmp_path_factory.mktemp("live")
    with live_system("/first", folder, mapper__autosave_s=0.5) as found:
        yield found
        for name, node in found.nodes.items():
            print(f"--- {name}\n{node.log.read_text()}")


def expected_base(T_world_cam):
    """Pose of the base in the map: the camera's body frame, the first view being the origin."""
    return T_BODY_OPTICAL @ T_world_cam @ np.linalg.inv(T_BODY_OPTICAL)


def found_pose(system, status):
    return pose_from_msg(system.probe.pose_of(status).pose.pose)


def has_pose(system, status):
    """Whether odometry, of which no message is dropped, has one for the frame."""
    return any(o.header.stamp == status.header.stamp for o in system.probe.odometry)


def query(system, T_world_cam, depth=True, **fields):
    image, depth_mm = system.wall.look(T_world_cam)
    if depth:
        fields["depth"] = image_to_msg(depth_mm, 5, FRAME)
    return Relocalize.Request(image=image_to_msg(image, 5, FRAME), **fields)


def test_tracks_and_maps(system):
    states, versions, raws = [], [], []
    deadline = time.monotonic() + PATIENCE_S  # the tracker may be through before the mapper is
    views = itertools.chain(POSES, itertools.repeat(POSES[-1]))
    while len(states) < len(POSES) or (not raws and time.monotonic() < deadline):
        T_world_cam = next(views)
        status = system.show(T_world_cam)
        states.append(status.state)
        versions.append(status.weights_version)
        if status.raw_valid:  # the frame budget leaves some frames to the refinement alone
            raws.append((pose_from_msg(status.raw_pose), T_world_cam))
    assert set(states) == {SlamStatus.TRACKING}
    assert versions[-1] > versions[0] and versions == sorted(versions)
    assert len(raws) >= (len(POSES) - 2) // 15 and status.inlier_ratio > 0.3 and status.map_id
    assert (status.tracked, status.lost, status.rejected) == (len(states), 0, 0)

    system.probe.spin_until(lambda: len(system.probe.odometry) >= len(POSES), "odometry")
    pose = system.probe.pose_of(status)
    assert pose.header.frame_id == "map"
    meters, radians = pose_error(pose_from_msg(pose.pose.pose), expected_base(POSES[-1]))
    assert meters < 0.03 and radians < 0.03
    # status.raw_pose is of the camera: base and camera differ by the optical rotation alone
    raw, T_world_cam = raws[-1]
    assert pose_error(raw, expected_base(T_world_cam) @ T_BODY_OPTICAL)[1] < 0.05

    odometry = system.probe.odometry[-1]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("map", "base_link")
    for covariance in (pose.pose.covariance, odometry.twist.covariance):
        assert (np.diag(np.reshape(covariance, (6, 6))) > 0).all()
    step = np.linalg.inv(expected_base(POSES[-2])) @ expected_base(POSES[-1])
    twist = odometry.twist.twist.linear
    assert np.allclose([twist.x, twist.y, twist.z], step[:3, 3] / 0.033, atol=0.5)


def test_map_is_shown_to_late_listeners(system):
    system.probe.spin_until(lambda: system.probe.points and system.probe.keyframe_poses, "the map")
    assert system.probe.points[-1].width > 500
    assert system.probe.keyframe_poses[-1].poses


def test_relocalizes_from_image_and_newest_frame(system):
    for request in (query(system, POSES[9]), query(system, POSES[9], depth=False)):
        # without the caller's camera_info the camera's last one counts
        answer = system.relocalize(POSES[-1], request)
        deadline = time.monotonic() + PATIENCE_S  # the mapper may still be learning the last view
        while answer.reason == Relocalize.Response.LOW_CONFIDENCE and time.monotonic() < deadline:
            answer = system.probe.call("relocalize", request)
        assert answer.success and answer.reason == Relocalize.Response.OK, answer.message
        T_map_cam = pose_from_msg(answer.pose.pose.pose)
        meters, radians = pose_error(T_map_cam, T_BODY_OPTICAL @ POSES[9])
        assert meters < 0.05 and radians < 0.05
        assert answer.weights_version > 0 and answer.latency_ms > 0
        assert answer.pose.header.frame_id == "map"
    newest = system.relocalize(POSES[-1])
    assert newest.success, newest.message
    T_map_cam = pose_from_msg(newest.pose.pose.pose)
    assert pose_error(T_map_cam, T_BODY_OPTICAL @ POSES[-1])[0] < 0.05


def test_relocalize_refuses_without_throwing(system):
    BAD, LOW = Relocalize.Response.BAD_REQUEST, Relocalize.Response.LOW_CONFIDENCE
    image, depth_mm = system.wall.look(POSES[3])
    truncated = image_to_msg(image, 5, FRAME)
    truncated.data = truncated.data[:1000]
    odd = image_to_msg(image, 5, FRAME)
    odd.encoding = "jabber8"
    zeros = camera_to_msg(CAMERA, 5, FRAME)
    zeros.k = np.zeros(9)
    cases = [
        (Relocalize.Request(image=truncated), BAD, "truncated"),
        (Relocalize.Request(image=odd), BAD, "jabber8"),
        (query(system, POSES[3], camera_info=zeros), BAD, "calibrat"),
        (Relocalize.Request(image=image_to_msg(image[:99], 5, FRAME)), BAD, "320x99"),
        (Relocalize.Request(image=image_to_msg(image, 5, FRAME),
                            depth=image_to_msg(depth_mm[:99], 5, FRAME)), BAD, "99"),
        (Relocalize.Request(image=image_to_msg(image, 5, FRAME),
                            depth=image_to_msg(image, 5, FRAME)), BAD, "depth encoding"),
        (query(system, POSES[3], min_confidence=float("nan")), BAD, "min_confidence"),
        (query(system, POSES[3], min_confidence=1.0), LOW, "confidence"),
    ]
    for request, reason, words in cases:
        answer = system.probe.call("relocalize", request)
        assert not answer.success
        assert answer.reason == reason, answer.message
        assert words in answer.message


def test_many_callers_all_get_an_answer(system):
    client = system.probe.clients["relocalize"]
    futures = [client.call_async(query(system, POSES[i])) for i in range(10)]
    system.probe.spin_until(lambda: all(f.done() for f in futures), "ten answers")
    assert all(f.result().success for f in futures)


def test_bad_frames_are_rejected_and_counted(system):
    image, depth_mm = system.wall.look(POSES[0])
    before = system.show(POSES[0])
    bad = [(image, depth_mm[:120]), (image[:, :200], depth_mm), (image, image[..., 0])]
    for i, (color, depth) in enumerate(bad, 1):
        system.stamp_ns += 33_000_000
        status = system.probe.send(system.stamp_ns, color, depth)
        assert status.rejected == before.rejected + i
        assert "rejected" in status.reason
    assert system.show(POSES[0]).state == SlamStatus.TRACKING


def test_a_depth_image_that_measured_nothing_does_not_end_tracking(system):
    before = system.show(POSES[0])
    for pose, nothing in ((POSES[0], np.nan), (POSES[1], 0.0)):
        image, depth_mm = system.wall.look(pose)
        system.stamp_ns += 33_000_000
        status = system.probe.send(
            system.stamp_ns, image, np.full(depth_mm.shape, nothing, np.float32))
        assert (status.state, status.rejected) == (SlamStatus.TRACKING, before.rejected)
        meters, _ = pose_error(found_pose(system, status), expected_base(pose))
        assert meters < 0.05


def test_pause(system):
    assert system.probe.call("pause", SetBool.Request(data=True)).success
    paused = system.show(POSES[1])
    assert paused.state == SlamStatus.PAUSED
    assert system.probe.call("pause", SetBool.Request(data=False)).success
    after = system.show(POSES[1])
    assert after.state == SlamStatus.TRACKING and after.map_id == paused.map_id
    system.probe.spin_until(lambda: has_pose(system, after), "odometry")
    assert not has_pose(system, paused)


def test_lost_says_nothing_but_status(system):
    dark = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    _, depth_mm = system.wall.look(POSES[0])
    for _ in range(12):  # more than tracker.lost_after_s
        system.stamp_ns += 33_000_000
        status = system.probe.send(system.stamp_ns, dark, depth_mm)
    assert status.state == SlamStatus.LOST and status.reason
    system.stamp_ns += 33_000_000
    lost = system.probe.send(system.stamp_ns, dark, depth_mm)
    assert lost.state == SlamStatus.LOST
    found = [system.show(T) for T in POSES[4:8]]
    assert found[-1].state == SlamStatus.TRACKING and found[-1].map_id == status.map_id
    system.probe.spin_until(lambda: has_pose(system, found[-1]), "odometry")
    assert not has_pose(system, lost)


def test_a_bag_in_a_loop_is_tracked_each_time(system):
    before = system.show(POSES[8])
    for number in range(3):
        system.stamp_ns = 1_000_000_007 + number  # unique, so that answers can be told apart
        states = []
        for T_world_cam in POSES[8:14]:
            system.stamp_ns += 100_000_000  # so that a pass lasts longer than late frames may be
            states.append(system.show(T_world_cam))
        assert [s.state for s in states][-1] == SlamStatus.TRACKING
        assert states[-1].map_id == before.map_id
        meters, _ = pose_error(found_pose(system, states[-1]), expected_base(POSES[13]))
        assert meters < 0.05


def test_two_namespaces_do_not_disturb_each_other(system, tmp_path):
    with live_system(  # /tf is one for all robots, so that each needs frames of its own
            "/beside", tmp_path, ros__map_frame="beside/map", ros__odom_frame="beside/odom",
            ros__base_frame="beside/base_link",
            ros__camera_extrinsic="0 0 0 -0.5 0.5 -0.5 0.5") as other:
        other.wall = Wall(seed=7)
        assert other.segment != system.segment
        first = [s.show(T) for T in POSES[:6] for s in (system, other)]
        mine, theirs = first[0::2], first[1::2]
        assert {s.state for s in first} == {SlamStatus.TRACKING}
        assert {s.map_id for s in mine}.isdisjoint({s.map_id for s in theirs})
        assert theirs[0].frames == 1 and theirs[-1].frames == 6
        deadline = time.monotonic() + PATIENCE_S
        while not theirs[-1].weights_version and time.monotonic() < deadline:
            theirs.append(other.show(POSES[5]))
        assert other.relocalize(POSES[5], query(other, POSES[3])).success
        strange = system.probe.call("relocalize", query(other, POSES[3]))
        assert not strange.success, "that place is in the other map"
        for node in other.nodes.values():
            assert node.end() == 0
        assert not other.segment.exists() and system.segment.exists()
    assert system.show(POSES[6]).map_id == mine[0].map_id


def test_relocalizer_killed_and_restarted_answers(system):
    request = query(system, POSES[5], camera_info=camera_to_msg(CAMERA, 5, FRAME))
    before = system.probe.call("relocalize", request)
    system.nodes["relocalizer"].process.kill()
    system.nodes["relocalizer"].process.wait()
    assert system.show(POSES[7]).state == SlamStatus.TRACKING
    system.nodes["relocalizer"] = system.start("relocalizer")
    system.nodes["relocalizer"].wait_for(", segment ")
    after = system.probe.call("relocalize", request)
    assert before.success and after.success, after.message
    assert after.weights_version >= before.weights_version


def test_save_reset_load(system):
    folder = system.folder / "map"
    saved = system.probe.call("save_map", SaveMap.Request(path=str(folder)))
    assert saved.success and saved.keyframes > 2, saved.message
    assert (folder / "manifest.json").is_file() and saved.map_bytes > 1000
    old = system.show(POSES[0])

    assert system.probe.call("reset", Trigger.Request()).success
    new = system.show(POSES[6])
    assert new.map_id != old.map_id and new.state == SlamStatus.TRACKING
    meters, _ = pose_error(found_pose(system, new), np.eye(4))
    assert meters < 0.01, "a new map starts at the origin"
    status = system.show(POSES[6])
    deadline = time.monotonic() + PATIENCE_S
    while status.weights_version <= new.weights_version and time.monotonic() < deadline:
        status = system.show(POSES[6])
    assert status.map_id == new.map_id and status.weights_version > old.weights_version

    loaded = system.probe.call("load_map", LoadMap.Request(path=str(folder)))
    assert loaded.success and loaded.map_id == old.map_id, loaded.message
    while status.map_id != old.map_id and time.monotonic() < deadline:
        status = system.show(POSES[6])
    assert status.map_id == old.map_id
    while status.state != SlamStatus.TRACKING and time.monotonic() < deadline:
        status = system.show(POSES[6])
    meters, _ = pose_error(found_pose(system, status), expected_base(POSES[6]))
    assert meters < 0.05, status


def test_map_services_explain_refusals(system):
    answer = system.probe.call("load_map", LoadMap.Request(path=str(system.folder / "nowhere")))
    assert not answer.success and "no map at" in answer.message
    answer = system.probe.call("save_map", SaveMap.Request())
    assert not answer.success and "ros.map_dir" in answer.message


def test_mapper_killed_and_restarted_resumes(system):
    before = system.show(POSES[5])
    session = system.folder / "state" / "ace_slam_ros" / system.segment.name / "session"
    manifest = session / "manifest.json"
    system.probe.spin_until(
        lambda: manifest.is_file() and before.map_id in manifest.read_text(),
        "the session of the running map, which was loaded")
    system.nodes["mapper"].process.kill()
    system.nodes["mapper"].process.wait()
    assert system.show(POSES[6]).state == SlamStatus.TRACKING
    system.nodes["mapper"] = system.start(
        "mapper", ros__map_dir=system.folder / "on_exit", ros__save_on_exit=True)
    system.nodes["mapper"].wait_for("resumed map")
    status = system.show(POSES[7])
    assert status.weights_version > before.weights_version
    assert (status.state, status.map_id) == (SlamStatus.TRACKING, before.map_id)
    # The tracker's last fifty keyframes were replayed, some of them of the map between; the
    # resumed map must have kept all of its own.
    saved = system.probe.call("save_map", SaveMap.Request(path=str(system.folder / "resumed")))
    kept = MapManifest.from_json((system.folder / "map" / "manifest.json").read_text())
    assert saved.success and saved.keyframes >= kept.keyframes
    resumed = MapManifest.from_json((system.folder / "resumed" / "manifest.json").read_text())
    assert resumed.map_id == before.map_id


def test_tracker_killed_and_restarted_finds_the_map(system):
    before = system.show(POSES[7])
    system.nodes["tracker"].process.kill()
    system.nodes["tracker"].process.wait()
    system.nodes["tracker"] = system.start("tracker")
    system.nodes["tracker"].wait_for(", segment ")
    status = [system.show(T) for T in POSES[8:11]][-1]
    assert (status.state, status.map_id) == (SlamStatus.TRACKING, before.map_id)
    meters, _ = pose_error(found_pose(system, status), expected_base(POSES[10]))
    assert meters < 0.05


def test_signals_end_cleanly(system):
    tracker, mapper, relocalizer = (
        system.nodes[n] for n in ("tracker", "mapper", "relocalizer"))
    tracker.process.send_signal(signal.SIGINT)
    assert tracker.end(signal.SIGINT) == 0  # once from the terminal, once from the launcher
    assert relocalizer.end(signal.SIGTERM) == 0
    assert system.segment.exists()
    assert mapper.end(signal.SIGTERM) == 0
    assert not system.segment.exists()
    assert MapManifest.from_json((system.folder / "on_exit" / "manifest.json").read_text())
    assert not (system.folder / "state" / "ace_slam_ros" / system.segment.name
                / "session").exists()
    for node in (tracker, mapper, relocalizer):
        assert "Traceback" not in node.log.read_text()


def test_localization_mode_and_parent_death(system, tmp_path):
    """The map saved above serves a mapper that never writes; its parent's death ends it."""
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    written = {p: p.stat().st_mtime_ns for p in (system.folder / "map").iterdir()}
    second = LiveSystem.__new__(LiveSystem)
    second.namespace, second.folder, second.parameters = "/first", tmp_path, {}
    mapper = second.start(
        "mapper", ros__mode="localization", ros__map_dir=system.folder / "map",
        ros__parent_pid=parent.pid, ros__save_on_exit=True)
    try:
        mapper.wait_for("loaded")
        system.probe.spin_until(system.segment.exists, "the segment")
        refused = system.probe.call("save_map", SaveMap.Request(path=str(tmp_path / "other")))
        assert not refused.success and "localization" in refused.message
        parent.communicate(b"\n")
        assert mapper.process.wait(PATIENCE_S) == 0
    finally:
        mapper.process.kill()
        parent.kill()
    assert not system.segment.exists()
    assert not (tmp_path / "other").exists() and not (tmp_path / "state").exists()
    assert written == {p: p.stat().st_mtime_ns for p in (system.folder / "map").iterdir()}


def test_bad_parameters_are_one_line(tmp_path):
    second = LiveSystem.__new__(LiveSystem)
    second.namespace, second.folder, second.parameters = "/second", tmp_path, {}
    for key, value, words in (
        ("tracker__refien", "true", "did you mean 'tracker.refine'"),
        ("ros__slop_s", "7.0", "ros.slop_s=7.0 is outside"),
        ("sensor__mask", "none.png", "sensor.mask=none.png is no image"),
    ):
        node = second.start("tracker", **{key: value})
        assert node.process.wait(PATIENCE_S) == 2
        text = node.log.read_text()
        assert words in text and "Traceback" not in text
    second.namespace = "not absolute"
    node = second.start("tracker")
    assert node.process.wait(PATIENCE_S) == 2
    assert "rclpy cannot start" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()
