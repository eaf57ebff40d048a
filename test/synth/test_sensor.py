"""The sensor model: noise, steps and shadows of depth."""

import numpy as np
import pytest
from helpers.scenes import SEED, depth_of, poses_of

from ace_slam_ros.synth.motion import pose_of_state
from ace_slam_ros.synth.rendering.render import pack, rasterize
from ace_slam_ros.synth.rendering.scene import Builder
from ace_slam_ros.synth.rendering.textures import painted
from ace_slam_ros.synth.sensor import Sensor, SensorModel
from ace_slam_ros.synth.worlds import CAMERA


def test_depth_noise_follows_the_model(room, room_geometry):
    model = SensorModel()
    sensor = Sensor(model, CAMERA, SEED)
    scaled, depths, neighbors = [], [], []
    for number, T_44 in enumerate(poses_of(room, 125)):
        seen = rasterize(room_geometry, T_44, CAMERA)
        clean = depth_of(seen)
        measured = sensor.measure(clean, room_geometry, seen, number)
        keep = (measured > 0) & (clean < 4.8)
        sigma = model.depth_noise_m + model.depth_noise_per_m * clean**2
        error = (measured - clean) / sigma
        scaled.append(error[keep])
        depths.append(clean[keep])
        both = keep[:, 1:] & keep[:, :-1]
        neighbors.append((error[:, 1:] * error[:, :-1])[both].mean())
        assert measured.max() <= model.max_depth_m
        assert not ((measured > 0) & (clean > 5.2)).any()
    error, depth = np.concatenate(scaled), np.concatenate(depths)
    for low, high in ((1.0, 2.0), (2.0, 3.0), (3.0, 4.0)):
        part = error[(depth > low) & (depth < high)]
        assert len(part) > 20_000
        assert abs(part.mean()) < 0.05 and 0.93 < part.std() < 1.07
    assert 0.1 < np.mean(neighbors) < 0.8, "noise is a little correlated"


@pytest.mark.render
def test_depth_steps_and_shadow_beside_a_near_object():
    b = Builder(np.random.default_rng(0), texel_m=0.02)
    gray = painted((128.0, 128.0, 128.0))
    with b.frame(0, 3.0, 0, np.pi):  # a wall 3 m in front of a camera that looks along +y
        b.wall_panel(-4, -3, 8, 6, gray)
    with b.frame(0, 1.0, 0, np.pi):
        b.wall_panel(-0.1, -0.1, 0.2, 0.2, gray)
    facets = pack(b.surfaces, [s.albedo for s in b.surfaces])
    seen = rasterize(facets, pose_of_state(np.array([0, 0, 0, np.pi / 2, 0, 0])), CAMERA)
    clean = depth_of(seen)
    quiet = SensorModel(depth_noise_m=0.0, depth_noise_per_m=0.0)
    valid = np.stack([
        Sensor(quiet, CAMERA, seed).measure(clean, facets, seen, 0)[241] > 0 for seed in range(9)
    ]).mean(0) > 0.5  # random holes differ by seed, the shadow does not
    near = np.flatnonzero(clean[241] < 2)
    left, right = near[0], near[-1]
    width = CAMERA.fx * 0.075 * (1 / 1.0 - 1 / 3.0)
    gap = left - 1 - np.flatnonzero(valid[:left])[-1]
    assert abs(gap - width) <= 2
    assert valid[right + 1 : right + 30].all() and valid[left : right + 1].all()
    measured = Sensor(quiet, CAMERA, 0).measure(clean, facets, seen, 0)
    steps = CAMERA.fx * 0.075 / measured[measured > 0] / 0.125
    np.testing.assert_allclose(steps, np.rint(steps), atol=2e-3)
