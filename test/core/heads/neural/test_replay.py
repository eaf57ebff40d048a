"""Replay: targets follow poses, what is badly explained comes more often."""

import numpy as np
import torch
from helpers import scene_heads as scene
from helpers.networks import CPU

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points
from ace_slam_ros.core.heads.neural.replay import Replay


def replay_of(frames, features=50):
    replay = Replay(features, SensorConfig(), CPU, torch.Generator().manual_seed(0))
    for frame in frames:
        replay.add(frame, frame.T_map_cam)
    return replay


def test_targets_follow_the_pose_of_the_keyframe():
    frames = scene.keyframes(20, points=80)
    replay = replay_of(frames)
    moved = exp_se3(np.array([0.5, -0.2, 0.1, 0.3, 0.2, -0.4]))
    replay.move({frames[7].id: moved})
    for frame, T in ((frames[7], moved), (frames[8], frames[8].T_map_cam)):
        slot = replay._slots[frame.id]
        batch = replay.batch(slot * 50 + torch.arange(50))
        expected = transform_points(T, frame.points_cam_N3.astype(np.float64))
        gap = np.abs(batch.target_map_B3.numpy()[:, None] - expected[None]).max(axis=2)
        row = gap.argmin(axis=1)
        assert gap.min(axis=1).max() < 1e-5 and len(set(row)) == 50
        assert np.allclose(batch.descriptors_BD.numpy(), frame.descriptors_ND[row], atol=1e-6)
        ray = expected[row] - T[:3, 3]
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        assert np.allclose(batch.ray_map_B3.numpy(), ray, atol=1e-5)
    low, high = replay.bounds([frames[8].id])
    points = transform_points(frames[8].T_map_cam, frames[8].points_cam_N3.astype(np.float64))
    assert (low >= points.min(axis=0) - 1e-5).all() and (high <= points.max(axis=0) + 1e-5).all()


def test_badly_explained_and_new_keyframes_are_drawn_more_often():
    replay = replay_of(scene.keyframes(10, points=80))
    replay.note_errors(torch.arange(8).repeat(4000), torch.zeros(32_000))  # these agree
    slots = replay.draw(40_000, newest=2, newest_share=0.2, alpha=0.3) // 50
    share = torch.bincount(slots, minlength=10) / 40_000
    weight = np.array([0.1] * 8 + [0.4] * 2)
    expected = 0.8 * weight / weight.sum()
    expected[8:] += 0.1
    held = [replay._slots[k] for k in range(10)]
    assert held == sorted(held) == list(range(10))
    assert np.allclose(share.numpy(), expected, atol=0.01)


def test_forgotten_keyframes_make_room():
    frames = scene.keyframes(60, points=30)
    replay = replay_of(frames[:10])
    for new, old in zip(frames[10:], frames, strict=False):
        replay.remove(old.id)
        replay.add(new, new.T_map_cam)
    assert len(replay) == 10 and len(replay._count_K) == 16, "16 places are the first room"
    drawn = replay.batch(replay.draw(500, 3, 0.3, 0.1))
    assert torch.isfinite(drawn.target_map_B3).all()
    assert torch.allclose(drawn.descriptors_BD.norm(dim=1), torch.ones(500), atol=1e-5)
