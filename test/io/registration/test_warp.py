"""Depth as another camera sees it: planes by hand, occlusion, kernel and twin, and the rule."""

import re

import numpy as np
import pytest

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.io.registration import View, registration_of
from ace_slam_ros.io.registration.warp import register_depth, register_depth_twin

DEPTH = Camera(96, 72, 80.0, 80.0, 47.5, 35.5)
COLOR = Camera(128, 96, 120.0, 119.0, 62.0, 49.0)
T_COLOR_DEPTH = exp_se3(np.array([0.05, -0.01, 0.02, 0.01, -0.02, 0.015]))


def plane(camera, normal, offset):
    """Depth of the plane normal . x = offset in the camera's frame."""
    v, u = np.mgrid[:camera.height, :camera.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy,
                     np.ones(u.shape)], -1)
    return (offset / (rays @ normal)).astype(np.float32)


def test_a_plane_is_the_same_plane_from_the_other_camera():
    normal = np.array([0.3, 0.2, 0.93])
    normal /= np.linalg.norm(normal)
    found = register_depth(plane(DEPTH, normal, 1.5), DEPTH, COLOR, T_COLOR_DEPTH)
    turned = T_COLOR_DEPTH[:3, :3] @ normal
    expected = plane(COLOR, turned, 1.5 + turned @ T_COLOR_DEPTH[:3, 3])
    inside = found[10:-10, 12:-12] > 0
    assert inside.mean() > 0.99, "no cracks"
    gap = np.abs(found / expected - 1)[10:-10, 12:-12][inside]
    assert gap.max() < 0.02 and np.median(gap) < 0.005


def test_the_nearest_surface_hides_the_others():
    depth_m = np.full((72, 96), 3.0, np.float32)
    depth_m[20:50, 30:60] = 1.0
    T = np.eye(4)
    T[0, 3] = 0.2
    found = register_depth(depth_m, DEPTH, DEPTH, T)
    assert (found[24:46, 48:74] == 1.0).all(), "moved by 16 pixels, over the wall that moved by 5"
    assert set(np.unique(found)) == {0.0, 1.0, 3.0}
    assert (found[24:46, 36:44] == 0.0).all(), "what the box hid is not known"


@pytest.mark.parametrize("sizes", [(DEPTH, COLOR), (COLOR, DEPTH)])
def test_the_kernel_is_its_twin(sizes):
    rng = np.random.default_rng(2)
    shape = sizes[0].height, sizes[0].width
    depth_m = rng.choice([0.0, 0.8, 1.5, 4.0], shape).astype(np.float32)
    found, twin = (f(depth_m, *sizes, T_COLOR_DEPTH)
                   for f in (register_depth, register_depth_twin))
    assert (found > 0).mean() > 0.3
    # a border within a rounding error of a pixel may fall to either side
    assert (np.abs(found - twin) < 1e-5).mean() > 0.999


IDENTITY, ELSEWHERE = np.eye(4), T_COLOR_DEPTH


@pytest.mark.parametrize(("depth", "T", "registers", "said"), [
    (View("color", COLOR), None, False, ""), (View("color"), None, False, ""),
    (View("/color "), None, False, ""), (View(""), None, False, ""),
    (View("depth", COLOR), IDENTITY, False, ""),
    (View("depth", DEPTH), ELSEWHERE, True, "registered with both calibrations and TF, 5.5 cm"),
    (View("depth", COLOR), ELSEWHERE, True, "frame 'depth', color in 'color'"),
    (View("color", DEPTH), None, True, "other intrinsics"),
    (View("depth", DEPTH), None, False, "TF does not know .*align_depth.*or send its TF"),
    (View("depth"), ELSEWHERE, False, "camera_info .* unknown; .*send depth/camera_info"),
])
def test_the_rule(depth, T, registers, said):
    found, text = registration_of(View("color", COLOR), depth, T)
    assert (found is not None) == registers
    assert re.search(said, text) and bool(said) == bool(text)
