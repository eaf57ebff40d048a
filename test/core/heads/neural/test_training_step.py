"""The loss equals that of the full covariance."""

import numpy as np
import pytest
import torch

from ace_slam_ros.core.heads.neural.replay import Batch
from ace_slam_ros.core.heads.neural.training_step import robust_loss


def test_loss_equals_the_full_covariance():
    rng = np.random.default_rng(0)
    ray = rng.normal(size=(20, 3))
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    depth_sigma, side_sigma = rng.uniform(0.01, 0.1, 20), rng.uniform(0.001, 0.02, 20)
    target, coords = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    expected = []
    for n in range(20):
        outer = np.outer(ray[n], ray[n])
        covariance = depth_sigma[n]**2 * outer + side_sigma[n]**2 * (np.eye(3) - outer)
        covariance += 0.02**2 * np.eye(3)
        r = coords[n] - target[n]
        expected.append(np.sqrt(1 + r @ np.linalg.inv(covariance) @ r) - 1)
    batch = Batch(torch.zeros(20, dtype=torch.int64), torch.zeros(20, 1),
                  *(torch.tensor(v) for v in (target, ray, depth_sigma, side_sigma)))
    assert robust_loss(torch.tensor(coords), batch).item() == pytest.approx(np.mean(expected))
