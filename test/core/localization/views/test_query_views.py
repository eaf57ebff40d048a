"""A query image as a rolled camera, or one that moved around the scene, would see it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import invert_pose, make_pose
from ace_slam_ros.core.localization.views.query_views import ROLLS_RAD, orbited, rolled
from ace_slam_ros.core.localization.views.synthesis import draw_surfaces, draw_surfaces_twin

CAMERA = Camera(160, 120, 130.0, 134.0, 76.0, 63.0)


def patterned(depth_m=None, camera=CAMERA):
    """A smooth image in which every place has another brightness, and its depth."""
    y, x = np.mgrid[:camera.height, :camera.width]
    image = (128 + 50 * np.sin(x / 17.0) + 40 * np.cos(y / 13.0)).astype(np.uint8)
    depth = None if depth_m is None else np.full(image.shape, depth_m, np.float32)
    return Frame(5, image, depth, camera)


def as_features(view, depth):
    """Features at some pixels of a view that the real camera sees as well."""
    rows, columns = np.nonzero(view.frame.mask if view.frame.mask is not None
                               else view.frame.depth_m)
    some = np.random.default_rng(0).permutation(len(rows))[:300]
    pixels = np.stack([columns[some], rows[some]], axis=1).astype(np.float64)
    points = np.full((len(some), 3), np.nan)
    if depth:
        points = view.frame.camera.unproject(
            pixels, view.frame.depth_m[rows[some], columns[some]].astype(np.float64))
    return Features(np.zeros((len(some), 2), np.float32), pixels.astype(np.float32),
                    points.astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(st.floats(-7.0, 7.0), st.booleans())
def test_a_rolled_view_shows_the_same_at_the_same_rays(angle, middle):
    """With and without depth, features come back to the pixels that they were taken from."""
    for depth_m in (None, 2.0):
        frame = patterned(depth_m)
        view = rolled(frame, angle, middle)
        features = as_features(view, depth_m is not None)
        back = view.in_camera(features, CAMERA)
        column, row = np.rint(back.pixels_N2).astype(int).T
        inside = (column >= 1) & (column < 159) & (row >= 1) & (row < 119)
        assert inside.mean() > 0.9
        seen = view.frame.image[tuple(features.pixels_N2[inside].astype(int).T[::-1])]
        own = frame.image[row[inside], column[inside]]
        assert np.abs(seen.astype(int) - own.astype(int)).max() <= 6  # half a pixel apart
        if depth_m is not None:
            assert np.allclose(back.points_cam_N3[:, 2], 2.0)
            assert np.allclose(CAMERA.project(back.points_cam_N3.astype(np.float64)),
                               back.pixels_N2, atol=1e-3)


def test_rolls_go_round_in_steps_that_leave_no_gap_and_show_most_of_the_image():
    angles = np.sort(np.degrees(ROLLS_RAD) % 360)
    assert np.diff(np.append(angles, angles[0] + 360)).max() <= 30.0 + 1e-9
    frame = patterned()
    for angle in ROLLS_RAD:
        shown = np.count_nonzero(rolled(frame, angle).frame.mask)
        assert shown > 0.85 * CAMERA.width * CAMERA.height, np.degrees(angle)


def test_what_a_roll_does_not_show_has_no_depth():
    view = rolled(patterned(1.5), np.radians(40.0))
    outside = view.frame.mask == 0
    assert 0.2 < outside.mean() < 0.6
    assert not view.frame.depth_m[outside].any() and view.frame.depth_m[~outside].all()


def test_an_orbited_view_of_a_wall_is_where_geometry_says():
    """A wall at 2 m, seen from 30 degrees to the side: points keep their place in the world."""
    frame = patterned(2.0)
    view = orbited(frame, np.radians(30.0), 0.0)
    assert np.allclose(view.T_cam_view @ [0, 0, 2, 1], [0, 0, 2, 1])  # it turns around the middle
    known = view.frame.depth_m > 0
    assert known.mean() > 0.5
    features = as_features(view, True)
    back = view.in_camera(features, CAMERA)
    assert np.abs(back.points_cam_N3[:, 2] - 2.0).max() < 0.03
    column, row = np.rint(back.pixels_N2).astype(int).T
    inside = (column >= 0) & (column < 160) & (row >= 0) & (row < 120)
    own = frame.image[row[inside], column[inside]].astype(int)
    seen = view.frame.image[tuple(features.pixels_N2[inside].astype(int).T[::-1])].astype(int)
    assert np.percentile(np.abs(seen - own), 95) <= 8


def test_the_middle_of_a_view_is_cut_from_it():
    frame = patterned(2.0)
    for make in (rolled, lambda f, angle, middle=False: orbited(f, angle, 0.0, middle)):
        whole, middle = make(frame, 0.2), make(frame, 0.2, middle=True)
        assert np.array_equal(whole.T_cam_view, middle.T_cam_view)
        height, width = middle.frame.image.shape
        assert height == width == 96  # of 160 x 120
        inner = whole.frame.image[12:-12, 32:-32].astype(int)
        assert np.median(np.abs(inner - middle.frame.image)) <= 2
        assert np.allclose(
            whole.frame.camera.unproject(np.array([[80.0, 60.0]]), np.ones(1)),
            middle.frame.camera.unproject(np.array([[48.0, 48.0]]), np.ones(1)), atol=1e-6)


def test_the_nearer_surface_hides_the_farther_one():
    frame = patterned(3.0)
    frame.depth_m[:, 60:100] = 1.0
    view = orbited(frame, np.radians(15.0), 0.0)
    points = view.T_cam_view[:3, :3].T @ (np.array([0.0, 0.0, 1.0]) - view.T_cam_view[:3, 3])
    u, v = view.frame.camera.project(points[None])[0]
    assert abs(view.frame.depth_m[round(v), round(u)] - points[2]) < 0.05


def test_the_kernel_draws_as_its_twin_does():
    rng = np.random.default_rng(3)
    frame = patterned(2.0)
    frame.depth_m[20:70, 40:90] = 1.2
    frame.depth_m[rng.random(frame.depth_m.shape) < 0.05] = 0.0
    turn = cv2.Rodrigues(np.array([0.2, 0.4, 0.1]))[0]
    center = np.array([0.0, 0.0, 2.0])
    T_view_cam = invert_pose(make_pose(turn, center - turn @ center))
    camera = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    drawn = []
    for draw in (draw_surfaces, draw_surfaces_twin):
        image, depth = np.zeros((120, 160), np.uint8), np.zeros((120, 160), np.float32)
        draw(frame.image, frame.depth_m, camera, T_view_cam, camera, image, depth)
        drawn.append((image.astype(int), depth))
    (image, depth), (image_twin, depth_twin) = drawn
    assert (depth > 0).mean() > 0.4
    assert ((depth > 0) == (depth_twin > 0)).mean() > 0.999
    assert (np.abs(depth - depth_twin) < 0.03).mean() > 0.99
    assert (np.abs(image - image_twin) <= 12).mean() > 0.99


@pytest.mark.parametrize("depth", [None, 0.0, np.nan])
def test_without_depth_there_is_no_other_viewpoint(depth):
    assert orbited(patterned(depth), 0.5, 0.0) is None
