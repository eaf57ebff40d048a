"""The encoder's network: grey image -> unit-norm descriptors on an 8-pixel grid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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


class EncoderNetwork(nn.Module):
    """Two-scale convolutional encoder: fine cells at 1/8, context at 1/16 and 1/32.

    Forward: images_b1HW float in [0, 255], H and W multiples of 32 -> descriptors (B, D, H/8, W/8)
    of unit norm over D. Input normalisation (zero mean, unit variance per image) is part of the
    network, so exposure and contrast drop out.
    """

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

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, D, H/8, W/8) unit-norm descriptors of (B, 1, H, W) grey images."""
        x = normalise(images_b1HW)
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        coarse = self.join_coarse(self.coarse(middle))
        middle = self.middle_out(middle + upsample(coarse, middle))
        fine = fine + upsample(self.join_middle(middle), fine)
        return F.normalize(self.project(fine), dim=1)


def normalise(images_b1HW: Tensor) -> Tensor:
    """Shift and scale each image to zero mean and unit variance."""
    mean = images_b1HW.mean(dim=(2, 3), keepdim=True)
    deviation = images_b1HW.std(dim=(2, 3), keepdim=True)
    return (images_b1HW - mean) / (deviation + 1.0)


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear resize of `x` to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def fold_normalisation(network: EncoderNetwork) -> EncoderNetwork:
    """Fold every batch normalisation into its convolution, in place, for inference."""
    network.eval()
    for module in network.modules():
        if not isinstance(module, ConvBlock):
            continue
        convolution, normalisation = module[0], module[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(convolution, normalisation)
            module[1] = nn.Identity()
    return network
