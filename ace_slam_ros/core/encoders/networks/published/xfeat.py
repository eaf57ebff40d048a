"""XFeat's dense descriptors: the backbone of Potje et al., CVPR 2024, for weights of the user."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...base import EncoderSpec
from ..network import GridNetwork, StateDict, fold_normalization, upsample


class BasicLayer(nn.Module):
    """Convolution, batch normalization without parameters, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, affine=False),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        y: Tensor = self.layer(x)
        return y


class XFeatNetwork(GridNetwork):
    """Backbone at 1/4 to 1/32, summed and fused at 1/8; its detector heads are not used.

    Source: "XFeat: Accelerated Features for Lightweight Image Matching", section 3.
    """

    spec = EncoderSpec(
        name="xfeat", stride=8, dimension=64, receptive_field_px=357, size_multiple=32,
        normalization="zero mean and unit variance per image", license="Apache-2.0")
    unused = ("heatmap_head.", "keypoint_head.", "fine_matcher.")

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(1)
        self.skip1 = nn.Sequential(nn.AvgPool2d(4, 4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(
            BasicLayer(1, 4), BasicLayer(4, 8, stride=2), BasicLayer(8, 8),
            BasicLayer(8, 24, stride=2))
        self.block2 = nn.Sequential(BasicLayer(24, 24), BasicLayer(24, 24))
        self.block3 = nn.Sequential(
            BasicLayer(24, 64, stride=2), BasicLayer(64, 64), BasicLayer(64, 64, kernel=1))
        self.block4 = nn.Sequential(
            BasicLayer(64, 64, stride=2), BasicLayer(64, 64), BasicLayer(64, 64))
        self.block5 = nn.Sequential(
            BasicLayer(64, 128, stride=2), BasicLayer(128, 128), BasicLayer(128, 128),
            BasicLayer(128, 64, kernel=1))
        self.block_fusion = nn.Sequential(
            BasicLayer(64, 64), BasicLayer(64, 64), nn.Conv2d(64, 64, 1))

    @classmethod
    def for_weights(cls, state: StateDict) -> XFeatNetwork:
        """Return the network; there is one size."""
        return cls()

    def ready(self) -> XFeatNetwork:
        """Fold the batch normalization away."""
        return fold_normalization(self)

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, 64, H/8, W/8) unit-norm descriptors of (B, 1, H, W) gray images."""
        x = self.norm(images_b1HW / 255).to(self.dtype)
        x2 = self.block2(self.block1(x) + self.skip1(x))
        x3 = self.block3(x2)
        x4 = self.block4(x3)
        x5 = self.block5(x4)
        fused = self.block_fusion(x3 + upsample(x4, x3) + upsample(x5, x3))
        return F.normalize(fused.float(), dim=1)
