"""Lost and found in time; in an unknown place a submap, joined when its place is proven."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.rooms import keyframes_by_submap
from helpers.tracking import new_keyframe, process
from helpers.worlds import world_shots

from ace_slam_ros.apps.recorder import RunRecorder
from ace_slam_ros.core.config.sections import (
    SlamConfig,
)
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import invert_pose, pose_error
from ace_slam_ros.core.heads.payload import read_info
from ace_slam_ros.core.localization.relocalizer import Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.result import TrackerState, TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.viewer.rerun_view import NoView

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_overrides(
    ["encoder.threads=1", "device=cpu", "tracker.submap_after_s=0.3"])
STEP_NS = 66_666_667
#: The camera of this room turns from one wall to another: what frames 0..22 of 66 show and what
#: the last ones show have nothing in common.
KNOWN, AWAY_FIRST, AWAY_LAST = 23, 55, 12


@pytest.fixture(scope="module")
def room():
    """Every other frame of a walk in a room, with its true pose."""
    return world_shots("room", 0, range(0, 112, 2))


def at(frame, number, step_ns=STEP_NS):
    """The frame as if taken at another time."""
    return replace(frame, stamp_ns=10**9 + number * step_ns)


def covered(frame):
    return Frame(frame.stamp_ns, np.zeros_like(frame.image), np.zeros_like(frame.depth_m),
                 frame.camera)


def bare_wall(frame):
    return Frame(frame.stamp_ns, np.full_like(frame.image, 180),
                 np.full_like(frame.depth_m, 1.5), frame.camera)


def learn(mapper, tracker, result, version):
    """What happens between two frames of an offline run."""
    for keyframe in result.keyframes:
        mapper.add_keyframe(keyframe, tracker.map_id)
    if result.keyframes and mapper.work(float("inf")):
        tracker.set_head(mapper.export_head(), version)


@pytest.fixture(scope="module")
def kidnapped(encoder, room, tmp_path_factory):
    """A camera that is covered, carried to an unknown place, and walks back from there."""
    saved = tmp_path_factory.mktemp("maps")
    tracker = Tracker(CONFIG, encoder, map_id="m")
    mapper = Mapper(CONFIG, encoder, map_id="m")
    run = SimpleNamespace(results=[], truth=[], true_keyframes={}, mapper=mapper, tracker=tracker,
                          saved=saved)
    order = [*range(KNOWN), *[None] * 6, *range(AWAY_FIRST, AWAY_LAST - 1, -1)]
    for number, index in enumerate(order):
        frame, T_true = room[index or 0]
        frame = at(frame, number)
        result = process(tracker, covered(frame) if index is None else frame,
                         TrackingHints(T_map_cam_first=room[0][1]))
        run.results.append(result)
        run.truth.append(None if index is None else T_true)
        if (keyframe := new_keyframe(result)) is not None:
            run.true_keyframes[keyframe.id] = T_true
        learn(mapper, tracker, result, number + 1)
        if number == KNOWN - 1:
            mapper.save(saved / "known")
        if keyframes_by_submap(mapper).get(1) == 3 and not hasattr(run, "unjoined"):
            run.unjoined = mapper.export_head()
            mapper.save(saved / "unjoined")
    return run


def test_an_unknown_place_begins_a_submap_that_is_joined_at_a_known_one(kidnapped):
    results = kidnapped.results
    submaps = [r.submap for r in results]
    begun, joined = submaps.index(1), len(submaps) - submaps[::-1].index(1)
    uncovered = KNOWN + 6
    waited_s = (results[begun].stamp_ns - results[uncovered].stamp_ns) * 1e-9
    assert 0.3 <= waited_s < 0.3 + 2 * STEP_NS * 1e-9
    assert all(r.state is TrackerState.TRACKING for r in results[begun:])
    assert all(r.submap == 1 and not r.has_map_pose for r in results[begun:joined])
    assert all("submap 1: place unknown" in r.reason for r in results[begun:joined])
    assert all(r.has_map_pose and not r.reason for r in results[joined:]) and joined < len(results)
    errors_m = [pose_error(r.T_map_cam, T)[0] for r, T in zip(results, kidnapped.truth,
                                                             strict=True) if r.has_map_pose]
    assert len(errors_m) >= KNOWN + 5 and max(errors_m) < 0.03
    assert {kidnapped.tracker.map_id, kidnapped.mapper.map_id} == {"m"}
    poses = kidnapped.mapper.keyframe_poses
    assert len(poses) >= 6 and set(keyframes_by_submap(kidnapped.mapper)) == {0}
    assert max(pose_error(poses[i].T_map_cam, T)[0]
               for i, T in kidnapped.true_keyframes.items()) < 0.03
    assert read_info(kidnapped.mapper.export_head()).submaps == ()


def test_the_velocity_goes_on_through_the_join(kidnapped):
    results = kidnapped.results
    joined = len(results) - [r.submap for r in results][::-1].index(1)
    believed = invert_pose(kidnapped.truth[joined - 1]) @ kidnapped.truth[joined]
    step = kidnapped.tracker._model
    assert step.traveled_m < 3.0, "the way to the submap's place is no way of the camera"
    before, after = results[joined - 1].T_map_cam, results[joined].T_map_cam
    motion = kidnapped.truth[joined - 1] @ invert_pose(before)  # of the submap, as it truly was
    assert pose_error(invert_pose(motion @ before) @ after, believed)[0] < 0.03


def test_unjoined_poses_are_in_no_trajectory(kidnapped):
    run = RunRecorder(NoView())
    for result in kidnapped.results:
        run.add(result, 1.0, 1.0)
    trajectory = run.trajectory()
    assert len(trajectory) == sum(r.has_map_pose for r in kidnapped.results)
    assert np.abs(trajectory.T_map_cam_N44[:, :3, 3]).max() < 10.0
    assert run.unjoined == sum(r.submap == 1 for r in kidnapped.results) > 5


def test_a_map_with_an_unjoined_submap_is_kept_and_found_in(kidnapped, encoder, room):
    mapper = Mapper(CONFIG, encoder)
    mapper.load(kidnapped.saved / "unjoined")
    keyframes = keyframes_by_submap(mapper)
    assert set(keyframes) == {0, 1} and not mapper.wants_work
    head = mapper.export_head()
    assert read_info(head).submaps == (1,)
    # what is shown and asked for is the map, not what lies beside it
    assert np.abs(mapper.map_points()).max() < 10.0
    assert len(mapper.keyframe_trajectory()) == keyframes[0]
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(head, 1)
    away = process(tracker, at(room[AWAY_FIRST - 6][0], 0))
    assert away.submap == 1 and away.state is TrackerState.TRACKING
    home = Tracker(CONFIG, encoder)
    home.set_head(head, 1)
    assert process(home, at(room[2][0], 0)).has_map_pose
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(head, 1)
    assert relocalizer.locate(room[2][0]).success
    assert not relocalizer.locate(room[AWAY_FIRST - 6][0]).success
    only = Tracker(CONFIG.with_values({"mode": "localization"}), encoder)
    only.set_head(head, 1)
    assert process(only, at(room[AWAY_FIRST - 6][0], 0)).T_map_cam is None


def look(encoder, kidnapped, frames, values=None, step_ns=STEP_NS):
    """Show frames to a tracker that has the known part of the map."""
    mapper = Mapper(CONFIG, encoder)
    mapper.load(kidnapped.saved / "known")
    tracker = Tracker(CONFIG.with_values(values or {}), encoder)
    tracker.set_head(mapper.export_head(), 1)
    return [process(tracker, at(frame, n, step_ns)) for n, frame in enumerate(frames)]


def test_lost_is_declared_within_a_fifth_of_a_second_and_recovery_needs_nothing(
        encoder, kidnapped, room):
    """At 30 Hz; the camera is put down elsewhere in the known place and does not move."""
    frames = [room[k][0] for k in (0, 1, 2)] + [covered(room[0][0])] * 12 + [room[20][0]] * 3
    results = look(encoder, kidnapped, frames, step_ns=33_333_333)
    states = [r.state for r in results]
    assert states[2] is TrackerState.TRACKING and results[3].T_map_cam is None
    lost = states.index(TrackerState.LOST)
    assert (results[lost].stamp_ns - results[2].stamp_ns) * 1e-9 <= 0.2
    back = next(n for n in range(15, len(results)) if results[n].T_map_cam is not None)
    assert (results[back].stamp_ns - results[15].stamp_ns) * 1e-9 <= 0.3
    assert pose_error(results[back].T_map_cam, room[20][1])[0] < 0.05


def test_a_kidnapped_camera_is_back_within_a_third_of_a_second(encoder, kidnapped, room):
    """Without having been covered: what it saw last and what it sees now do not fit."""
    frames = [room[k][0] for k in (0, 1, 2, 3)] + [room[22][0]] * 10
    results = look(encoder, kidnapped, frames, step_ns=33_333_333)
    right = [r.has_map_pose and pose_error(r.T_map_cam, room[22][1])[0] < 0.05
             for r in results[4:]]
    assert right.index(True) * 0.0333 <= 0.3 and all(right[right.index(True):])


@pytest.mark.parametrize("view", [covered, bare_wall])
def test_what_shows_no_place_begins_no_submap(encoder, kidnapped, room, view):
    results = look(encoder, kidnapped, [room[0][0]] + [view(room[0][0])] * 20)
    assert results[-1].state is TrackerState.LOST
    assert all(r.submap == 0 and not r.keyframes for r in results)
    # nor does it count as having looked at an unknown place
    results = look(encoder, kidnapped, [view(room[0][0])] * 8 + [room[AWAY_FIRST][0]] * 3)
    assert all(r.submap == 0 for r in results)


def test_localization_and_zero_begin_no_submap(encoder, kidnapped, room):
    frames = [room[AWAY_FIRST][0]] * 10
    assert look(encoder, kidnapped, frames)[-1].submap == 1
    for values in ({"mode": "localization"}, {"tracker.submap_after_s": 0.0}):
        results = look(encoder, kidnapped, frames, values)
        assert all(r.state is TrackerState.LOST and r.T_map_cam is None for r in results)


def test_two_unknown_places_are_two_submaps_though_no_mapper_listens(encoder, kidnapped, room):
    elsewhere = world_shots("corridor", 3, [0])[0].frame
    results = look(encoder, kidnapped, [room[AWAY_FIRST][0]] * 7 + [covered(room[0][0])] * 4
                   + [elsewhere] * 7)
    submaps = [r.submap for r in results]
    assert submaps[6] == 1 and submaps[-1] == 2
    assert {k.reference for r in results for k in r.keyframes} == {None}
