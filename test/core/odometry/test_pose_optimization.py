"""Refining one pose: derivatives, wrong tracks, honest covariances."""

import cv2
import numpy as np
import pytest
from helpers.tracks import CAMERA, SENSOR, numeric, scene
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    invert_pose,
    make_pose,
    pose_error,
    transform_points,
    transport_covariance,
)
from ace_slam_ros.core.odometry import pose_optimization
from ace_slam_ros.core.odometry.local_window import inflate_by_innovation
from ace_slam_ros.core.odometry.motion_model import Motion
from ace_slam_ros.core.odometry.pose_optimization import optimize_pose, solve_twin
from ace_slam_ros.core.odometry.residuals import (
    Sightings,
    TrackResiduals,
    whiten,
    whitening,
)


def uneven(rng, count):
    """Misfits of tracks that are surer in one direction than in another."""
    return rng.uniform((0.1, -0.1, 0.1), (4.0, 0.1, 4.0), (count, 3)).astype(np.float32)


@pytest.mark.parametrize("by_misfit", [False, True])
def test_pose_derivatives_are_those_of_the_residuals(by_misfit):
    rng = np.random.default_rng(0)
    points, pixels = scene(rng, 20)
    depth, unsure = points[:, 2] + rng.normal(0, 0.01, 20), rng.normal(0, 0.02, points.shape)
    depth[:5] = np.nan
    T = exp_se3(np.array([0.1, 0.2, -0.3, 0.2, -0.1, 0.3]))
    seen = Sightings(transform_points(invert_pose(T), points), pixels, depth,
                     unsure @ T[:3, :3], uneven(rng, 20))
    at = TrackResiduals(seen, CAMERA, SENSOR, by_misfit)
    off = CAMERA.project(points) - pixels
    if by_misfit:
        off = whiten(off, seen.whitening(SENSOR.pixel_sigma))
    assert np.allclose(at.at(T).r_3n[:2], off.T)
    assert (at.at(T).r_3n[2, :5] == 0.0).all()
    assert np.allclose(
        at.at(T).r_3n[2, 5:], ((points[:, 2] - depth) / SENSOR.depth_sigma_m(depth))[5:])
    J = at.at(T).J_63n.transpose(2, 1, 0)
    found = numeric(lambda xi: at.at(exp_se3(xi) @ T).r_3n.T, 6)
    assert np.allclose(J, found, rtol=1e-4, atol=1e-3)
    assert np.allclose(at.at(T).off_3n.T, np.einsum("nij,nj->ni", J[..., :3], unsure))


def test_pose_is_found_among_wrong_tracks_and_missing_depth():
    rng = np.random.default_rng(1)
    points, _ = scene(rng)
    T_true = exp_se3(np.array([0.05, -0.03, 0.08, 0.03, -0.02, 0.05]))
    in_cam = transform_points(invert_pose(T_true), points)
    pixels = CAMERA.project(in_cam) + rng.normal(0, 0.3, (len(points), 2))
    pixels[:60] += rng.uniform(-60, 60, (60, 2))
    depth = in_cam[:, 2] + rng.normal(0, 1, len(points)) * SENSOR.depth_sigma_m(in_cam[:, 2])
    depth[::2] = np.nan
    found = optimize_pose(np.eye(4), Sightings(points, pixels, depth), CAMERA, SENSOR, 25)
    assert found is not None
    translation_m, rotation_rad = pose_error(found.aligned.T_map_cam, T_true)
    assert translation_m < 0.003 and rotation_rad < 0.002
    assert found.agrees_n[60:].mean() > 0.95 and found.agrees_n[:60].mean() < 0.2


def test_the_covariance_of_a_pose_tells_its_error():
    rng = np.random.default_rng(21)
    sensor, normalized = SensorConfig(), []
    for _ in range(60):
        points, pixels = scene(rng)
        T, depth = exp_se3(rng.normal(size=6)), points[:, 2]
        noisy = pixels + rng.normal(size=pixels.shape) * sensor.pixel_sigma
        depth = depth + rng.normal(size=len(depth)) * sensor.depth_sigma_m(depth)
        start = T @ exp_se3(rng.normal(size=6) * 0.005)
        seen = Sightings(transform_points(T, points), noisy, depth)
        found = optimize_pose(start, seen, CAMERA, sensor, 25).aligned
        moved = found.T_map_cam @ invert_pose(T)
        error = np.concatenate([found.T_map_cam[:3, 3] - T[:3, 3],
                                cv2.Rodrigues(moved[:3, :3])[0].ravel()])
        normalized.append(error @ np.linalg.inv(found.covariance_66) @ error / 6)
    assert 0.5 < np.mean(normalized) < 2.0


def narrow_view(rng, sensor, growth, count=120):
    """A pose, and what a view too narrow for pixels to tell distance sees from there.

    `growth` times as much noise on all depths, near and far, as the sensor's model says.
    """
    pixels = rng.uniform((290, 210), (350, 270), (count, 2))
    depth = np.where(np.arange(count) % 2 == 0, 0.7, 4.0) * rng.uniform(0.9, 1.1, count)
    T = exp_se3(rng.normal(size=6))
    measured = depth + growth * rng.normal(size=count) * sensor.depth_sigma_m(depth)
    noisy = pixels + rng.normal(size=pixels.shape) * sensor.pixel_sigma
    return T, Sightings(transform_points(T, CAMERA.unproject(pixels, depth)), noisy, measured)


@pytest.mark.parametrize("growth", [1.0, 3.0])
def test_the_covariance_tells_how_noisy_depth_is_here(growth):
    rng = np.random.default_rng(24)
    sensor, normalized = SensorConfig(), []
    for _ in range(60):
        T, seen = narrow_view(rng, sensor, growth)
        found = optimize_pose(T, seen, CAMERA, sensor, 25).aligned
        ahead = T[:3, 2]
        error_m = ahead @ (found.T_map_cam[:3, 3] - T[:3, 3])
        normalized.append(error_m**2 / (ahead @ found.covariance_66[:3, :3] @ ahead))
    assert 0.5 < np.mean(normalized) < 2.0


def test_depth_counts_by_how_noisy_it_is_at_its_distance():
    rng = np.random.default_rng(25)
    sensor = SensorConfig()
    alike = SensorConfig(noise_base_m=0.01, noise_quadratic=0.0)
    squares = np.zeros(2)
    for _ in range(60):
        T, seen = narrow_view(rng, sensor, growth=1.0)
        for n, model in enumerate((sensor, alike)):
            found = optimize_pose(T, seen, CAMERA, model, 25).aligned
            squares[n] += pose_error(found.T_map_cam, T)[0] ** 2
    assert np.sqrt(squares[0]) < 0.7 * np.sqrt(squares[1])


def test_how_unsure_points_are_makes_the_pose_better():
    rng = np.random.default_rng(27)
    squares, normalized = np.zeros(2), []
    for _ in range(60):
        pixels = rng.uniform((20, 20), (620, 460), (300, 2))
        depth = rng.uniform(1.0, 5.0, 300)
        sigma = SENSOR.depth_sigma_m(depth)
        true = CAMERA.unproject(pixels, depth)
        believed = CAMERA.unproject(pixels, depth + sigma * rng.normal(size=300))
        T = exp_se3(np.concatenate([rng.normal(size=3) * 0.15, rng.normal(size=3) * 0.03]))
        in_cam = transform_points(invert_pose(T), true)
        seen = CAMERA.project(in_cam) + 0.25 * rng.normal(size=(300, 2))
        measured = in_cam[:, 2] + rng.normal(size=300) * SENSOR.depth_sigma_m(in_cam[:, 2])
        for n, unsure in enumerate((CAMERA.unproject(pixels, sigma), None)):
            found = optimize_pose(
                T, Sightings(believed, seen, measured, unsure), CAMERA, SENSOR, 25).aligned
            squares[n] += pose_error(found.T_map_cam, T)[0] ** 2
            if unsure is not None:
                moved = found.T_map_cam @ invert_pose(T)
                error = np.concatenate([found.T_map_cam[:3, 3] - T[:3, 3],
                                        cv2.Rodrigues(moved[:3, :3])[0].ravel()])
                normalized.append(error @ np.linalg.inv(found.covariance_66) @ error / 6)
    assert np.sqrt(squares[0]) < 0.9 * np.sqrt(squares[1])
    assert np.mean(normalized) < 2.0


def test_a_covariance_is_carried_across_an_arm_as_samples_are():
    rng = np.random.default_rng(22)
    root = rng.normal(size=(6, 6)) * [[0.01]] * 3
    arm = np.array([0.4, -1.0, 2.0])
    errors = rng.normal(size=(20000, 6)) @ root.T
    there = errors.copy()
    there[:, :3] += np.cross(errors[:, 3:], arm)
    expected = transport_covariance(root @ root.T, arm)
    assert np.abs(np.cov(there.T) - expected).max() < 0.05 * np.abs(expected).max()


def test_a_covariance_grows_by_a_motion_that_it_does_not_expect():
    rng = np.random.default_rng(29)
    root = rng.normal(size=(6, 6)) * 0.01
    covariance, pose = root @ root.T, exp_se3(rng.normal(size=6))
    expected = root @ (0.9 * np.array([1.0, -1, 1, 1, -1, 1]))  # less than one sigma of each
    turned = make_pose(Rotation.from_rotvec(expected[3:]).as_matrix() @ pose[:3, :3],
                       pose[:3, 3] + expected[:3])
    assert np.array_equal(inflate_by_innovation(covariance, pose, turned), covariance)
    moved = pose.copy()
    moved[:3, 3] += (0.03, 0.0, 0.0)
    grown = inflate_by_innovation(np.zeros((6, 6)), pose, moved)
    assert 0.9 * 0.03 < np.sqrt(grown[0, 0]) <= 0.03
    grown[0, 0] = 0.0
    assert not grown.any(), "only along the motion"


def test_tracks_that_slide_along_edges_count_across_them():
    rng = np.random.default_rng(32)
    squares, normalized = np.zeros(2), []
    for _ in range(40):
        points, pixels = scene(rng)
        T = exp_se3(rng.normal(size=6) * 0.3)
        angle, strong = rng.uniform(0, np.pi, 200), np.linspace(0.0, 9.0, 200)
        along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        misfit = (along[:, [0, 0, 1]] * along[:, [0, 1, 1]] * strong[:, None])
        noise = np.linalg.solve(
            np.stack([np.array([[a, b], [0, c]]) for a, b, c in whitening(misfit, 1.0)]),
            rng.normal(size=(200, 2, 1)))[..., 0]
        believed, none = transform_points(T, points), np.full(200, np.nan)
        for n, known in enumerate((misfit.astype(np.float32), None)):
            seen = Sightings(believed, pixels + noise, none, misfit_n3=known)
            found = optimize_pose(T, seen, CAMERA, SENSOR, 25).aligned
            squares[n] += pose_error(found.T_map_cam, T)[0] ** 2
            if known is not None:
                moved = found.T_map_cam @ invert_pose(T)
                error = np.concatenate([found.T_map_cam[:3, 3] - T[:3, 3],
                                        cv2.Rodrigues(moved[:3, :3])[0].ravel()])
                normalized.append(error @ np.linalg.inv(found.covariance_66) @ error / 6)
    assert np.sqrt(squares[0]) < 0.7 * np.sqrt(squares[1])
    assert 0.5 < np.mean(normalized) < 2.0


def test_no_track_agrees_because_its_patch_misfits():
    rng = np.random.default_rng(33)
    points, pixels = scene(rng)
    pixels[:80] += rng.uniform(4, 12, (80, 2)) * rng.choice([-1, 1], (80, 2))
    misfit = np.where(np.arange(len(points))[:, None] < 80, (40.0, 0.0, 40.0), 0.2)
    judged = [optimize_pose(np.eye(4), Sightings(
        points, pixels, points[:, 2], misfit_n3=of_patches), CAMERA, SENSOR, 25)
        for of_patches in (misfit.astype(np.float32), None)]
    assert (judged[0].agrees_n == judged[1].agrees_n).all()
    assert judged[0].aligned.inliers == judged[1].aligned.inliers


@pytest.mark.parametrize("readout_s", [None, 0.0, 0.015])
@pytest.mark.parametrize("unsure", [True, False])
def test_the_compiled_solution_is_that_of_the_twin(readout_s, unsure):
    """`readout_s` None: the velocity is not known either. `unsure`: points and tracks are."""
    rng = np.random.default_rng(30)
    for _ in range(5):
        points, pixels = scene(rng)
        T = exp_se3(rng.normal(size=6) * 0.3)
        depth = points[:, 2] + rng.normal(size=len(points)) * SENSOR.depth_sigma_m(points[:, 2])
        depth[::4] = np.nan
        pixels += rng.normal(size=pixels.shape) * 0.4
        pixels[:30] += rng.uniform(-60, 60, (30, 2))
        seen = Sightings(transform_points(T, points), pixels, depth,
                         rng.normal(0, 0.01, points.shape) if unsure else None,
                         uneven(rng, len(points)) if unsure else None)
        start = T @ exp_se3(rng.normal(size=6) * 0.01)
        before = T @ exp_se3(rng.normal(size=6) * 0.02)
        motion = None if readout_s is None else Motion(before, 0.03, before)
        of_solve = (start, seen, CAMERA, SENSOR, motion, readout_s or 0.0)
        found, twin = pose_optimization.solve(*of_solve), solve_twin(*of_solve)
        for one, other in zip(found, twin, strict=True):
            if one is None:
                assert other is None and motion is None
            else:
                assert np.allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())
    behind = start @ exp_se3(np.array([0.0, 0.0, 9.0, 0.0, 0.0, 0.0]))
    for solves in (pose_optimization.solve, solve_twin):
        assert solves(behind, *of_solve[1:]) is None
