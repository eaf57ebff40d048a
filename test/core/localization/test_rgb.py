"""Poses from color alone."""

import numpy as np
import pytest
from helpers.coordinates import CAMERA, SOLVER, flat

from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error, transform_points
from ace_slam_ros.core.localization import rgb as solver_rgb
from ace_slam_ros.core.localization.rgb import solve_rgb


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


@pytest.mark.parametrize("library", ["PoseLib", "OpenCV"])
def test_either_library_finds_the_pose(library, monkeypatch):
    if library == "OpenCV":
        monkeypatch.setattr(solver_rgb, "poselib", None)
    elif solver_rgb.poselib is None:
        pytest.skip("poselib is not installed (optional)")
    assert library in solver_rgb.solver_name()
    T, features, predictions = surface(np.random.default_rng(15))
    found = solve_rgb(features, predictions, CAMERA, SOLVER, seed=0)
    assert found is not None and pose_error(found.T_map_cam, T)[0] < 0.03


def test_votes_equal_a_plain_loop():
    _, features, predictions = surface(np.random.default_rng(14), count=300)
    known, pixels = flat(features, predictions), features.pixels_N2
    gaps = np.linalg.norm(pixels[:, None] - pixels, axis=2)
    beside = np.argsort(gaps, axis=1)[:, 1:13]
    expected = []
    for feature, own in enumerate(predictions.coords_map_NS3):
        for x in own:
            near = np.linalg.norm(
                predictions.coords_map_NS3[beside[feature]] - x, axis=2) < 0.25
            expected.append(int(near.any(axis=1).sum()))
    assert max(expected) > 3
    for count in (solver_rgb.count_votes, solver_rgb.count_votes_twin):
        votes = np.empty(len(known.x_M3), np.int64)
        count(beside, known.start_n, known.count_n, known.x_M3, votes)
        assert votes.tolist() == expected


def test_the_best_supported_hypothesis_of_a_feature_is_tried_first():
    _, features, predictions = surface(np.random.default_rng(16), outliers=0.0)
    known = flat(features, predictions)
    tried = solver_rgb.best_supported(known, features.pixels_N2)
    owners = known.owner_M[tried]
    assert len(set(owners.tolist())) == len(tried), "one of each feature"
