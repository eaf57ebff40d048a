"""The storm's bill from notes made by hand, and a short storm over real nodes."""

import itertools
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.wall import CAMERA, Wall, wander
from lib.chaos.calls import Call, Outage
from lib.chaos.camera import Shot, to_and_fro
from lib.chaos.events import all_events
from lib.chaos.events.kills import kill_tracker
from lib.chaos.events.orders import all_at_once, load, reset
from lib.chaos.events.peers import forged_keyframes
from lib.chaos.events.pictures import full_depth
from lib.chaos.events.segment import segment_fifo
from lib.chaos.storm import Storm, figures
from lib.chaos.system import StormSystem
from lib.chaos.verdict import growth_percent, judge_poses, without_pose_s
from lib.chaos.witness import Excuses, PoseHeard, StatusHeard

from ace_slam_ros.core.geometry.se3 import exp_se3, make_pose
from ace_slam_ros.msg import SlamStatus

#: A camera that goes along x, 5 cm from shot to shot.
TRUTH = [make_pose(np.eye(3), np.array([0.05 * i, 0.0, 0.0])) for i in range(40)]
SENT = {1000 + i: i for i in range(40)}
T_MAP_WORLD = exp_se3(np.array([1.0, -2.0, 0.5, 0.2, 0.1, -0.4]))


def status(i, state=SlamStatus.TRACKING, map_id="m", at_s=None):
    return StatusHeard(0.03 * i if at_s is None else at_s, 1000 + i, state, map_id, 1, "why")


def pose(i, off_m=0.0, stamp_ns=None):
    T_map_cam = T_MAP_WORLD @ TRUTH[i] @ make_pose(np.eye(3), np.array([0.0, off_m, 0.0]))
    return PoseHeard(0.03 * i, 1000 + i if stamp_ns is None else stamp_ns, T_map_cam)


def test_poses_are_compared_in_the_frame_of_their_map():
    poses = [pose(i) for i in range(30)] + [pose(30, 0.19), pose(31, 0.5)]
    found = judge_poses(poses, [status(i) for i in range(32)], SENT, TRUTH)
    assert found.count == 32 and [round(e, 2) for *_, e in found.wrong] == [0.5]
    assert sorted(found.errors_m)[-2] == pytest.approx(0.19)


def test_a_pose_of_no_frame_and_one_without_status_are_seen():
    poses = [*(pose(i) for i in range(20)), pose(5, stamp_ns=77)]
    found = judge_poses(poses, [status(i) for i in range(19)], SENT, TRUTH)
    assert found.unknown == 1 and found.count == 20


def test_time_without_pose_counts_in_known_places_alone():
    lost = SlamStatus.LOST
    there = [status(i) for i in range(10)]
    new = [status(i, lost) for i in range(25, 35)]
    back = [status(i, lost, at_s=1.05 + 0.03 * n) for n, i in enumerate(range(9, 0, -1))]
    assert without_pose_s([*there, *new], [], SENT, TRUTH) == []
    (gap,) = without_pose_s([*there, *new, *back], [], SENT, TRUTH)
    assert gap[:2] == pytest.approx((1.05, 1.29)) and gap[2] == "why"
    assert without_pose_s([*there, *new, *back], [(1.0, 2.0)], SENT, TRUTH) == []
    elsewhere = [status(i, lost, "other", at_s=1.05) for i in range(9)]
    assert without_pose_s([*there, *elsewhere], [], SENT, TRUTH) == []


def test_silence_counts_wherever_the_camera_is():
    notes = [status(0), status(39, at_s=5.0)]
    assert without_pose_s(notes, [(1.0, 3.0)], SENT, TRUTH) == [
        (0.0, 1.0, "silence"), (3.0, 5.0, "silence")]


def test_excuses_last_until_they_are_taken_back():
    excuses = Excuses()
    with excuses.during("kill", 0.5):
        excuses.begin("kill")
        assert excuses.all_spans()[0][1] == math.inf
    ((begin_s, end_s),) = excuses.all_spans()
    assert 0.5 <= end_s - begin_s < 5.0


def test_memory_that_grows():
    assert growth_percent([(t, 100.0 + t) for t in range(100, 200)], 100.0) > 20.0
    assert growth_percent([(t, 100.0 if t > 50 else 1.0) for t in range(100)], 60.0) == 0.0
    assert math.isnan(growth_percent([(1.0, 5.0)], 0.0))


def test_an_outage_excuses_calls_that_nobody_could_answer():
    call = Call("save_map", "mapper", 5.0, SimpleNamespace())
    state = Call("mapper/get_state", "mapper", 5.0, SimpleNamespace())
    killed, unconfigured = Outage("mapper", True, 1.0), Outage("mapper", False, 1.0)
    assert killed.concerns(call) and killed.concerns(state)
    assert unconfigured.concerns(call) and not unconfigured.concerns(state)
    assert not Outage("tracker", True, 1.0).concerns(call)


def test_the_camera_never_jumps():
    assert list(itertools.islice(to_and_fro(4), 8)) == [0, 1, 2, 3, 2, 1, 0, 1]


def test_every_event_has_a_name_of_its_own():
    names = [event.__name__ for event in all_events()]
    assert len(names) == len(set(names)) >= 35 and all(e.__doc__ for e in all_events())


@pytest.mark.live
@pytest.mark.slow
def test_a_short_storm(monkeypatch):
    """All kinds of events once; an hour of all of them is for benchmarks/chaos.py."""
    wall = Wall()
    shots = [Shot(*wall.look(T), CAMERA, T) for T in wander(72)]
    events = [kill_tracker, forged_keyframes, segment_fifo, full_depth, reset, load, all_at_once]
    with StormSystem(shots) as system:
        storm = Storm(system, events, seed=4)
        storm.pause()
        storm.rage(4)
        storm.pause()
        storm.rage(3)
        storm.pause()
        time.sleep(0.2)
        found = figures(storm, 0.0)
        lines = "\n".join(f"{name}: {line}" for _, name, line in system.lines)
    assert found["poses"] > 100, lines
    for bad in ("wrong_poses", "maps_lost", "hangs", "unanswered", "unexpected"):
        assert not found[bad], f"{bad}: {found[bad]}\n{lines}"
    assert found["poses_of_no_frame"] == 0 and found["pauses"] == 3
    assert not system.segment.exists()
