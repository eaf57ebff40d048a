"""The encoder of ACE (Brachmann et al., CVPR 2023), for weights of the user."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...base import EncoderSpec
from ..network import GridNetwork, StateDict


class AceNetwork(GridNetwork):
    """Convolutions to 1/8 and two residual blocks; layer names are those of the published weights.

    Their features have no unit norm; here each is scaled to it, as the heads expect.
    Source: "Accelerated Coordinate Encoding", supplement, after DSAC*.
    """

    spec = EncoderSpec(
        name="ace", stride=8, dimension=512, receptive_field_px=81, size_multiple=8,
        normalization="[0, 255] to [0, 1], minus 0.4, divided by 0.25",
        license="Niantic, non-commercial use only", restricted=True)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 2, 1)
        self.conv3 = nn.Conv2d(64, 128, 3, 2, 1)
        self.conv4 = nn.Conv2d(128, 256, 3, 2, 1)
        self.res1_conv1 = nn.Conv2d(256, 256, 3, 1, 1)
        self.res1_conv2 = nn.Conv2d(256, 256, 1)
        self.res1_conv3 = nn.Conv2d(256, 256, 3, 1, 1)
        self.res2_conv1 = nn.Conv2d(256, 512, 3, 1, 1)
        self.res2_conv2 = nn.Conv2d(512, 512, 1)
        self.res2_conv3 = nn.Conv2d(512, 512, 3, 1, 1)
        self.res2_skip = nn.Conv2d(256, 512, 1)

    @classmethod
    def for_weights(cls, state: StateDict) -> AceNetwork:
        """Return the network; there is one size."""
        return cls()

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, 512, H/8, W/8) unit-norm descriptors of (B, 1, H, W) gray images."""
        x = ((images_b1HW / 255 - 0.4) / 0.25).to(self.dtype)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(layer(x))
        y = x
        for layer in (self.res1_conv1, self.res1_conv2, self.res1_conv3):
            y = F.relu(layer(y))
        x = x + y
        y = x
        for layer in (self.res2_conv1, self.res2_conv2, self.res2_conv3):
            y = F.relu(layer(y))
        return F.normalize((self.res2_skip(x) + y).float(), dim=1)
