"""What keeps its pixels while the rest moves is of the robot; what stands in the world is not."""

import cv2
import numpy as np
import pytest
from helpers.rooms import CONFIG
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import T_BODY_OPTICAL, make_pose, pose_error
from ace_slam_ros.core.maps.map_folder import load_map
from ace_slam_ros.core.odometry.robot_parts import RobotParts
from ace_slam_ros.core.slam import Slam

POSES = wander(72)[:36]
SHARE = 0.3


def plate(rows):
    """A perforated plate."""
    image = np.full((rows, CAMERA.width, 3), 160, np.uint8)
    for y in range(5, rows, 14):
        for x in range(5 + 7 * (y // 14 % 2), CAMERA.width, 14):
            cv2.circle(image, (x, y), 4, (30, 30, 30), -1)
    return image


def photo(rows):
    """Another place."""
    return Wall(seed=9).look(np.eye(4))[0][:rows]


def noise(rows):
    """Blocks of any color."""
    blocks = np.random.default_rng(1).integers(0, 255, (rows // 4 + 1, CAMERA.width // 4, 3))
    return cv2.resize(blocks.astype(np.uint8), (CAMERA.width, rows))


def views(part=None, depth_m=None, poses=POSES):
    """What a camera sees with a part of the robot at the bottom; its depth, or that behind it."""
    wall, rng = Wall(), np.random.default_rng(0)
    rows = round(SHARE * CAMERA.height)
    shown = None if part is None else part(rows)
    for i, T_world_cam in enumerate(poses):
        image, depth_mm = wall.look(T_world_cam)
        depth = depth_mm.astype(np.float32) / 1000
        if shown is not None:
            noisy = shown + rng.normal(0, 1.5, shown.shape)
            image[-rows:] = np.clip(noisy, 0, 255).astype(np.uint8)
            if depth_m is not None:
                depth[-rows:] = depth_m
        yield Frame(i * 33_000_000, image, depth, CAMERA)


@pytest.mark.parametrize(("part", "depth_m"), [
    (plate, 0.6), (photo, 0.0), (noise, None),  # near, too near to measure, not in the depth
])
def test_a_part_of_the_robot_does_not_hold_the_camera(encoder, part, depth_m, tmp_path):
    slam = Slam(CONFIG, encoder)
    results = [slam.process(frame) for frame in views(part, depth_m)]
    for result, T_world_cam in zip(results, POSES, strict=True):
        assert result.T_map_cam is not None
        assert pose_error(result.T_map_cam, T_BODY_OPTICAL @ T_world_cam)[0] < 0.015
    mask = slam.tracker.robot_parts.mask_HW
    rows = round(SHARE * CAMERA.height)
    assert (mask[-rows:] == 0).mean() > 0.9
    assert (mask[:-rows - 24] == 0).mean() < 0.02, "the scene is seen"
    slam.save(tmp_path / "map")
    for kept in load_map(tmp_path / "map").keyframes:
        on_part = kept.pixels_N2[:, 1] > CAMERA.height - rows + 8
        assert on_part.mean() < 0.03, "the map learns no part of the robot"


def test_a_scene_without_one_is_seen_whole(encoder):
    slam = Slam(CONFIG, encoder)
    for frame in views():
        slam.process(frame)
    assert slam.tracker.robot_parts.moves > 3 and slam.tracker.robot_parts.mask_HW is None


def test_who_passes_before_a_camera_that_stands_makes_no_part_of_the_background(encoder, caplog):
    """Two motions: the near one fills most of the picture, and is not the scene's."""
    wall, slam = Wall(), Slam(CONFIG, encoder)
    image, depth_mm = wall.look(np.eye(4))
    passing = Wall(seed=9).look(np.eye(4))[0]
    for i in range(50):
        seen, depth = image.copy(), depth_mm.astype(np.float32) / 1000
        if i > 4:
            seen[:170] = np.roll(passing, 5 * i, axis=1)[:170]
            depth[:170] = 0.9
        result = slam.process(Frame(i * 33_000_000, seen, depth, CAMERA))
    assert slam.tracker.robot_parts.mask_HW is None
    if result.T_map_cam is not None:  # a wrong pose is worse than none
        assert pose_error(result.T_map_cam, T_BODY_OPTICAL)[0] < 0.02
    assert "two motions" in caplog.text


def test_a_part_that_moves_again_is_scene_again():
    parts = RobotParts()

    def show(frames, poses):
        for frame, T_world_cam in zip(frames, poses, strict=True):
            parts.see(frame)
            parts.settle(frame, SubmapPose(T_world_cam))

    show(views(plate, 0.6), POSES)
    assert parts.share > 0.2
    show(views(), POSES)
    assert parts.mask_HW is None


def test_a_camera_that_stands_tells_nothing():
    parts = RobotParts()
    for frame in views(plate, 0.6, [np.eye(4)] * 5):
        parts.see(frame)
        parts.settle(frame, SubmapPose(make_pose(np.eye(3), np.zeros(3))))
    assert parts.moves == 0 and parts.mask_HW is None


def test_suspects_are_the_same_at_half_the_size():
    parts = RobotParts()
    for frame, T_world_cam in zip(views(plate, 0.6), POSES[:4], strict=False):
        parts.see(frame)
        parts.settle(frame, SubmapPose(T_world_cam))
    pixels = np.random.default_rng(0).uniform(0, (CAMERA.width, CAMERA.height), (200, 2))
    whole = parts.suspected(pixels, CAMERA.width)
    assert 40 < whole.sum() < 120
    assert np.array_equal(parts.suspected(pixels / 2, CAMERA.width // 2), whole)
    low = pixels[:, 1] > CAMERA.height * (1 - SHARE) + 8
    assert whole[low].mean() > 0.9
    depth = parts.without_suspects(np.ones((CAMERA.height // 2, CAMERA.width // 2), np.float32))
    assert not depth[-20:].any() and depth[:60].all()
