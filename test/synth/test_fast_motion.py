"""Fast motion: as quick as it claims, smooth, clear of furniture, blurred, exposed with delay."""

import cv2
import numpy as np
import pytest
from helpers.scenes import SEED, clearance_m

from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.synth import make_world
from ace_slam_ros.synth.exposure import AutoExposure, long_exposure
from ace_slam_ros.synth.motion import pose_of_state
from ace_slam_ros.synth.worlds import CAMERA, RATE_HZ

STEP_S = 1 / 480


def fast(name, seed=SEED):
    return make_world(name, seed, motion="fast")


def sampled(world, step_s=1 / RATE_HZ, seconds=None):
    path = world.path()
    seconds = world.default_frames / RATE_HZ if seconds is None else seconds
    return np.stack([path.pose(t) for t in np.arange(0, seconds, step_s)])


def speeds(poses, step_s=1 / RATE_HZ):
    """Speed in m/s and turn rate in deg/s between poses."""
    relative = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    cosine = np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)
    moved = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return moved / step_s, np.degrees(np.arccos(cosine)) / step_s


@pytest.mark.parametrize("name", ["room", "lighting", "dynamic", "corridor", "loop"])
def test_speeds_are_those_of_a_hurried_hand(name):
    all_speeds, all_turns = [], []
    for seed in range(1, 6 if name == "room" else 4):
        speed, turn = speeds(sampled(fast(name, seed)))
        assert 0.38 < np.median(speed) < 0.65 and 0.65 < np.percentile(speed, 95) < 0.9
        assert speed.max() < 0.95 and 24 < np.median(turn) < 40 and turn.max() < 160
        assert turn.max() > (120 if name in ("room", "lighting", "dynamic") else 105)
        assert speed[:5].max() < 0.1 and turn[:5].max() < 6, "starts gently"
        all_speeds.append(speed)
        all_turns.append(turn)
    speed, turn = np.concatenate(all_speeds), np.concatenate(all_turns)
    assert np.median(speed) == pytest.approx(0.5, abs=0.06)
    assert np.percentile(speed, 95) == pytest.approx(0.8, abs=0.06)
    assert 28 <= np.median(turn) <= 40


@pytest.mark.parametrize("name", ["room", "corridor"])
def test_acceleration_is_a_hand_s_and_has_no_steps(name):
    poses = sampled(fast(name), STEP_S, 20.0)
    accelerations = np.diff(poses[:, :3, 3], n=2, axis=0) / STEP_S**2
    assert np.linalg.norm(accelerations, axis=1).max() < 5.0
    jumps = np.linalg.norm(np.diff(accelerations, axis=0), axis=1)
    assert jumps.max() < 0.6, "a step of acceleration would stay as large, however short the time"
    turning = np.diff(poses[:, :3, :3], n=2, axis=0) / STEP_S**2
    assert np.abs(np.diff(turning, axis=0)).max() < 3.0


@pytest.mark.parametrize("name", ["room", "corridor"])
def test_it_keeps_its_distance(name):
    world = fast(name)
    assert clearance_m(world.scene, sampled(world)[:, :3, 3]).min() > 0.4


def test_a_corridor_is_walked_round_and_closed():
    poses = sampled(fast("corridor"))
    assert np.linalg.norm(poses[600:, :3, 3] - poses[0, :3, 3], axis=1).min() < 0.5


def test_a_short_sequence_begins_like_a_long_one():
    world = fast("room")
    long = world.path(2 * world.default_frames)
    for time_s in (0.0, 7.3, 20.0):
        np.testing.assert_allclose(long.pose(time_s), world.path().pose(time_s), atol=1e-9)


def test_an_unknown_motion_is_refused():
    with pytest.raises(ConfigError, match="known: calm, fast"):
        make_world("room", 1, motion="wild")


def test_exposures_of_a_turning_camera_are_as_long_as_they_should_be():
    """A bright line in front of a camera that turns 150 deg/s is smeared over 23 pixels."""
    rate = np.radians(150.0)
    depth_m = np.full((CAMERA.height, CAMERA.width), 3.0, np.float32)

    class Seen:
        inverse_depth_HW = 1 / depth_m

    def pose(time_s):
        return pose_of_state(np.array([0, 0, 0, -rate * time_s, 0, 0]))

    def render(time_s):  # the line stands at yaw 0
        image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
        column = CAMERA.cx + CAMERA.fx * np.tan(-rate * time_s)
        image[:, round(column) - 4 : round(column) + 5] = 180
        return image, Seen()

    image, _ = long_exposure(render, pose, 0.0, 1 / 60, CAMERA)
    row = image[240, :, 0].astype(float)
    assert row.sum() == pytest.approx(180 * 9, rel=0.05), "light is spread, not lost"
    columns = np.flatnonzero(row > 3)
    assert np.ptp(columns) + 1 == pytest.approx(9 + CAMERA.fx * rate / 60, abs=5)
    assert columns.mean() == pytest.approx(CAMERA.cx, abs=1.5), "the stamp is the middle"
    assert row.max() < 95
    still, _ = long_exposure(render, lambda _: np.eye(4), 0.0, 1 / 60, CAMERA)
    np.testing.assert_array_equal(still, render(0.0)[0])


def test_exposure_follows_the_light_with_delay():
    def look(time_s):
        return np.full((4, 4, 3), 60 if time_s < 2 else 160, np.uint8)

    control = AutoExposure(look)
    before, at_once, soon, settled = (control.gain(t) for t in (1.9, 2.05, 2.5, 5.0))
    assert before == control.gain(0.0) == at_once
    assert before > 1.5 * settled and settled < soon < before
    assert AutoExposure(look).gain(2.5) == soon, "whatever was asked before"
    dark = AutoExposure(lambda _: np.zeros((4, 4, 3), np.uint8))
    assert dark.gain(1.0) == dark.gain(0.0) < 4


@pytest.mark.render
@pytest.mark.slow
def test_frames_are_blurred_by_their_turn_rate_and_calm_ones_are_not():
    world = fast("room")
    _, turn = speeds(sampled(world))
    quick, slow = int(np.argmax(turn[:300])), 2
    sharpness = {}
    for number in (quick, slow):
        item = next(world.frames(number + 1, number))
        image = item.frame.image
        assert 60 < image.mean() < 160 and (item.frame.depth_m > 0).mean() > 0.7
        np.testing.assert_array_equal(item.T_world_cam_44, world.path().pose(number / RATE_HZ))
        sharp = world.view(item.T_world_cam_44).image
        sharpness[number] = [_sharpness(i) for i in (image, sharp)]
    (blurred, exact), (still, still_exact) = sharpness[quick], sharpness[slow]
    assert blurred / exact < 0.7 * still / still_exact


def _sharpness(image):
    """Mean slope along rows; the noise of the sensor is smoothed away."""
    gray = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 2)
    return float(np.abs(cv2.Sobel(gray, cv2.CV_32F, 1, 0)).mean())
