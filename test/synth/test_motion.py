"""Motion is hand-held and keeps its distance."""

import numpy as np
import pytest
from helpers.scenes import clearance_m, poses_of

from ace_slam_ros.synth.worlds import RATE_HZ


@pytest.mark.parametrize("name", ["room", "corridor"])
def test_motion_is_hand_held_and_keeps_its_distance(name, room, corridor):
    world = room if name == "room" else corridor
    poses = poses_of(world)
    assert len(poses) >= (600 if name == "room" else 1000)
    speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * RATE_HZ
    relative = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    cosine = np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)
    turn = np.degrees(np.arccos(cosine)) * RATE_HZ
    assert speed.max() < (0.8 if name == "room" else 1.2) and turn.max() < 65
    assert speed[:5].max() < 0.15 and turn[:5].max() < 6, "starts gently"
    assert turn.max() > 20 and speed.mean() > 0.2
    assert np.abs(np.diff(speed)).max() * RATE_HZ < 4.0, "no jerks"
    assert clearance_m(world.scene, poses[:, :3, 3]).min() > 0.4


def test_a_short_sequence_begins_like_a_long_one(room):
    long = room.path(2 * room.default_frames)
    for time_s in (0.0, 7.3, 20.0):
        np.testing.assert_allclose(long.pose(time_s), room.path().pose(time_s), atol=1e-12)


@pytest.mark.parametrize(("name", "place", "gaze"), [
    ("room", (0.144514, -0.349374, 1.256368), (-0.278617, -0.959409, -0.043662)),
    ("corridor", (4.104705, -3.31794, 1.426226), (0.217243, 0.96671, -0.135196)),
])
def test_calm_paths_stay_what_they_were(name, place, gaze, room, corridor):
    """Figures of many versions are compared on them."""
    pose = (room if name == "room" else corridor).path().pose(9.0)
    np.testing.assert_allclose(pose[:3, 3], place, atol=2e-6)
    np.testing.assert_allclose(pose[:3, 2], gaze, atol=2e-6)
