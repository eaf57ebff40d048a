"""An adjustment in steps is the same as at once, and corrections between them are kept."""

import numpy as np
import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.odometry.local_map import LocalMap

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_values({
    "encoder.threads": 1, "device": "cpu", "tracker.frame_deadline_ms": 10000.0,
    "keyframe.translation_m": 0.03, "keyframe.rotation_deg": 2.0})


@pytest.fixture(scope="module")
def frames(room_frames):
    return room_frames[:60]


def neighbors(frames):
    """A local map with two keyframes whose window is not adjusted."""
    local = LocalMap(CONFIG.tracker, CONFIG.sensor)
    assert local.add(0, frames[0], np.eye(4), np.zeros((6, 6)))
    local.adjust()
    guess = exp_se3(np.array([0.0, 0.0, 0.01, 0.0, 0.0, 0.0]))
    assert local.add(1, frames[3], guess, np.zeros((6, 6)))
    return local


def test_an_adjustment_in_steps_is_the_same(frames):
    at_once, steps = neighbors(frames), neighbors(frames)
    at_once.adjust()
    stages = []
    while steps.next_step:
        stages.append(steps.next_step)
        steps.adjust_step()
    assert stages == ["link", "adjust", "adjust", "adjust"]
    assert not np.array_equal(steps.pose(1), neighbors(frames).pose(1))
    assert np.array_equal(at_once.pose(1), steps.pose(1)) and not at_once.next_step


def test_a_new_keyframe_takes_over_what_is_left_of_the_adjustment(frames):
    local, thorough = neighbors(frames), neighbors(frames)
    thorough.adjust()
    for each in (local, thorough):
        assert each.add(2, frames[6], each.pose(1), np.zeros((6, 6)))
        each.adjust()
        assert not each.next_step
    assert pose_error(local.pose(1), thorough.pose(1))[0] < 0.003
    links = {(h.id, i) for h in local._keyframes.values() for i in h.tracks}
    assert links == {(h.id, i) for h in thorough._keyframes.values() for i in h.tracks}
    assert (0, 1) in links


def test_what_an_adjustment_moves_is_less_sure_than_it_was_thought(frames):
    local = neighbors(frames)
    before = local.pose(1)
    local.adjust()
    moved_m = local.pose(1)[:3, 3] - before[:3, 3]
    covariance = local.nearest(local.pose(1), 1)[0][1].covariance_66
    assert np.sqrt(np.trace(covariance[:3, :3])) > 0.9 * np.linalg.norm(moved_m)


def test_a_correction_between_the_steps_is_kept(frames):
    moved = exp_se3(np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
    local, expected = neighbors(frames), neighbors(frames)
    expected.adjust()
    for _ in range(2):
        local.adjust_step()
    local.shift(moved, first=0)
    local.adjust()
    assert pose_error(local.pose(1), moved @ expected.pose(1))[0] < 1e-6
