"""Sigma is learned from residuals."""

import torch
from helpers.networks import CPU

from ace_slam_ros.core.heads.neural.calibration import Calibration, sigma_from_table


def test_sigma_is_learned_from_residuals():
    calibration = Calibration(CPU)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        hint = torch.rand(2000, generator=generator) * 0.4 + 0.01
        error = torch.randn(2000, 3, generator=generator) * (0.02 + 0.3 * hint)[:, None]
        calibration.observe(hint, error.norm(dim=1))
    asked = torch.tensor([0.02, 0.05, 0.1, 0.3])
    sigma = sigma_from_table(calibration.table(), asked)
    assert torch.allclose(sigma, 0.02 + 0.3 * asked, rtol=0.2)
    resumed = Calibration(CPU)
    resumed.restore(calibration.table())
    assert torch.allclose(resumed.table(), calibration.table(), rtol=1e-5)
