"""Real nodes that are lied to, and told things in any order: they end in a working system."""

import os
import random
import time
from xml.etree import ElementTree

import pytest
from helpers.node_processes import live_system
from helpers.paths import ROOT
from helpers.wall import wander
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import SetBool, Trigger

from ace_slam_ros.core.maps.map_folder import load_map
from ace_slam_ros.msg import Keyframe as KeyframeMsg
from ace_slam_ros.msg import SlamStatus
from ace_slam_ros.ros.qos import keyframe_qos, service_qos
from ace_slam_ros.ros.weights.announcement import announcement_path
from ace_slam_ros.srv import LoadMap, Relocalize, SaveMap

pytestmark = pytest.mark.live
POSES = wander(72)[:24]
#: Orders given in a row; ACE_SLAM_ORDERS=2000 tries long ones.
ORDERS = int(os.environ.get("ACE_SLAM_ORDERS", "30"))


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """One system for the whole module; the tests below run in order and build on each other."""
    folder = tmp_path_factory.mktemp("trust")
    with live_system("/trust", folder, mapper__autosave_s=0.5, ros__map_root=folder) as found:
        for name in ("tracker", "mapper"):
            found.probe.clients[f"{name}/change_state"] = found.probe.node.create_client(
                ChangeState, f"{name}/change_state")
        yield found
        for name, node in found.nodes.items():
            print(f"--- {name}\n{node.log.read_text()}")


def walk(system, count=12):
    return [system.show(T) for T in POSES[:count]][-1]


def save(system, name):
    """Save; a mapper that was told of a new map before it has a keyframe of it has none."""
    return system.probe.call("save_map", SaveMap.Request(path=str(system.folder / name)))


def test_a_forged_keyframe_changes_nothing(system):
    status = walk(system)
    deadline = time.monotonic() + 30.0
    while not (saved := save(system, "map")).success or saved.keyframes < 3:
        assert time.monotonic() < deadline, saved.message
        status = walk(system)
    publisher = system.probe.node.create_publisher(KeyframeMsg, "keyframe", keyframe_qos())
    real = []
    system.probe.node.create_subscription(KeyframeMsg, "keyframe", real.append, keyframe_qos())
    system.probe.spin_until(
        lambda: real and publisher.get_subscription_count() >= 2, "the keyframes")
    for forged_id in ("", "forged\n[ERROR] a line"):
        real[0].map_id = forged_id
        publisher.publish(real[0])
    system.nodes["mapper"].wait_for("was never in map ''")
    again = save(system, "map")
    assert again.success and again.keyframes >= saved.keyframes
    assert load_map(system.folder / "map").manifest.map_id == status.map_id
    assert system.show(POSES[11]).map_id == status.map_id


def test_maps_stay_below_their_root(system):
    (system.folder / "out").symlink_to("/tmp")
    for path in ("/tmp/elsewhere", f"{system.folder}/../up", f"{system.folder}/out/elsewhere",
                 "/", "~nobody-of-that-name/map"):
        for name, kind in (("save_map", SaveMap), ("load_map", LoadMap)):
            answer = system.probe.call(name, kind.Request(path=path))
            assert not answer.success
            assert "ros.map_root" in answer.message or "give the path" in answer.message


def test_a_smaller_new_map_keeps_the_larger_one(system):
    before = load_map(system.folder / "map").manifest
    assert system.probe.call("reset", Trigger.Request()).success
    new = system.show(POSES[0])
    assert new.map_id != before.map_id
    deadline = time.monotonic() + 30.0
    while True:
        saved = save(system, "map")
        if load_map(system.folder / "map").manifest.map_id == new.map_id:
            break
        assert time.monotonic() < deadline, saved.message
        system.show(POSES[0])
    kept = system.folder / "map.backup-1"
    assert saved.keyframes < before.keyframes and str(kept) in saved.message
    assert load_map(kept).manifest.map_id == before.map_id


def test_the_map_just_left_can_be_loaded_at_once(system):
    loaded = system.probe.call(
        "load_map", LoadMap.Request(path=str(system.folder / "map.backup-1")))
    assert loaded.success, loaded.message
    tracks_in(system, loaded.map_id)
    for pause_s in (0.0, 0.3):
        assert system.probe.call("reset", Trigger.Request()).success
        system.show(POSES[3])
        time.sleep(pause_s)
        assert system.probe.call(
            "load_map", LoadMap.Request(path=str(system.folder / "map.backup-1"))).success
        tracks_in(system, loaded.map_id)


def tracks_in(system, map_id=None, patience_s=20.0):
    """Wait until frames have a pose, in a map that the mapper learns."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        status = walk(system, 6)
        in_map = map_id in (None, status.map_id)
        if status.state == SlamStatus.TRACKING and status.weights_version and in_map:
            return status
    raise AssertionError(f"{status.state} in {status.map_id}: {status.reason}")


def test_a_segment_that_somebody_damages_comes_back(system):
    """Cut off, it ended the mapper; a pipe hung the tracker, a folder made it reject frames."""
    path = system.segment
    for damage in (lambda: os.truncate(path, 0), lambda: (path.unlink(), os.mkfifo(path)),
                   lambda: (path.unlink(), path.mkdir())):
        before = system.show(POSES[2])
        damage()
        deadline = time.monotonic() + 30.0
        status = before
        while status.weights_version <= before.weights_version:
            assert time.monotonic() < deadline, "no new weights"
            status = system.show(POSES[2])
            assert (status.state, status.rejected) == (SlamStatus.TRACKING, before.rejected)
        assert path.is_file() and system.nodes["mapper"].process.poll() is None


def test_two_hundred_calls_at_once_are_all_answered(system):
    """ROS keeps ten calls and ten answers by default: 174 were never answered."""
    client = system.probe.node.create_client(Relocalize, "relocalize", qos_profile=service_qos())
    system.probe.spin_until(client.service_is_ready, "relocalize")
    answers = [client.call_async(Relocalize.Request()) for _ in range(200)]
    while not all(a.done() for a in answers):
        system.stamp_ns += 33_000_000
        system.probe.publish(system.stamp_ns, *system.wall.look(POSES[2]))
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            system.probe.executor.spin_once(timeout_sec=0.05)
    found = [a.result() for a in answers]
    busy = [a for a in found if a.reason == Relocalize.Response.BUSY]
    assert 100 < len(busy) < 200 and "relocalizer.queue" in busy[0].message
    assert all(a.success for a in found if a.reason != Relocalize.Response.BUSY)


def test_the_policy_allows_what_the_nodes_do(system):
    """Compare the SROS2 policy with the graph."""
    root = ElementTree.parse(ROOT / "config" / "sros2_policy.xml").getroot()
    asker = system.probe.node
    for name in system.nodes:
        profile = root.find(f".//profile[@node='{name}']")
        for kind, right, found in (
            ("topic", "publish", asker.get_publisher_names_and_types_by_node),
            ("topic", "subscribe", asker.get_subscriber_names_and_types_by_node),
            ("service", "reply", asker.get_service_names_and_types_by_node),
        ):
            allowed = {n.text.replace("~/", f"{name}/") for n in profile.findall(
                f"{kind}s[@{right}='ALLOW']/{kind}")}
            used = {n.removeprefix("/trust/") for n, _ in found(name, "/trust")}
            assert used and used <= allowed, used - allowed


def test_session_files_are_for_nobody_else(system):
    folder = system.folder / "state" / "ace_slam_ros" / system.segment.name
    system.probe.spin_until((folder / "session" / "manifest.json").exists, "the session")
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    for path in (system.segment, announcement_path(system.segment.name)):
        assert path.stat().st_mode & 0o777 == 0o600


def give_order(system, order, rng):
    """Give one order, which may be refused but must be answered."""
    call = system.probe.call
    if order == "reset":
        return call("reset", Trigger.Request())
    if order == "load":
        name = rng.choice(["map", "map.backup-1"])
        return call("load_map", LoadMap.Request(path=str(system.folder / name)))
    if order == "save":
        return save(system, "scratch")
    if order in ("pause", "run"):
        return call("pause", SetBool.Request(data=order == "pause"))
    if order == "frame":
        return system.show(rng.choice(POSES))
    node, number = order
    return call(f"{node}/change_state", ChangeState.Request(transition=Transition(id=number)))


class Lifecycles:
    """In which state each node is, and what may be asked of it there."""

    STEPS = {
        "active": {Transition.TRANSITION_DEACTIVATE: "inactive"},
        "inactive": {Transition.TRANSITION_ACTIVATE: "active",
                     Transition.TRANSITION_CLEANUP: "unconfigured"},
        "unconfigured": {Transition.TRANSITION_CONFIGURE: "inactive"},
    }

    def __init__(self):
        self.states = {"tracker": "active", "mapper": "active"}

    def orders(self):
        """All that may be ordered now: services are there once a node is configured."""
        found = [(node, number) for node, state in self.states.items()
                 for number in self.STEPS[state]]
        if self.states["tracker"] != "unconfigured":
            found += ["reset", "pause", "run"]
        if self.states["mapper"] != "unconfigured":
            found += ["load", "save"]
        return found + (["frame", "frame"] if self.states["tracker"] == "active" else [])

    def note(self, order):
        if isinstance(order, tuple):
            self.states[order[0]] = self.STEPS[self.states[order[0]]][order[1]]

    def way_up(self):
        """Orders that make every node active."""
        for node in self.states:
            while self.states[node] != "active":
                order = node, next(iter(self.STEPS[self.states[node]]))
                self.note(order)
                yield order


def test_any_orders_end_in_a_working_system(system):
    """A seeded walk through all that clients may order, in whatever states the nodes are."""
    rng = random.Random(int(os.environ.get("ACE_SLAM_SEED", "5")))
    nodes, given = Lifecycles(), []
    try:
        for number in range(1, ORDERS + 1):
            given.append(rng.choice(nodes.orders()))
            nodes.note(given[-1])
            give_order(system, given[-1], rng)
            if number % 30 and number < ORDERS:
                continue
            for order in (*nodes.way_up(), "run"):
                given.append(order)
                give_order(system, order, rng)
            tracks_in(system)
            assert save(system, "scratch").success
    except AssertionError as error:
        raise AssertionError(f"after {given}: {error}") from error
