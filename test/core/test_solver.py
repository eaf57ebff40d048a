"""The robust solver on synthetic scene coordinates: accuracy, outliers, covariance, twins."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.config.sections import SensorConfig, SolverConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error, transform_points
from ace_slam_ros.core.localization import rgb as solver_rgb
from ace_slam_ros.core.localization.hypotheses import Hypotheses, expand
from ace_slam_ros.core.localization.proposals import propose, score_poses, score_poses_reference
from ace_slam_ros.core.localization.rgb import solve_rgb
from ace_slam_ros.core.localization.rgbd import SHARED_ERRORS, solve_rgbd

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR, SOLVER = SensorConfig(), SolverConfig()


def scene(rng, count=600, outliers=0.5, sigma_m=0.015, hypotheses=3):
    """Random features with noisy depth and predictions, a share of them wrong."""
    T = exp_se3(rng.normal(size=6) * [2, 2, 2, 0.8, 0.8, 0.8])
    pixels = rng.uniform([0, 0], [640, 480], (count, 2))
    depth = rng.uniform(0.7, 3.0, count)
    true = CAMERA.unproject(pixels, depth)
    noisy_depth = depth + rng.normal(size=count) * (0.001 + 0.0025 * depth**2)
    y = CAMERA.unproject(pixels, noisy_depth).astype(np.float32)
    x = rng.uniform(-3, 3, (count, hypotheses, 3))
    slot = rng.integers(hypotheses, size=count)
    good = rng.random(count) > outliers
    rows = np.flatnonzero(good)
    x[rows, slot[rows]] = transform_points(T, true[rows]) + rng.normal(
        scale=sigma_m, size=(len(rows), 3))
    sigma = np.full((count, hypotheses), sigma_m, np.float32)
    sigma[:, -1][rng.random(count) < 0.3] = np.inf
    features = Features(np.zeros((count, 4), np.float32), pixels.astype(np.float32), y)
    return T, features, Predictions(x.astype(np.float32), sigma), good


@pytest.mark.parametrize("outliers", [0.0, 0.5, 0.75])
def test_pose_is_found_among_outliers(outliers):
    rng = np.random.default_rng(int(outliers * 100))
    for _ in range(5):
        T, features, predictions, good = scene(rng, outliers=outliers)
        found = solve_rgbd(features, predictions, SOLVER, SENSOR, rng)
        assert found is not None
        trans, rot = pose_error(found.T_map_cam, T)
        assert trans < 0.01 and np.degrees(rot) < 0.4
        assert found.inlier_ratio == pytest.approx(found.inliers_N.mean())
        assert (found.inliers_N & ~good).sum() < 0.05 * len(good)


def test_no_pose_for_random_coordinates():
    rng = np.random.default_rng(1)
    _, features, predictions, _ = scene(rng, outliers=1.0)
    assert solve_rgbd(features, predictions, SOLVER, SENSOR, rng) is None


def test_missing_depth_and_missing_predictions_are_ignored():
    rng = np.random.default_rng(2)
    T, features, predictions, _ = scene(rng, outliers=0.2)
    features.points_cam_N3[::2] = np.nan
    predictions.sigma_m_NS[1::4] = np.inf
    found = solve_rgbd(features, predictions, SOLVER, SENSOR, rng)
    assert found is not None and pose_error(found.T_map_cam, T)[0] < 0.015
    features.points_cam_N3[:] = np.nan
    assert solve_rgbd(features, predictions, SOLVER, SENSOR, rng) is None


def test_same_seed_same_pose():
    poses = []
    for _ in range(2):
        rng = np.random.default_rng(7)
        _, features, predictions, _ = scene(rng)
        poses.append(solve_rgbd(features, predictions, SOLVER, SENSOR, rng).T_map_cam)
    assert np.array_equal(*poses)


def test_scores_equal_the_slow_twin():
    rng = np.random.default_rng(4)
    T, features, predictions, _ = scene(rng, count=60)
    poses = np.stack([T, *(T @ exp_se3(rng.normal(scale=0.02, size=6)) for _ in range(6))])
    known = flat(features, predictions)
    assert np.allclose(score_poses(poses, known), score_poses_reference(poses, known), atol=0.05)
    some = np.array([3, 17, 41])
    assert np.allclose(score_poses(poses, known.of(some)),
                       score_poses_reference(poses, known.of(some)), atol=0.01)


def flat(features, predictions):
    sigma = predictions.sigma_m_NS
    some = np.isfinite(sigma).any(axis=1)
    gate2 = np.full(sigma.shape, 0.003, np.float32)
    return Hypotheses.from_slots(features.points_cam_N3[some], predictions.coords_map_NS3[some],
                                 sigma[some], gate2[some])


def test_ranges_are_listed_in_order():
    owner, element = expand(np.array([4, 0, 9]), np.array([2, 0, 3]))
    assert owner.tolist() == [0, 0, 2, 2, 2] and element.tolist() == [4, 5, 9, 10, 11]


@pytest.mark.parametrize("hypotheses", [1, 8, 40])
def test_the_right_pose_is_proposed_among_many_hypotheses(hypotheses):
    """One hypothesis in eighty is right: random triplets would need half a million tries."""
    rng = np.random.default_rng(5)
    T, features, predictions, _ = scene(rng, count=900, outliers=0.5, hypotheses=hypotheses)
    poses = propose(flat(features, predictions), rng, 128)
    assert 0 < len(poses) <= 128
    near = [pose_error(pose, T)[0] < 0.2 for pose in poses]
    assert np.sum(near) >= 3


@pytest.mark.parametrize("claimed", [0.5, 1.0, 2.5])
def test_covariance_tells_the_error_whatever_experts_claim(claimed):
    """Independent errors here: only the share that real features have in common is too much."""
    rng = np.random.default_rng(11)
    normalized = []
    for _ in range(30):
        T, features, predictions, _ = scene(rng, outliers=0.3)
        told = Predictions(predictions.coords_map_NS3, predictions.sigma_m_NS * claimed)
        found = solve_rgbd(features, told, SOLVER, SENSOR, rng)
        moved = found.T_map_cam @ np.linalg.inv(T)
        error = np.concatenate([found.T_map_cam[:3, 3] - T[:3, 3],
                                Rotation.from_matrix(moved[:3, :3]).as_rotvec()])
        normalized.append(error @ np.linalg.inv(found.covariance_66) @ error / 6)
        assert np.allclose(found.covariance_66, found.covariance_66.T)
        assert np.linalg.eigvalsh(found.covariance_66).min() > 0
    assert 0.6 < SHARED_ERRORS * np.mean(normalized) < 1.6


def surface(rng, count=600, outliers=0.5, hypotheses=6):
    """Features on a wavy wall without depth, hypotheses among wrong ones anywhere."""
    T = exp_se3(rng.normal(size=6) * [2, 2, 2, 0.8, 0.8, 0.8])
    pixels = rng.uniform([0, 0], [640, 480], (count, 2))
    depth = 2 + 0.5 * np.sin(pixels[:, 0] / 90) + 0.3 * np.cos(pixels[:, 1] / 70)
    x = rng.uniform(-8, 8, (count, hypotheses, 3))
    rows = np.flatnonzero(rng.random(count) > outliers)
    true = transform_points(T, CAMERA.unproject(pixels, depth))[rows]
    x[rows, rng.integers(hypotheses, size=len(rows))] = true + rng.normal(
        scale=0.01, size=true.shape)
    sigma = np.full((count, hypotheses), 0.01, np.float32)
    features = Features(np.zeros((count, 4), np.float32), pixels.astype(np.float32),
                        np.full((count, 3), np.nan, np.float32))
    return T, features, Predictions(x.astype(np.float32), sigma)


def test_rgb_only_pose():
    rng = np.random.default_rng(12)
    for _ in range(4):
        T, features, predictions = surface(rng)
        found = solve_rgb(features, predictions, CAMERA, SOLVER, seed=0)
        assert found is not None
        trans, rot = pose_error(found.T_map_cam, T)
        assert trans < 0.03 and np.degrees(rot) < 0.8
        assert np.linalg.eigvalsh(found.covariance_66).min() > 0
        assert 0.35 < found.inlier_ratio < 0.6


def test_rgb_only_refuses_random_coordinates():
    rng = np.random.default_rng(13)
    _, features, predictions = surface(rng, outliers=1.0)
    assert solve_rgb(features, predictions, CAMERA, SOLVER, seed=0) is None


def test_support_equals_a_plain_loop(monkeypatch):
    monkeypatch.setattr(solver_rgb, "_CHUNK", 100)  # many chunks
    _, features, predictions = surface(np.random.default_rng(14), count=40)
    known, pixels = flat(features, predictions), features.pixels_N2
    expected = []
    for feature, own in enumerate(predictions.coords_map_NS3):
        nearest = np.argsort(np.linalg.norm(pixels - pixels[feature], axis=1))[1:17]
        for x in own:
            near = np.linalg.norm(predictions.coords_map_NS3[nearest] - x, axis=2) < 0.35
            expected.append(int(near.any(axis=1).sum()))
    assert solver_rgb.support(known, pixels).tolist() == expected
