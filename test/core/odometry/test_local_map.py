"""An adjustment in steps is the same as at once, and corrections between them are kept."""

import numpy as np
import pytest
from helpers.local_maps import LocalParts
from helpers.tracks import CAMERA, SENSOR

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.odometry.local_keyframe import LocalKeyframe
from ace_slam_ros.core.odometry.local_map import LARGEST_VIEW_DISTANCE, LocalMap

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_values({
    "encoder.threads": 1, "device": "cpu", "tracker.frame_deadline_ms": 10000.0,
    "keyframe.translation_m": 0.03, "keyframe.rotation_deg": 2.0})


@pytest.fixture(scope="module")
def frames(room_frames):
    return room_frames[:60]


def neighbors(frames):
    """A local map with two keyframes whose window is not adjusted."""
    parts = LocalParts(CONFIG)
    assert parts.add(frames[0], np.eye(4))
    parts.window.finish()
    guess = exp_se3(np.array([0.0, 0.0, 0.01, 0.0, 0.0, 0.0]))
    assert parts.add(frames[3], guess)
    return parts


def test_an_adjustment_in_steps_is_the_same(frames):
    at_once, steps = neighbors(frames), neighbors(frames)
    at_once.window.finish()
    links = []
    while not steps.window.is_done:
        links.append(steps.window.links)
        steps.window.step()
    assert links == [True, False, False, False]
    assert not np.array_equal(steps.pose(1), neighbors(frames).pose(1))
    assert np.array_equal(at_once.pose(1), steps.pose(1)) and at_once.window.is_done


def test_a_new_keyframe_takes_over_what_is_left_of_the_adjustment(frames):
    local, thorough = neighbors(frames), neighbors(frames)
    thorough.window.finish()
    for each in (local, thorough):
        assert each.add(frames[6], each.pose(1))
        each.window.finish()
        assert each.window.is_done
    assert pose_error(local.pose(1), thorough.pose(1))[0] < 0.003
    links = {(h.id, i) for h in local.local for i in h.tracks}
    assert links == {(h.id, i) for h in thorough.local for i in h.tracks}
    assert (0, 1) in links


def test_what_an_adjustment_moves_is_less_sure_than_it_was_thought(frames):
    local = neighbors(frames)
    before = local.pose(1)
    local.window.finish()
    moved_m = local.pose(1)[:3, 3] - before[:3, 3]
    covariance = local.nearest(local.pose(1)).covariance_66
    assert np.sqrt(np.trace(covariance[:3, :3])) > 0.9 * np.linalg.norm(moved_m)


def test_what_holds_a_camera_by_little_is_less_sure(frames):
    """Its errors are shared: of few tracks, or of those from a frame that is no keyframe."""
    parts = LocalParts(CONFIG)
    assert parts.add(frames[0], np.eye(4))
    host, seed = list(parts.local), SubmapPose(np.eye(4))
    well, _ = parts.aligner.align_with(host, frames[1], seed, None)
    little, _ = parts.aligner.align_with(host, frames[1], seed, None, sure=False)
    assert well.inliers >= 150 and np.array_equal(well.T_map_cam, little.T_map_cam)
    assert np.allclose(little.covariance_66, 9.0 * well.covariance_66)


def test_a_correction_between_the_steps_is_kept(frames):
    moved = exp_se3(np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
    local, expected = neighbors(frames), neighbors(frames)
    expected.window.finish()
    for _ in range(2):
        local.window.step()
    local.local.shift(moved, first=0)
    local.window.finish()
    assert pose_error(local.pose(1), moved @ expected.pose(1))[0] < 1e-6


def test_the_nearest_views_are_those_that_a_loop_finds(frames):
    """The slow twin goes through the keyframes one by one."""
    rng = np.random.default_rng(5)
    parts = LocalParts(CONFIG)
    for _ in range(7):
        assert parts.add(frames[0], exp_se3(rng.normal(size=6) * 0.3))
    for keyframe in parts.local:
        keyframe.submap = keyframe.id % 2
        keyframe.T_mapped = None if keyframe.id % 3 == 0 else keyframe.T_map_cam
    parts.local.adjusted()

    def distance(keyframe, T_map_cam):
        gap_m, gap_rad = pose_error(keyframe.T_map_cam, T_map_cam)
        return gap_m / keyframe.median_depth_m + 1.5 * gap_rad

    for mapped_only in (False, True):
        for _ in range(20):
            pose = SubmapPose(exp_se3(rng.normal(size=6) * 0.3), submap=int(rng.integers(2)))
            ranked = sorted((distance(k, pose.T_map_cam), k.id) for k in parts.local
                            if k.submap == pose.submap
                            and (k.T_mapped is not None or not mapped_only))
            found = parts.local.nearest(pose, 3, mapped_only)
            assert [k.id for _, k in found] == [i for _, i in ranked[:3]]
            assert np.allclose([d for d, _ in found], [d for d, _ in ranked[:3]], atol=1e-9)
            near = ranked[0][0] < LARGEST_VIEW_DISTANCE
            assert parts.local.reference(pose, mapped_only) == (ranked[0][1] if near else None)
    assert LocalMap().nearest(SubmapPose(np.eye(4)), 2) == []


def test_a_correction_moves_each_submap_and_what_the_mapper_does_not_know_yet(frames):
    parts = LocalParts(CONFIG)
    for k in range(5):
        assert parts.add(frames[0], exp_se3(np.array([0.1 * k, 0, 0, 0, 0, 0])))
    local = parts.local
    for k in (2, 3, 4):
        local[k].submap = 1
    local[4].T_mapped = None  # too new
    before = {k.id: k.T_map_cam.copy() for k in local}
    join = exp_se3(np.array([1.0, 0.5, 0.0, 0.0, 0.0, 0.7]))
    nudge = exp_se3(np.array([0.0, 0.01, 0.0, 0.0, 0.0, 0.0]))
    motions = local.correct({
        0: SubmapPose(before[0]), 1: SubmapPose(nudge @ before[1]),
        2: SubmapPose(join @ before[2]), 3: SubmapPose(join @ before[3])})
    assert {n: m.submap for n, m in motions.items()} == {0: 0, 1: 0} and local.submaps == {0}
    for k, T in ((0, np.eye(4)), (1, nudge), (2, join), (3, join), (4, join)):
        assert np.allclose(local[k].T_map_cam, T @ before[k])


@pytest.mark.parametrize("readout_s", [0.0, 0.02])
def test_where_corners_are_placed_agrees_with_the_twin(readout_s):
    rng = np.random.default_rng(40)
    pixels = rng.uniform((0, 0), (640, 480), (50, 2)).astype(np.float32)
    measured = rng.uniform(0.5, 4.0, 50)
    keyframe = LocalKeyframe(
        0, np.zeros((480, 640), np.uint8), CAMERA, pixels, measured,
        rng.uniform(0.9, 1.1, 50) / measured, exp_se3(rng.normal(size=6)), np.eye(6),
        rng.normal(size=6), 2.0, np.ones(50, np.float32))
    keyframe.narrowed_n = rng.uniform(0.1, 1.0, 50)
    found, twin = keyframe.placed(SENSOR, readout_s), keyframe.placed_twin(SENSOR, readout_s)
    for name, expected in vars(twin).items():
        assert np.allclose(getattr(found, name), expected, rtol=1e-9), name
