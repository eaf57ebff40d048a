"""Normalization folded into convolutions changes nothing."""

import torch

from ace_slam_ros.core.encoders.networks.network import fold_normalization
from ace_slam_ros.core.encoders.networks.tiny import EncoderNetwork


def test_folding_changes_nothing():
    torch.manual_seed(0)
    network = EncoderNetwork()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.eval()
    image = torch.rand(1, 1, 64, 96) * 255
    with torch.inference_mode():
        before = network(image).clone()
        after = fold_normalization(network)(image)
    assert torch.allclose(before, after, atol=1e-5)
