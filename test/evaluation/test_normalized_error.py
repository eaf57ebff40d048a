"""Normalized errors: 1 for honest covariances, of poses alone and of those that drift."""

import numpy as np

from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.geometry.se3 import exp_se3, make_pose
from ace_slam_ros.evaluation.normalized_error import normalized_error


def test_normalized_error_is_one_for_honest_covariances():
    rng = np.random.default_rng(7)
    spread = rng.normal(0, 1, (300, 6, 6)) * (0.01 * np.array([1, 1, 1, 0.3, 0.3, 0.3]))[:, None]
    covariances = spread @ spread.transpose(0, 2, 1) + 1e-6 * np.eye(6)
    true = [exp_se3(rng.normal(0, 0.5, 6)) for _ in range(300)]
    T_map_world = exp_se3(np.array([1.0, 2.0, 3.0, 0.4, 0.5, 0.6]))
    found = []
    for T, C in zip(true, covariances, strict=True):
        error = rng.multivariate_normal(np.zeros(6), C)
        moved = T_map_world @ T
        turned = exp_se3(np.array([0, 0, 0, *error[3:]]))
        found.append(make_pose(turned[:3, :3] @ moved[:3, :3], moved[:3, 3] + error[:3]))
    stamps = np.arange(300) * 33_000_000
    estimate, truth = Trajectory(stamps, np.stack(found)), Trajectory(stamps, np.stack(true))
    assert 0.7 < normalized_error(estimate, covariances, truth).pose < 1.4
    assert normalized_error(estimate, 4 * covariances, truth).pose < 0.4
    parts = normalized_error(estimate, covariances, truth)
    assert 0.7 < parts.translation < 1.4 and 0.7 < parts.rotation < 1.4
    turned_only = covariances.copy()
    turned_only[:, 3:, 3:] *= 4.0  # correlations stay, so this is only looked at part by part
    parts = normalized_error(estimate, turned_only, truth)
    assert 0.7 < parts.translation < 1.4 and parts.rotation < 0.4
    assert normalized_error(estimate, covariances, truth, (0.1, 0.1)).pose < 0.1
    far = Trajectory(stamps + 10**12, np.stack(true))
    assert np.isnan(normalized_error(estimate, covariances, far).pose)


def test_normalized_error_of_drift_is_seen_from_where_the_map_began():
    """A dead-reckoned walk: covariances grow from almost nothing, as the map's frame has it."""
    rng = np.random.default_rng(8)
    step_66 = np.diag([0.003, 0.003, 0.003, 0.001, 0.001, 0.001]) ** 2
    stamps, ratios = np.arange(100) * 33_000_000, []
    for _ in range(20):
        T_world, T_map, C = make_pose(np.eye(3), np.ones(3)), np.eye(4), 1e-8 * np.eye(6)
        rows = []
        for _ in range(100):
            rows.append((T_world, T_map, C))
            moved = exp_se3(rng.normal(0, 1, 6) * np.array([0.05] * 3 + [0.03] * 3))
            error = rng.multivariate_normal(np.zeros(6), step_66)
            T_world, T_map = T_world @ moved, T_map @ moved @ exp_se3(error)
            R_66 = np.kron(np.eye(2), T_map[:3, :3])
            J_66 = np.eye(6)  # an earlier rotation error turns what came after it
            a = (T_map[:3, 3] - rows[-1][1][:3, 3])
            J_66[:3, 3:] = -np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
            C = J_66 @ C @ J_66.T + R_66 @ step_66 @ R_66.T
        true, found, covariances = (np.stack(column) for column in zip(*rows, strict=True))
        ratios.append(normalized_error(
            Trajectory(stamps, found), covariances, Trajectory(stamps, true)).pose)
    assert 0.7 < np.mean(ratios) < 1.4
