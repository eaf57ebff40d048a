"""Which cells: texture as OpenCV measures it, the best of those with depth."""

import numpy as np
import pytest
from helpers.pictures import picture

from ace_slam_ros.core.config.sections import FeatureConfig
from ace_slam_ros.core.encoders.cell_choice import choose_cells, texture, texture_by_opencv


@pytest.mark.parametrize("size", [(240, 320), (101, 139), (64, 64), (47, 33)])
@pytest.mark.parametrize("stride", [4, 8, 14])
def test_texture_is_that_of_opencv(size, stride):
    rng = np.random.default_rng(0)
    for image in (picture(1, size), rng.integers(0, 256, size, np.uint8),
                  np.full(size, 80, np.uint8)):
        image.setflags(write=False)
        expected = texture_by_opencv(image, stride)
        found = texture(image, stride)
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-7)


def choose_by_sorting(score_hw, usable_hw, features):
    """The plain twin: all cells in order of their texture, the first of equal ones first."""
    h, w = score_hw.shape
    score = np.where(usable_hw, score_hw, -1.0)
    padded = np.pad(score, 1, constant_values=-2.0)
    largest = np.max([padded[i:i + h, j:j + w] for i in range(3) for j in range(3)], axis=0)
    if features.mode == "sparse":
        score = np.where(score >= largest, score, -1.0)
    ranked = np.argsort(-score.ravel(), kind="stable")[:features.count]
    return np.sort(ranked[score.ravel()[ranked] >= 0])


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("count", [50, 200, 4000])
def test_the_best_are_chosen_as_if_sorted(mode, count):
    rng = np.random.default_rng(1)
    features = FeatureConfig(mode=mode, count=count)
    for levels in (3, 10_000):  # few: many cells are equal
        score = rng.integers(0, levels, (30, 40)).astype(np.float32)
        usable = rng.random((30, 40)) < 0.7
        found = choose_cells(score, usable, features)
        assert found.dtype == np.int64
        assert np.array_equal(found, choose_by_sorting(score, usable, features))
    assert len(choose_cells(score, np.zeros((30, 40), bool), features)) == 0
