"""The tracker on a rendered room: lost and found, reset, localization."""

import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.rooms import CONFIG, LOCALIZATION, black
from helpers.tracking import new_keyframe, process
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import AlignedPose, PoseEstimate
from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.geometry.se3 import T_BODY_OPTICAL, exp_se3, pose_error
from ace_slam_ros.core.heads.payload import with_answer
from ace_slam_ros.core.slam import Slam
from ace_slam_ros.core.tracking.result import TrackerState, TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error
from ace_slam_ros.io.open_source import open_source

pytestmark = pytest.mark.render


def covered(frame, value):
    """The frame with a hand, or a light, right before the camera."""
    return Frame(frame.stamp_ns, np.full_like(frame.image, value), np.zeros_like(frame.depth_m),
                 frame.camera)


def test_the_room_is_tracked_and_mapped(mapped, room_frames, room):
    mapper, results = mapped
    assert all(r.state is TrackerState.TRACKING for r in results)
    estimate = Trajectory(np.array([r.stamp_ns for r in results]),
                          np.stack([r.T_map_cam for r in results]))
    truth = open_source(room).groundtruth
    assert absolute_trajectory_error(estimate, truth).rmse_m < 0.02
    assert 2 <= mapper.keyframe_count < len(room_frames)
    assert len(mapper.export_head()) < 1_200_000
    for result in results[1:]:
        assert np.linalg.eigvalsh(result.covariance_66).min() > 0
    keyframes = {k.id: k for r in results if (k := new_keyframe(r)) is not None}
    assert keyframes[0].reference is None
    for keyframe in list(keyframes.values())[1:]:
        identifier, T_reference_cam = keyframe.reference
        step = keyframes[identifier].T_map_cam @ T_reference_cam
        assert pose_error(step, keyframe.T_map_cam)[0] < 0.02


def test_doubt_about_stamps_widens_the_covariance_and_leaves_the_poses(encoder, room_frames):
    trackers = [Tracker(CONFIG.with_values({"sensor.stamp_sigma_s": sigma_s}), encoder)
                for sigma_s in (0.0, 0.05)]
    for frame in room_frames[:12]:
        one, two = (process(tracker, frame) for tracker in trackers)
        assert np.array_equal(one.T_map_cam, two.T_map_cam)
        added = two.covariance_66 - one.covariance_66
        assert np.linalg.eigvalsh(added)[0] > -1e-12 and np.linalg.matrix_rank(added, 1e-10) <= 1
    assert np.trace(added[:3, :3]) > 1e-8


def test_scene_coordinates_alone_know_the_place(mapped):
    _, results = mapped
    raw = [pose_error(r.T_map_cam_raw, r.T_map_cam)[0] for r in results
           if r.T_map_cam_raw is not None]
    assert len(raw) > 0.9 * len(results) and np.median(raw) < 0.03
    claimed = [r.support.probability for r in results if r.T_map_cam_raw is not None]
    assert np.mean(claimed) > 0.9 and results[0].support.probability == 0.0


def test_first_pose_is_the_one_asked_for_or_looks_ahead_with_z_up(encoder, room_frames):
    T_first = exp_se3(np.array([1, 2, 3, 0.1, 0.2, 0.3]))
    hints = TrackingHints(T_map_cam_first=T_first)
    assert np.allclose(process(Tracker(CONFIG, encoder), room_frames[0], hints).T_map_cam, T_first)
    T_map_cam = process(Tracker(CONFIG, encoder), room_frames[0]).T_map_cam
    assert np.allclose(T_map_cam @ [0, 0, 1, 0], [1, 0, 0, 0]), "what is ahead is along x"
    assert np.allclose(T_map_cam @ [0, -1, 0, 0], [0, 0, 1, 0]), "what is up is along z"


@pytest.mark.parametrize("x_m", [101.0, -350.0])
def test_a_map_may_begin_far_from_its_origin(encoder, room_frames, x_m):
    slam = Slam(CONFIG, encoder)
    far = exp_se3(np.array([x_m, 0, 0, 0, 0, 0])) @ T_BODY_OPTICAL
    results = [slam.process(f, TrackingHints(T_map_cam_first=far)) for f in room_frames[:30]]
    assert all(r.state is TrackerState.TRACKING and r.has_map_pose for r in results)
    assert abs(results[-1].T_map_cam[0, 3] - x_m) < 1.0
    assert sum(r.T_map_cam_raw is not None for r in results) > 25
    gap_m = [pose_error(r.T_map_cam_raw, r.T_map_cam)[0] for r in results
             if r.T_map_cam_raw is not None]
    assert np.median(gap_m) < 0.03


def test_a_covered_camera_is_lost_and_found_again(mapped, encoder, room_frames):
    mapper, results = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 3)
    assert tracker.state is TrackerState.LOST and tracker.map_id == mapper.map_id
    found = process(tracker, room_frames[20])
    assert found.state is TrackerState.TRACKING and found.weights_version == 3
    assert pose_error(found.T_map_cam, results[20].T_map_cam)[0] < 0.05
    states = []
    for number, frame in enumerate(room_frames[21:32]):
        dark = process(tracker, covered(frame, (0, 255, 90)[number % 3]))
        assert dark.T_map_cam is None and "depth" in dark.reason
        states.append(dark.state)
    assert states[0] is TrackerState.TRACKING and states[-1] is TrackerState.LOST
    lost_after = states.index(TrackerState.LOST)
    assert 2 <= lost_after <= 5  # within 0.2 s at 30 Hz
    elsewhere = replace(room_frames[60], stamp_ns=room_frames[33].stamp_ns)  # kidnapped
    back = process(tracker, elsewhere)
    assert back.state is TrackerState.TRACKING
    assert pose_error(back.T_map_cam, results[60].T_map_cam)[0] < 0.05


def test_a_camera_whose_depth_measures_nothing_is_followed_by_its_image(encoder, room_frames):
    blind, whole = Tracker(CONFIG, encoder), Tracker(CONFIG, encoder)
    for n, frame in enumerate(room_frames[:24]):
        seen = replace(frame, depth_m=None) if 8 <= n < 20 else frame
        pose, right = process(blind, seen), process(whole, frame)
        assert pose.state is TrackerState.TRACKING
        apart_m, apart_rad = pose_error(pose.T_map_cam, right.T_map_cam)
        assert apart_m < 0.02 and apart_rad < 0.01


def test_a_camera_that_repeats_its_picture_goes_on_meanwhile(encoder, room_frames):
    def apart(one, other):
        gap_m, gap_rad = pose_error(one.T_map_cam, other.T_map_cam)
        return gap_m + 2.0 * gap_rad

    stalls, whole = Tracker(CONFIG, encoder), Tracker(CONFIG, encoder)
    frames, off, lag, right = room_frames[::3], [], [], None
    for n, frame in enumerate(frames):
        before, right = right, process(whole, frame)
        if again := n in (12, 15, 16, 20, 23):
            frame = replace(frames[n - 1 - (n == 16)], stamp_ns=frame.stamp_ns,
                            depth_m=frame.depth_m)  # that of now
        pose = process(stalls, frame)
        assert pose.state is TrackerState.TRACKING
        if again:
            off.append(apart(pose, right))
            lag.append(apart(before, right))
            assert np.linalg.eigvalsh(pose.covariance_66)[-1] > 0.01**2
    assert np.mean(off) < 0.6 * np.mean(lag)
    assert apart(pose, right) < 0.01


def test_who_says_where_a_camera_is_that_repeats_its_picture_is_heard(encoder, room_frames):
    tracker, frames = Tracker(CONFIG, encoder), room_frames[:30:3]
    poses = [process(tracker, frame) for frame in frames]
    again = replace(frames[-1], stamp_ns=frames[-1].stamp_ns + 100_000_000,
                    depth_m=frames[-1].depth_m + 0.001)
    here = poses[-1].T_map_cam
    told = process(tracker, again, TrackingHints(T_map_cam_prior=here))
    assert pose_error(told.T_map_cam, here)[0] < 0.002 < pose_error(poses[-2].T_map_cam, here)[0]


def test_a_camera_that_stands_may_see_the_very_same_picture(encoder, room_frames):
    """Simulators without noise show it."""
    tracker, frame = Tracker(CONFIG, encoder), room_frames[0]
    for n in range(12):
        result = process(tracker, replace(frame, stamp_ns=frame.stamp_ns + n * 33_000_000))
        assert result.state is TrackerState.TRACKING
        assert pose_error(result.T_map_cam, T_BODY_OPTICAL)[0] < 0.002
        assert np.linalg.eigvalsh(result.covariance_66[:3, :3])[-1] < 0.003**2


@pytest.mark.parametrize("jumps", [False, True])
def test_a_camera_that_stops_does_not_go_on(encoder, room_frames, jumps):
    """In a simulator depth repeats as well; after a jump nobody knows the velocity."""
    tracker = Tracker(CONFIG, encoder)
    frames, stopped = [*room_frames[50:62:3], room_frames[74 if jumps else 62]], None
    for n, frame in enumerate(frames):
        before, stopped = stopped, process(
            tracker, replace(frame, stamp_ns=10**9 + n * 33_000_000))
    assert pose_error(before.T_map_cam, stopped.T_map_cam)[0] > (0.03 if jumps else 0.003)
    depth_m = frame.depth_m + (0.001 if jumps else 0.0)
    for n in range(5, 12):
        found = process(tracker, replace(
            frame, stamp_ns=10**9 + n * 33_000_000, depth_m=depth_m))
        assert pose_error(found.T_map_cam, stopped.T_map_cam)[0] < (0.02 if jumps else 0.003)


def test_a_camera_covered_for_a_moment_is_followed_on_where_no_map_is(
    encoder, room_frames, mapped
):
    _, results = mapped
    tracker = Tracker(CONFIG, encoder)  # gets no head: it has nothing but the images to go by
    for frame in room_frames[:8]:
        process(tracker, frame)
    for frame in room_frames[8:20]:
        hidden = process(tracker, covered(frame, 0))
    assert hidden.state is TrackerState.LOST
    late = replace(room_frames[20], stamp_ns=room_frames[20].stamp_ns + 1_100_000_000)
    back = process(tracker, room_frames[20])
    assert back.state is TrackerState.TRACKING
    assert pose_error(back.T_map_cam, results[20].T_map_cam)[0] < 0.02

    for number, frame in enumerate(room_frames[8:20]):
        process(tracker, covered(replace(frame, stamp_ns=back.stamp_ns + (number + 1) * 10**8), 0))
    assert process(tracker, late).state is TrackerState.LOST, "by now it may be anywhere"


def test_a_camera_that_is_elsewhere_from_one_frame_to_the_next_is_not_followed_on_by_a_guess(
    encoder
):
    """The frame after the jump has no pose; the one after it is like it, which tells no place."""
    wall, poses, slam = Wall(), wander(72)[:24], Slam(CONFIG, encoder)
    jumped = [*poses, *poses[:8]]
    results = []
    for i, T_world_cam in enumerate(jumped):
        image, depth_mm = wall.look(T_world_cam)
        results.append(slam.process(Frame(
            i * 33_000_000, image, depth_mm.astype(np.float32) / 1000, CAMERA)))
    for result, T_world_cam in zip(results, jumped, strict=True):
        if result.T_map_cam is not None:
            assert pose_error(result.T_map_cam, T_BODY_OPTICAL @ T_world_cam)[0] < 0.01
    assert all(result.T_map_cam is not None for result in results[26:])


def test_reset_starts_a_new_map_and_ignores_the_old_weights(mapped, encoder, room_frames):
    mapper, _ = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 1)
    tracker.reset()
    assert tracker.state is TrackerState.INIT and tracker.map_id != mapper.map_id
    tracker.set_head(mapper.export_head(), 2)
    assert tracker.state is TrackerState.INIT
    result = process(tracker, room_frames[40])
    assert np.allclose(result.T_map_cam, T_BODY_OPTICAL) and result.keyframes[0].id == 0

    # A mapper that knows of the new map and offers the old one again was told to load it.
    new = tracker.map_id
    assert tracker.begun == new
    tracker.set_head(with_answer(mapper.export_head(), "an earlier map"), 3)
    assert tracker.map_id == new
    tracker.set_head(with_answer(mapper.export_head(), new), 4)
    assert tracker.map_id == mapper.map_id and tracker.state is TrackerState.LOST


def test_waits_for_a_usable_first_frame(encoder, room_frames):
    tracker = Tracker(CONFIG, encoder)
    result = process(tracker, black(room_frames[0]))
    assert result.state is TrackerState.INIT and "waiting" in result.reason
    assert process(tracker, room_frames[1]).state is TrackerState.TRACKING


@pytest.mark.parametrize(("value", "said"), [(4, "black.*uncover"), (250, "white.*exposure"),
                                             (120, "too few corners")])
def test_what_a_first_frame_lacks_is_said(encoder, room_frames, value, said):
    frame = room_frames[0]
    plain = replace(frame, image=np.full_like(frame.image, value))
    assert re.search(said, process(Tracker(CONFIG, encoder), plain).reason)


def test_tracking_goes_on_without_a_mapper(encoder, room_frames):
    tracker = Tracker(CONFIG, encoder)
    results = [process(tracker, f) for f in room_frames[:20]]
    assert all(r.T_map_cam is not None and r.weights_version == 0 for r in results)


def test_localization_waits_for_the_map_and_reset_keeps_it(mapped, encoder, room_frames):
    mapper, results = mapped
    tracker = Tracker(LOCALIZATION, encoder)
    waiting = process(tracker, room_frames[0])
    assert waiting.T_map_cam is None and "waiting for the map" in waiting.reason
    tracker.set_head(mapper.export_head(), 4)
    for _ in range(2):
        assert tracker.state is TrackerState.LOST
        found = process(tracker, room_frames[10])
        assert found.state is TrackerState.TRACKING and not found.keyframes
        assert pose_error(found.T_map_cam, results[10].T_map_cam)[0] < 0.05
        tracker.reset()
    assert tracker.map_id == mapper.map_id


def test_localization_follows_the_map_without_changing_it(mapped, encoder, room_frames):
    mapper, results = mapped
    tracker = Tracker(LOCALIZATION, encoder)
    tracker.set_head(mapper.export_head(), 4)
    for frame, expected in zip(room_frames[5:45], results[5:45], strict=True):
        result = process(tracker, frame)
        assert not result.keyframes
        assert pose_error(result.T_map_cam, expected.T_map_cam)[0] < 0.05


def test_a_change_of_image_size_is_survived(mapped, encoder, room_frames):
    mapper, results = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 1)
    for frame in room_frames[:5]:
        process(tracker, frame)
    for k in range(5, 9):
        small = room_frames[k]
        small = Frame(small.stamp_ns, np.ascontiguousarray(small.image[:400, :560]),
                      np.ascontiguousarray(small.depth_m[:400, :560]),
                      replace(small.camera, width=560, height=400))
        result = process(tracker, small)
        assert result.T_map_cam is not None
        assert pose_error(result.T_map_cam, results[k].T_map_cam)[0] < 0.05


def test_a_raw_pose_of_another_place_moves_no_keyframe(mapped, encoder, room_frames):
    mapper, _ = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 1)
    first = process(tracker, room_frames[0])
    tracker._averaging.start(0)
    before = [k.T_map_cam.copy() for k in tracker._local]
    far = exp_se3(np.array([3.0, 0, 0, 0, 0, 0])) @ first.T_map_cam
    aligned = AlignedPose(first.T_map_cam, np.eye(6), 100, 100)
    sure = PoseEstimate(far, np.eye(6), np.ones(10, bool), 0.9, 0.8)
    tracker._averaging.average(sure, aligned)
    after = [k.T_map_cam for k in tracker._local]
    assert before and all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
