"""The window: derivatives, and a dense twin."""

import numpy as np
from helpers.tracks import CAMERA, SENSOR, numeric

from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    invert_pose,
    pose_error,
    transform_points,
)
from ace_slam_ros.core.odometry.bundle_adjustment import (
    ITERATIONS,
    Window,
    iterate,
    linearize,
    sum_up,
    sum_up_twin,
)
from ace_slam_ros.core.odometry.residuals import whitening


def adjust(made):
    """Do all steps of an adjustment in place; returns what the last says of the depths."""
    for _ in range(ITERATIONS):
        narrowed = iterate(made, CAMERA, SENSOR)
    return narrowed


def window(rng, keyframes=4, count=40, noise_px=0.2):
    """Return a window with known truth: (window as first guessed, true poses)."""
    poses = np.stack([exp_se3(np.concatenate([rng.uniform(-0.15, 0.15, 3),
                                              rng.uniform(-0.05, 0.05, 3)]))
                      for _ in range(keyframes)])
    poses[0] = np.eye(4)
    host = np.repeat(np.arange(keyframes), count)
    corners = rng.uniform((120, 100), (520, 380), (len(host), 2))
    depth = rng.uniform(1.0, 2.5, len(host))
    rays = CAMERA.unproject(corners, np.ones(len(host)))
    point, target = np.meshgrid(np.arange(len(host)), np.arange(keyframes), indexing="ij")
    other = host[point.ravel()] != target.ravel()
    point, target = point.ravel()[other], target.ravel()[other]
    in_target = np.stack([
        transform_points(invert_pose(poses[t]) @ poses[host[p]], (rays[p] * depth[p])[None])[0]
        for p, t in zip(point, target, strict=True)])
    pixels = CAMERA.project(in_target) + rng.normal(0, noise_px, (len(point), 2))
    sigma = SENSOR.depth_sigma_m(depth)
    measured = depth + rng.normal(0, 1, len(depth)) * sigma
    seen_depth = in_target[:, 2] + rng.normal(0, 0.01, len(point))
    seen_depth[::3] = np.nan
    free = np.ones(keyframes, bool)
    free[0] = False
    guessed = poses.copy()
    for k in range(1, keyframes):
        guessed[k] = poses[k] @ exp_se3(rng.normal(0, 0.003, 6))
    white = np.tile([1.0, 0.0, 1.0], (len(point), 1))
    return Window(guessed, free, rays, host, 1.0 / measured, measured, sigma, point, target,
                  pixels, seen_depth, white), poses


def uneven(rng, count):
    """Return a whitening of tracks that are surer in one direction than in another."""
    return whitening(rng.uniform((0.1, -0.1, 0.1), (4.0, 0.1, 4.0), (count, 3)), 1.0)


def test_window_derivatives_are_those_of_the_residuals():
    rng = np.random.default_rng(2)
    made, _ = window(rng, keyframes=2, count=5)
    made.white_m3 = uneven(rng, len(made.point_m))
    sigma = SENSOR.depth_sigma_m(made.depth_m)
    _, J_host, J_target, J_inverse = linearize(made, CAMERA, sigma)
    poses, inverse = made.poses_K44.copy(), made.inverse_n.copy()
    for k in range(2):
        def moved(xi, k=k):
            made.poses_K44 = poses.copy()
            made.poses_K44[k] = poses[k] @ exp_se3(xi)
            return linearize(made, CAMERA, sigma)[0]

        host = made.host_n[made.point_m] == k
        expected = np.where(host[:, None, None], J_host, J_target)
        assert np.allclose(expected, numeric(moved, 6), rtol=1e-4, atol=1e-2)
    made.poses_K44 = poses

    def deeper(step):
        made.inverse_n = inverse + step[0]
        return linearize(made, CAMERA, sigma)[0]

    assert np.allclose(J_inverse, numeric(deeper, 1)[..., 0], rtol=1e-4, atol=1e-2)


def test_window_agrees_with_a_dense_least_squares_twin():
    """The slow twin solves for all poses and depths at once, without eliminating anything."""
    from scipy.optimize import least_squares

    rng = np.random.default_rng(3)
    made, truth = window(rng, keyframes=3, count=25)
    sigma = SENSOR.depth_sigma_m(made.depth_m)
    start, inverse = made.poses_K44.copy(), made.inverse_n.copy()
    twin = Window(**{**vars(made), "poses_K44": start.copy(), "inverse_n": inverse.copy()})

    def apply(x):
        twin.poses_K44 = start.copy()
        for k in (1, 2):
            twin.poses_K44[k] = start[k] @ exp_se3(x[6 * k - 6:6 * k])
        twin.inverse_n = inverse + x[12:]

    spread = 0.5  # what the window measures when tracks are sharp

    def cost(x):
        apply(x)
        r = linearize(twin, CAMERA, sigma)[0]
        r[:, :2] /= spread
        prior = (twin.inverse_n - 1 / made.measured_n) / (made.sigma_n * twin.inverse_n**2)
        return np.concatenate([r.ravel(), prior])

    apply(least_squares(cost, np.zeros(12 + len(inverse))).x)
    adjust(made)
    for k in (1, 2):
        assert pose_error(made.poses_K44[k], twin.poses_K44[k])[0] < 0.001
        before, after = pose_error(start[k], truth[k])[0], pose_error(
            made.poses_K44[k], truth[k])[0]
        assert after < 0.3 * before
    assert np.median(np.abs(made.inverse_n - twin.inverse_n)) < 0.002


def test_points_that_many_keyframes_see_are_surer_than_one_measurement():
    made, _ = window(np.random.default_rng(28), keyframes=4, count=25)
    alone = np.arange(len(made.rays_n3)) % 5 == 0
    seen = ~alone[made.point_m]
    made.point_m, made.target_m = made.point_m[seen], made.target_m[seen]
    made.pixels_m2, made.depth_m = made.pixels_m2[seen], made.depth_m[seen]
    made.white_m3 = made.white_m3[seen]
    narrowed = adjust(made)
    assert np.allclose(narrowed[alone], 1.0)
    assert (narrowed[~alone] < 0.9).all() and narrowed.min() >= 0.1


def test_compiled_equations_are_those_of_the_twin():
    rng = np.random.default_rng(31)
    for fixed in ([0], [1, 3]):
        made, _ = window(rng, keyframes=5, count=30)
        made.white_m3 = uneven(rng, len(made.point_m))
        made.free_K[:] = True
        made.free_K[fixed] = False
        made.pixels_m2[::7] += rng.uniform(-30, 30, made.pixels_m2[::7].shape)
        column = np.where(made.free_K, np.cumsum(made.free_K) - 1, -1)
        of_both = made, CAMERA, SENSOR, column, 6 * int(made.free_K.sum())
        found, twin = vars(sum_up(*of_both)), vars(sum_up_twin(*of_both))
        for name, expected in twin.items():
            scale = np.abs(expected).max()
            assert np.allclose(found[name], expected, rtol=1e-6, atol=1e-9 * scale), name
