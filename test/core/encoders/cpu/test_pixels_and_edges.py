"""Kernels before and beside the convolutions do as the layers of torch."""

import numpy as np
import pytest
from helpers.pictures import picture

from ace_slam_ros.core.encoders.cpu.edges import (
    EDGES_WIDTH,
    at_cells,
    gather_twin,
    histograms,
)
from ace_slam_ros.core.encoders.cpu.pixels import blocks_of
from ace_slam_ros.core.encoders.cpu.torch_twins import blocks_by_torch, histograms_by_torch
from ace_slam_ros.core.runtime.scratch import Scratch

SIZES = [(480, 640), (64, 96), (64, 64)]


def some_images(size):
    rng = np.random.default_rng(0)
    return [picture(2, size), rng.integers(0, 256, size, np.uint8), np.full(size, 90, np.uint8)]


@pytest.mark.parametrize("size", SIZES)
def test_blocks_are_those_of_torch(size):
    for image in some_images(size):
        image.setflags(write=False)  # as images of a message are
        pixels, means = blocks_of(image, Scratch())
        expected_pixels, expected_means = blocks_by_torch(image)
        assert pixels.shape == (size[0] // 4 + 2, size[1] // 4 + 2, 16)
        assert np.allclose(pixels, expected_pixels, atol=2e-5)
        assert np.allclose(means, expected_means, atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_histograms_are_those_of_the_layers(size):
    rng = np.random.default_rng(1)
    h, w = size[0] // 8, size[1] // 8
    rows, columns = rng.integers(0, h, 100), rng.integers(0, w, 100)
    for image in some_images(size):
        _, means = blocks_by_torch(image)
        found = histograms(means, Scratch())
        assert [one.spacing for one in found] == [1, 3]
        for one in found:
            roots, sums = histograms_by_torch(means, one.spacing)
            assert one.roots.shape == roots.shape
            assert np.allclose(one.roots, roots, atol=1e-4)
            assert np.allclose(one.sums, sums, atol=1e-5)
        vectors, plain = np.zeros((2, 104, EDGES_WIDTH), np.float32)  # four rows to spare
        at_cells(*found, rows, columns, vectors)
        for k, one in enumerate(found):
            gather_twin(*one, rows, columns, k * EDGES_WIDTH // 2, plain)
        assert np.allclose(vectors, plain, atol=1e-5) and not vectors[100:].any()
