"""Descriptors between cells are interpolated."""

import torch

from ace_slam_ros.core.encoders.networks.network import sample_grid


def test_sampling_between_cells():
    grid = torch.nn.functional.normalize(
        torch.randn(16, 6, 8, generator=torch.Generator().manual_seed(0)), dim=0)
    centers = torch.tensor([[3.5, 3.5], [8 * 7 + 3.5, 8 * 5 + 3.5], [8 * 2 + 3.5, 8 * 4 + 3.5]])
    exact = torch.stack([grid[:, 0, 0], grid[:, 5, 7], grid[:, 4, 2]])
    assert torch.allclose(sample_grid(grid, centers, 8), exact, atol=1e-5)
    between = sample_grid(grid, torch.tensor([[7.5, 3.5]]), 8)[0]
    mean = torch.nn.functional.normalize(grid[:, 0, 0] + grid[:, 0, 1], dim=0)
    assert torch.allclose(between, mean, atol=1e-5)
