"""Smooth trajectories, noise on them, and moved copies."""

import numpy as np

from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.geometry.se3 import exp_se3

STEP_NS = 33_000_000


def smooth(count: int = 200, seed: int = 0) -> Trajectory:
    rng = np.random.default_rng(seed)
    phase, speed = rng.uniform(0, 6, 6), rng.uniform(0.5, 2, 6)
    t = np.arange(count) * STEP_NS * 1e-9
    twists = 0.5 * np.sin(speed * t[:, None] + phase)
    poses = np.stack([exp_se3(x) for x in twists])
    return Trajectory(1_300_000_000_000_000_000 + np.arange(count) * STEP_NS, poses)


def noisy(truth: Trajectory, sigma: float, seed: int = 1) -> Trajectory:
    rng = np.random.default_rng(seed)
    moves = np.stack([exp_se3(rng.normal(0, sigma, 6)) for _ in range(len(truth))])
    return Trajectory(truth.stamps_ns, truth.T_map_cam_N44 @ moves)


def moved(T_44: np.ndarray, trajectory: Trajectory) -> Trajectory:
    return Trajectory(trajectory.stamps_ns, T_44 @ trajectory.T_map_cam_N44)
