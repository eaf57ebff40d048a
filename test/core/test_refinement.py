"""Refinement: derivatives, the window against a dense twin, rolling shutter, following corners."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.config.sections import SensorConfig, TrackerConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    invert_pose,
    make_pose,
    pose_error,
    transform_points,
)
from ace_slam_ros.core.odometry.bundle_adjustment import ITERATIONS, Window, iterate, linearize
from ace_slam_ros.core.odometry.corners import contrast, detect_corners
from ace_slam_ros.core.odometry.frame_alignment import LocalSight
from ace_slam_ros.core.odometry.local_map import LocalMap
from ace_slam_ros.core.odometry.optical_flow import Template, follow
from ace_slam_ros.core.odometry.pose_optimization import carried, optimize_pose, surprised
from ace_slam_ros.core.odometry.residuals import (
    Linearized,
    Sightings,
    TrackResiduals,
    normal_equations,
)
from ace_slam_ros.core.odometry.rolling_shutter import RollingShutter, sweep

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR = SensorConfig()


def adjust(made):
    """Do all steps of an adjustment in place; returns what the last says of the depths."""
    for _ in range(ITERATIONS):
        narrowed = iterate(made, CAMERA, SENSOR)
    return narrowed


def scene(rng, count=200):
    """Points in front of a camera at the origin, and their pixels."""
    pixels = rng.uniform((20, 20), (620, 460), (count, 2))
    return CAMERA.unproject(pixels, rng.uniform(0.8, 3.0, count)), pixels


def numeric(function, size, step=1e-6):
    """Central differences of a vector function, one column per unknown."""
    return np.stack([(function(step * e) - function(-step * e)) / (2 * step)
                     for e in np.eye(size)], axis=-1)


def test_pose_derivatives_are_those_of_the_residuals():
    rng = np.random.default_rng(0)
    points, pixels = scene(rng, 20)
    depth, unsure = points[:, 2] + rng.normal(0, 0.01, 20), rng.normal(0, 0.02, points.shape)
    depth[:5] = np.nan
    T = exp_se3(np.array([0.1, 0.2, -0.3, 0.2, -0.1, 0.3]))
    seen = Sightings(transform_points(invert_pose(T), points), pixels, depth,
                     unsure @ T[:3, :3])
    at = TrackResiduals(seen, CAMERA, SENSOR)
    assert np.allclose(at.at(T).r_3n[:2], (CAMERA.project(points) - pixels).T)
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
    translation_m, rotation_rad = pose_error(found[0].T_map_cam, T_true)
    assert translation_m < 0.003 and rotation_rad < 0.002
    assert found[1][60:].mean() > 0.95 and found[1][:60].mean() < 0.2


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
    return Window(guessed, free, rays, host, 1.0 / measured, measured, sigma, point, target,
                  pixels, seen_depth), poses


def test_window_derivatives_are_those_of_the_residuals():
    made, _ = window(np.random.default_rng(2), keyframes=2, count=5)
    sigma = SENSOR.depth_sigma_m(made.depth_m)
    _, J_host, J_target, J_inverse = linearize(made, CAMERA, SENSOR, sigma)
    poses, inverse = made.poses_K44.copy(), made.inverse_n.copy()
    for k in range(2):
        def moved(xi, k=k):
            made.poses_K44 = poses.copy()
            made.poses_K44[k] = poses[k] @ exp_se3(xi)
            return linearize(made, CAMERA, SENSOR, sigma)[0]

        host = made.host_n[made.point_m] == k
        expected = np.where(host[:, None, None], J_host, J_target)
        assert np.allclose(expected, numeric(moved, 6), rtol=1e-4, atol=1e-2)
    made.poses_K44 = poses

    def deeper(step):
        made.inverse_n = inverse + step[0]
        return linearize(made, CAMERA, SENSOR, sigma)[0]

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
        r = linearize(twin, CAMERA, SENSOR, sigma)[0]
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


@pytest.mark.parametrize("readout_s", [0.0, 0.02])
def test_the_readout_time_of_the_shutter_is_measured(readout_s):
    rng = np.random.default_rng(4)
    shutter = RollingShutter(-1.0)
    for _ in range(40):
        points, _ = scene(rng)
        twist = rng.normal(0, (0.3, 0.3, 0.3, 0.4, 0.4, 0.4))
        pixels = CAMERA.project(points)
        for _ in range(3):  # the row a point falls on tells when it is seen
            late = (readout_s * pixels[:, 1] / CAMERA.height)[:, None]
            moved = np.stack([transform_points(exp_se3(-t[0] * twist), p[None])[0]
                              for t, p in zip(late, points, strict=True)])
            pixels = CAMERA.project(moved)
        pixels += rng.normal(0, 0.3, pixels.shape)
        swept = sweep(points, pixels, twist, CAMERA)
        seen = Sightings(points, pixels, np.full(len(points), np.nan))
        still = pixels + shutter.readout_s * swept
        found = optimize_pose(
            np.eye(4), seen, CAMERA, SENSOR, 25, still_n2=lambda _, still=still: still)
        assert found is not None and len(found[2].z_n) == len(points)
        in_cam = transform_points(invert_pose(found[0].T_map_cam), points)
        learned = found[2].r_3n[:2], found[2].J_63n[:, :2]
        shutter.observe(sweep(in_cam, pixels, twist, CAMERA), *learned)
    assert abs(shutter.readout_s - readout_s) < 0.002
    given = RollingShutter(0.01)
    given.observe(swept, *learned)
    assert given.readout_s == 0.01


def picture(rng):
    """A picture with texture of several sizes."""
    gray = sum(cv2.GaussianBlur(rng.normal(0, 1, (480, 640)), (0, 0), s) * s for s in (1, 3, 9))
    gray = (gray - gray.min()) / (gray.max() - gray.min())
    return (255 * gray).astype(np.uint8)


def test_corners_are_followed_through_a_turn():
    rng = np.random.default_rng(5)
    image = picture(rng)
    turn = cv2.getRotationMatrix2D((320, 240), 15.0, 1.15)
    turned = cv2.warpAffine(image, turn, (640, 480))
    corners = detect_corners(image, 200)
    true = corners @ turn[:, :2].T + turn[:, 2]
    guess = (true + rng.uniform(-3, 3, true.shape)).astype(np.float32)
    template = Template(image, corners, contrast(image, corners))
    index, found = follow(template, turned, guess, False)
    error = np.linalg.norm(found - true[index], axis=1)
    assert len(index) > 0.6 * len(corners) and np.median(error) < 0.1


def test_a_warped_template_is_used_again_while_it_fits():
    """The turn is too large for windows that are not turned; the camera goes on and comes back."""
    rng = np.random.default_rng(7)
    image = picture(rng)
    corners = detect_corners(image, 200)
    template = Template(image, corners, contrast(image, corners))
    warped = []
    for degrees, right_px in ((15.0, 0.0), (15.3, 3.0), (15.0, 60.0), (25.0, 60.0), (0.0, 0.0)):
        turn = cv2.getRotationMatrix2D((320, 240), degrees, 1.0)
        turn[0, 2] += right_px
        true = (corners @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
        index, found = follow(
            template, cv2.warpAffine(image, turn, (640, 480)), true + np.float32(1.0), False)
        assert len(index) > 0.6 * len(corners)
        assert np.median(np.linalg.norm(found - true[index], axis=1)) < 0.1
        warped.append(template.towards(index, true[index])[0])
    assert warped[1] is warped[0], "a quarter of a degree and three pixels"
    assert warped[2] is not warped[1], "a tenth of the image would be missing"
    assert warped[3] is not warped[2] and warped[4] is image


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_is_followed_into_a_blank_image(value):
    image = picture(np.random.default_rng(6))
    corners = detect_corners(image, 200)
    blank = np.full_like(image, value)
    template = Template(image, corners, contrast(image, corners))
    index, _ = follow(template, blank, corners.copy(), False)
    assert len(index) == 0


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
        found, *_ = optimize_pose(start, seen, CAMERA, sensor, 25)
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
        found, *_ = optimize_pose(T, seen, CAMERA, sensor, 25)
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
            found, *_ = optimize_pose(T, seen, CAMERA, model, 25)
            squares[n] += pose_error(found.T_map_cam, T)[0] ** 2
    assert np.sqrt(squares[0]) < 0.7 * np.sqrt(squares[1])


def test_equations_of_unsure_points_agree_with_dense_covariances():
    """The slow twin inverts the covariance of each point's three residuals."""
    rng = np.random.default_rng(26)
    r, J, off = rng.normal(size=(20, 3)), rng.normal(size=(20, 3, 6)), rng.normal(size=(20, 3))
    own, robust = rng.uniform(0.5, 2.0, (20, 3)), rng.uniform(0.1, 1.0, 20)
    own[:5, 2], robust[5:8] = np.inf, 0.0  # without depth, and cut off
    H, g = np.zeros((6, 6)), np.zeros(6)
    for n in range(20):
        kept = slice(2 if n < 5 else 3)
        covariance = np.outer(off[n, kept], off[n, kept]) + np.diag(own[n, kept] ** 2)
        W = robust[n] * np.linalg.inv(covariance)
        H += J[n, kept].T @ W @ J[n, kept]
        g += J[n, kept].T @ W @ r[n, kept]
    at = Linearized(np.ones(20), r.T, J.transpose(2, 1, 0), off.T / 2.0)
    weight = (robust[:, None] / own**2).T
    found = normal_equations(at, weight, robust, share=2.0)
    assert np.allclose(found[0], H) and np.allclose(found[1], g)
    exact = normal_equations(replace(at, off_3n=None), weight, robust)
    assert np.allclose(exact[0], normal_equations(at, weight, robust, share=0.0)[0])


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
            found, *_ = optimize_pose(
                T, Sightings(believed, seen, measured, unsure), CAMERA, SENSOR, 25)
            squares[n] += pose_error(found.T_map_cam, T)[0] ** 2
            if unsure is not None:
                moved = found.T_map_cam @ invert_pose(T)
                error = np.concatenate([found.T_map_cam[:3, 3] - T[:3, 3],
                                        cv2.Rodrigues(moved[:3, :3])[0].ravel()])
                normalized.append(error @ np.linalg.inv(found.covariance_66) @ error / 6)
    assert np.sqrt(squares[0]) < 0.9 * np.sqrt(squares[1])
    assert np.mean(normalized) < 2.0


def test_points_that_many_keyframes_see_are_surer_than_one_measurement():
    made, _ = window(np.random.default_rng(28), keyframes=4, count=25)
    alone = np.arange(len(made.rays_n3)) % 5 == 0
    seen = ~alone[made.point_m]
    made.point_m, made.target_m = made.point_m[seen], made.target_m[seen]
    made.pixels_m2, made.depth_m = made.pixels_m2[seen], made.depth_m[seen]
    narrowed = adjust(made)
    assert np.allclose(narrowed[alone], 1.0)
    assert (narrowed[~alone] < 0.9).all() and narrowed.min() >= 0.1


def test_a_covariance_is_carried_across_an_arm_as_samples_are():
    rng = np.random.default_rng(22)
    root = rng.normal(size=(6, 6)) * [[0.01]] * 3
    arm = np.array([0.4, -1.0, 2.0])
    errors = rng.normal(size=(20000, 6)) @ root.T
    there = errors.copy()
    there[:, :3] += np.cross(errors[:, 3:], arm)
    expected = carried(root @ root.T, arm)
    assert np.abs(np.cov(there.T) - expected).max() < 0.05 * np.abs(expected).max()


def test_a_covariance_grows_by_a_motion_that_it_does_not_expect():
    rng = np.random.default_rng(29)
    root = rng.normal(size=(6, 6)) * 0.01
    covariance, pose = root @ root.T, exp_se3(rng.normal(size=6))
    expected = root @ (0.9 * np.array([1.0, -1, 1, 1, -1, 1]))  # less than one sigma of each
    turned = make_pose(Rotation.from_rotvec(expected[3:]).as_matrix() @ pose[:3, :3],
                       pose[:3, 3] + expected[:3])
    assert np.array_equal(surprised(covariance, pose, turned), covariance)
    moved = pose.copy()
    moved[:3, 3] += (0.03, 0.0, 0.0)
    grown = surprised(np.zeros((6, 6)), pose, moved)
    assert 0.9 * 0.03 < np.sqrt(grown[0, 0]) <= 0.03
    grown[0, 0] = 0.0
    assert not grown.any(), "only along the motion"


def test_corners_that_move_are_known_by_where_they_go():
    """A third of the picture slides by two pixels a frame; its depth is that of the wall."""
    picture_HW = picture(np.random.default_rng(24))
    depth = np.full((480, 640), 2.0, np.float32)
    local = LocalMap(TrackerConfig(), SensorConfig())
    assert local.corner_motion(0) is None
    assert local.add(0, Frame(0, picture_HW, depth, CAMERA), np.eye(4), np.zeros((6, 6)))
    for n in range(1, 11):
        gray = picture_HW.copy()
        gray[100:380, 200 + 2 * n:420 + 2 * n] = picture_HW[100:380, 200:420]
        assert local.refine(Frame(n, gray, depth, CAMERA), np.eye(4)) is not None
    motion = local.corner_motion(0)
    assert motion is not None and (motion.followed_n <= 10).all()
    x, y = CAMERA.project(motion.points_cam_n3).T
    inside = (x > 230) & (x < 390) & (y > 120) & (y < 360)
    outside = (x < 180) | (x > 460) | (y < 80) | (y > 400)
    assert (motion.followed_n[outside] == 10).mean() > 0.9
    found = motion.moving_near(motion.points_cam_n3.astype(np.float32))
    assert found[inside].mean() > 0.9 and not found[outside].any()


def test_corners_on_what_moves_are_not_followed():
    rng = np.random.default_rng(23)
    gray = cv2.GaussianBlur(rng.integers(0, 255, (480, 640), np.uint8), (5, 5), 0)
    depth = np.full((480, 640), 3.0, np.float32)
    depth[:, 200:400] = 1.5
    frame, pose = Frame(0, gray, depth, CAMERA), exp_se3(np.array([0.3, 0, 0.1, 0, 0.4, 0]))

    def standing(points):
        return transform_points(invert_pose(pose), points)[:, 2] > 2.0

    nearest = []
    for tells in (None, standing):
        local = LocalMap(TrackerConfig(), SensorConfig())
        assert local.add(0, frame, pose, np.eye(6), standing=tells)
        nearest.append(local.nearest(pose, 1)[0][1].measured_m_n.min())
    assert nearest[0] < 2.0 < nearest[1]
    local = LocalMap(TrackerConfig(), SensorConfig())
    assert local.add(0, frame, pose, np.eye(6))
    local.leave_movers(pose, standing)  # known later
    keyframe = local.nearest(pose, 1)[0][1]
    sight = LocalSight(SensorConfig(), min_tracks=25)
    index, _ = sight.find(keyframe, sight.points(keyframe), frame, pose)
    assert len(index) > 150 and (local.nearest(pose, 1)[0][1].measured_m_n[index] > 2.0).all()
    local = LocalMap(TrackerConfig(), SensorConfig())
    assert not local.add(0, frame, pose, np.eye(6), standing=lambda p: np.zeros(len(p), bool))
