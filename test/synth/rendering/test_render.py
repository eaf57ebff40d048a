"""Rendering: exact depth, and images that agree with it."""

import cv2
import numpy as np
import pytest
from helpers.scenes import cast_rays, depth_of, poses_of, unlit
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.geometry.se3 import invert_pose, transform_points
from ace_slam_ros.synth.motion import pose_of_state
from ace_slam_ros.synth.rendering.render import MipMap, pack, rasterize
from ace_slam_ros.synth.rendering.scene import Builder
from ace_slam_ros.synth.rendering.textures import generator, painted
from ace_slam_ros.synth.sensor import facet_edges
from ace_slam_ros.synth.worlds import CAMERA


def pixel_rays(uv_N2: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    return camera.unproject(uv_N2.astype(float), np.ones(len(uv_N2)))


@pytest.mark.slow
def test_depth_is_exact_against_brute_force(room, room_geometry, corridor):
    rng = np.random.default_rng(0)
    for world, facets in ((room, room_geometry), (corridor, unlit(corridor))):
        for T_44 in poses_of(world)[[40, 333, 700]]:
            seen = rasterize(facets, T_44, CAMERA)
            uv = np.stack([rng.integers(0, 640, 300), rng.integers(0, 480, 300)], 1)
            rays = pixel_rays(uv) @ T_44[:3, :3].T
            distance, index = cast_rays(facets.corners_NK3, T_44[:3, 3], rays)
            np.testing.assert_allclose(depth_of(seen)[uv[:, 1], uv[:, 0]], distance, rtol=2e-5)
            # Coplanar neighbors may share an edge pixel; anywhere else the facet is the same.
            assert np.mean(seen.facet_HW[uv[:, 1], uv[:, 0]] == index) > 0.99
            assert (seen.facet_HW >= 0).all(), "a hole in the world"


@settings(max_examples=25, deadline=None)
@given(st.floats(-1.2, 1.2), st.floats(-1, 1), st.floats(-3.1, 3.1), st.floats(-1.2, 1.2),
       st.floats(-0.6, 0.6), st.integers(5, 10))
def test_polygons_around_the_camera_match_brute_force(x, y, yaw, pitch, roll, sides):
    b = Builder(np.random.default_rng(1), texel_m=0.05)
    gray = painted((120.0, 120.0, 120.0))
    b.prism((0.3, 1.9, 0.2), (0.3, 0.7), 1.5, sides, gray, gray)
    b.prism((-1.8, -0.4, -0.3), (0.5, 0.2), 1.2, sides, gray, gray)
    b.box((0, 0, -1.2), (9.0, 9.0, 0.4), gray, "t")
    scene = b.build()
    camera = Camera(64, 48, 40.0, 40.0, 31.5, 23.5)
    facets = pack(scene.surfaces, [s.albedo for s in scene.surfaces])
    T_44 = pose_of_state(np.array([x, y, 0.6, yaw, pitch, roll]))
    seen = rasterize(facets, T_44, camera)
    v, u = np.mgrid[0:48, 0:64]
    rays = pixel_rays(np.stack([u.ravel(), v.ravel()], 1), camera) @ T_44[:3, :3].T
    distance, _ = cast_rays(facets.corners_NK3, T_44[:3, 3], rays)
    expected = np.where(np.isfinite(distance), distance, 0).reshape(48, 64)
    wrong = np.abs(depth_of(seen) - expected) > 1e-4 * np.maximum(expected, 1)
    assert wrong.sum() <= 2  # pixel centers that lie on an edge to the last bit


@pytest.mark.render
def test_image_and_depth_of_two_poses_agree(room):
    poses = poses_of(room)
    for i, j in ((300, 306), (520, 500)):
        a, b = room.view(poses[i]), room.view(poses[j])
        v, u = np.mgrid[8:472:3, 8:632:3]
        uv = np.stack([u.ravel(), v.ravel()], 1)
        points = CAMERA.unproject(uv.astype(float), a.depth_m[uv[:, 1], uv[:, 0]].astype(float))
        moved = transform_points(invert_pose(poses[j]) @ poses[i], points)
        at = CAMERA.project(moved).astype(np.float32)
        inside = (at > 2).all(1) & (at[:, 0] < 637) & (at[:, 1] < 477) & (moved[:, 2] > 0.1)
        assert inside.mean() > 0.4
        maps = at[inside].reshape(-1, 1, 2)
        depth = cv2.remap(b.depth_m, maps, None, cv2.INTER_NEAREST).ravel()
        shown = cv2.remap(b.image, maps, None, cv2.INTER_LINEAR).reshape(-1, 3)
        error = np.abs(depth - moved[inside, 2])
        near = error < 0.02
        assert near.mean() > 0.9 and np.median(error) < 0.004
        here = a.image[uv[inside, 1], uv[inside, 0]].astype(float)
        difference = np.abs(here - shown)[near].mean(1)
        contrast = np.abs(here - np.roll(here, 100, axis=0)).mean()
        assert np.median(difference) < 2.5 and difference.mean() < 0.25 * contrast


def test_edges_and_mip_levels():
    facet_HW = np.zeros((5, 5), np.int16)
    facet_HW[2, 2] = 1
    assert facet_edges(facet_HW).sum() == 5
    mip = MipMap(generator(0, "mip").integers(0, 255, (64, 128, 3)).astype(np.uint8))
    assert mip.level(2).shape == (32, 64, 3) and min(mip.level(mip.last_level).shape[:2]) >= 4
