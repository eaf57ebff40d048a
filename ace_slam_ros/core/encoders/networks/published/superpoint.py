"""SuperPoint: keypoints and descriptors of DeTone et al., CVPRW 2018, for weights of the user.

The architecture is twelve convolutions, so it stands here with the names of the published
weights; libraries that offer it convert those or bring other ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...base import EncoderSpec
from ..network import DetectorNetwork, StateDict


class SuperPointNetwork(DetectorNetwork):
    """A shared trunk to 1/8, a detector with 64 places and "none" per cell, and descriptors.

    Source: "SuperPoint: Self-Supervised Interest Point Detection and Description", section 3.
    """

    spec = EncoderSpec(
        name="superpoint", stride=8, dimension=256, receptive_field_px=84, size_multiple=8,
        normalization="[0, 255] to [0, 1]",
        license="Magic Leap, non-commercial research only", restricted=True)

    def __init__(self) -> None:
        super().__init__()
        self.conv1a, self.conv1b = _conv(1, 64), _conv(64, 64)
        self.conv2a, self.conv2b = _conv(64, 64), _conv(64, 64)
        self.conv3a, self.conv3b = _conv(64, 128), _conv(128, 128)
        self.conv4a, self.conv4b = _conv(128, 128), _conv(128, 128)
        self.convPa, self.convPb = _conv(128, 256), nn.Conv2d(256, 65, 1)
        self.convDa, self.convDb = _conv(128, 256), nn.Conv2d(256, 256, 1)

    @classmethod
    def for_weights(cls, state: StateDict) -> SuperPointNetwork:
        """Return the network; there is one size."""
        return cls()

    def _trunk(self, images_b1HW: Tensor) -> Tensor:
        x = (images_b1HW / 255).to(self.dtype)
        x = F.max_pool2d(F.relu(self.conv1b(F.relu(self.conv1a(x)))), 2)
        x = F.max_pool2d(F.relu(self.conv2b(F.relu(self.conv2a(x)))), 2)
        x = F.max_pool2d(F.relu(self.conv3b(F.relu(self.conv3a(x)))), 2)
        return F.relu(self.conv4b(F.relu(self.conv4a(x))))

    def _descriptors(self, trunk: Tensor) -> Tensor:
        return F.normalize(self.convDb(F.relu(self.convDa(trunk))).float(), dim=1)

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, 256, H/8, W/8) unit-norm descriptors of (B, 1, H, W) gray images."""
        return self._descriptors(self._trunk(images_b1HW))

    def detect(self, images_b1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return descriptors and (B, H, W) keypoint probabilities."""
        trunk = self._trunk(images_b1HW)
        places = torch.softmax(self.convPb(F.relu(self.convPa(trunk))).float(), dim=1)[:, :64]
        return self._descriptors(trunk), F.pixel_shuffle(places, 8)[:, 0]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
