"""The encoder that ships: grey image -> unit-norm descriptors on an 8-pixel grid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .interface import EncoderSpec
from .network import GridNetwork, StateDict, fold_normalisation, normalise, upsample

STRIDE = 8
#: Width of a descriptor.
DIMENSION = 64


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalisation, ReLU; the normalisation folds away for inference."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class EncoderNetwork(GridNetwork):
    """Two-scale convolutional encoder: fine cells at 1/8, context at 1/16 and 1/32.

    Input normalisation (zero mean, unit variance per image) is part of the network, so exposure
    and contrast drop out.
    """

    spec = EncoderSpec(
        name="tiny", stride=STRIDE, dimension=DIMENSION, receptive_field_px=292, size_multiple=32,
        normalisation="zero mean and unit variance per image", licence="Apache-2.0")

    def __init__(self, dimension: int = DIMENSION) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), ConvBlock(16, 24), ConvBlock(24, 48, 2))
        self.fine = nn.Sequential(ConvBlock(48, 48), ConvBlock(48, 64))
        self.middle = nn.Sequential(ConvBlock(64, 96, 2), ConvBlock(96, 96))
        self.coarse = nn.Sequential(ConvBlock(96, 96, 2), ConvBlock(96, 96))
        self.middle_out = ConvBlock(96, 96)
        self.join_coarse = nn.Conv2d(96, 96, 1)
        self.join_middle = nn.Conv2d(96, 64, 1)
        self.project = nn.Sequential(ConvBlock(64, 128, kernel=1), nn.Conv2d(128, dimension, 1))

    @classmethod
    def for_weights(cls, state: StateDict) -> EncoderNetwork:
        """Return the inference network: the stored weights have their normalisation folded."""
        return fold_normalisation(cls())

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, D, H/8, W/8) unit-norm descriptors of (B, 1, H, W) grey images."""
        x = normalise(images_b1HW).to(self.dtype)
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        coarse = self.join_coarse(self.coarse(middle))
        middle = self.middle_out(middle + upsample(coarse, middle))
        fine = fine + upsample(self.join_middle(middle), fine)
        return F.normalize(self.project(fine).float(), dim=1)
