"""Depth of cells and pixels against brute force."""

import numpy as np
import pytest

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.depth.sampling import (
    cell_depth,
    cell_depth_twin,
    pixel_depth,
    point_depth,
    point_depth_twin,
)


def test_cell_depth_against_brute_force():
    rng = np.random.default_rng(1)
    depth = rng.choice([0.0, 1.0, 1.002, 2.0, 9.0], (48, 64), p=[0.1, 0.4, 0.4, 0.05, 0.05])
    depth = depth.astype(np.float32)
    sensor = SensorConfig()
    mean = cell_depth(depth, 8, sensor)
    for i in range(6):
        for j in range(8):
            window = depth[8 * i + 2: 8 * i + 6, 8 * j + 2: 8 * j + 6]
            good = window[(window >= sensor.min_depth_m) & (window <= sensor.max_depth_m)]
            expected = len(good) >= 8 and good.max() - good.min() <= (
                0.03 * good.mean() + 4 * (0.001 + 0.0025 * good.mean() ** 2))
            assert np.isfinite(mean[i, j]) == expected
            if expected:
                assert mean[i, j] == pytest.approx(good.mean(), abs=1e-5)


def test_pixel_depth_agrees_with_cell_depth_and_ends_at_the_border():
    rng = np.random.default_rng(2)
    depth = rng.choice([0.0, 1.0, 1.002, 2.0], (48, 64), p=[0.1, 0.4, 0.4, 0.1])
    depth = depth.astype(np.float32)
    rows, columns = np.mgrid[0:6, 0:8] * 8 + 3.5
    pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)
    cells = cell_depth(depth, 8, SensorConfig()).ravel()
    assert np.isfinite(cells).any() and np.isnan(cells).any()
    assert np.allclose(pixel_depth(depth, pixels, SensorConfig()), cells, equal_nan=True)
    flat = np.full((48, 64), 1.5, np.float32)
    corners = np.array([[0, 0], [63, 0], [0, 47], [63, 47]], np.float32)
    assert np.isfinite(pixel_depth(flat, corners[:1], SensorConfig())).all()
    assert np.isnan(pixel_depth(flat, corners[3:], SensorConfig())).all()  # four pixels inside


@pytest.mark.parametrize("stride", [4, 8, 14])
def test_cell_depth_is_that_of_the_plain_twin(stride):
    rng = np.random.default_rng(3)
    shape = (101, 139)
    depth = (1.5 + 0.01 * rng.standard_normal(shape)).astype(np.float32)
    depth[rng.random(shape) < 0.2] = 0
    depth[:40, :50] *= rng.choice([1.0, 1.1, np.nan, 5.0], (40, 50), p=[0.9, 0.05, 0.04, 0.01])
    depth.setflags(write=False)
    found, expected = (f(depth, stride, SensorConfig()) for f in (cell_depth, cell_depth_twin))
    assert found.dtype == np.float32 and np.isnan(found).any() and np.isfinite(found).any()
    assert np.allclose(found, expected, rtol=1e-6, atol=0, equal_nan=True)


def test_depth_of_points_agrees_with_the_twin():
    rng = np.random.default_rng(3)
    depth = rng.choice([0.0, np.nan, 1.0, 1.002, 2.0, 9.0], (48, 64),
                       p=[0.05, 0.05, 0.4, 0.4, 0.05, 0.05]).astype(np.float32)
    pixels = rng.uniform((-3, -3), (67, 51), (400, 2)).astype(np.float32)
    sensor = SensorConfig()
    found, twin = point_depth(depth, pixels, sensor), point_depth_twin(depth, pixels, sensor)
    assert 100 < np.isfinite(twin).sum() < 350
    assert np.allclose(found, twin, atol=1e-6, equal_nan=True)
