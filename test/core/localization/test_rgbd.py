"""The robust solver on synthetic scene coordinates: accuracy, outliers, covariance."""

import numpy as np
import pytest
from helpers.coordinates import SENSOR, SOLVER, scene
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.localization import hypotheses, proposals, refinement, scoring
from ace_slam_ros.core.localization.refinement import SHARED_ERRORS
from ace_slam_ros.core.localization.rgbd import solve_rgbd
from ace_slam_ros.core.runtime.compiled import AVAILABLE


@pytest.fixture(params=[True, False], ids=["compiled", "numpy"])
def either_path(request, monkeypatch):
    """Solve with the kernels, then without Numba."""
    for module in (hypotheses, proposals, refinement, scoring):
        monkeypatch.setattr(module, "AVAILABLE", request.param and AVAILABLE)


@pytest.mark.usefixtures("either_path")
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


@pytest.mark.usefixtures("either_path")
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


def test_a_pose_that_few_features_show_is_searched_longer():
    """Of 600 features 48 are right: the first 128 poses often miss what 512 find."""
    found = {}
    for most in (128, 512):
        rng = np.random.default_rng(3)
        found[most] = 0
        for _ in range(40):
            T, features, predictions, _ = scene(rng, outliers=0.92, hypotheses=4)
            pose = solve_rgbd(features, predictions, SOLVER, SENSOR, rng, most)
            assert pose is None or pose_error(pose.T_map_cam, T)[0] < 0.05
            found[most] += pose is not None
    assert found[512] > 1.5 * found[128] > 0


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
