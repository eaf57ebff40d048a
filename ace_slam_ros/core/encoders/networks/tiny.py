"""The encoder that ships: gray image -> unit-norm descriptors on an 8-pixel grid."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...runtime.steps import Steps, at_once
from ..shipped import DIMENSION, LEARNED, SPEC, WHITENED
from .network import GridNetwork, StateDict, fold_normalization, normalize, upsample
from .orientations import OrientationHistograms, oriented_gradients

Borders = Literal["zeros", "reflect"]


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalization, ReLU; the normalization folds away for inference.

    Args:
        inputs, outputs: channels.
        stride: of the convolution.
        kernel: side of the convolution.
        borders: what lies beyond the image.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3,
                 borders: Borders = "zeros") -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False,
                      padding_mode=borders if kernel > 1 else "zeros"),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class EncoderNetwork(GridNetwork):
    """Learned features at 1/8 with context at 1/16 and 1/32, merged with orientation histograms.

    Both describe a cell on their own and are wrong about different cells. The learned features are
    trained on rendered images; the histograms, of two sizes, see edges as SIFT does and rest on no
    data but the directions that vary. Merging is linear and never trained on what matches: images
    we render would teach it to trust what was learned from them. Input normalization (zero mean,
    unit variance per image) is part of the network, so exposure and contrast drop out.

    Args:
        mirrored: borders of the image are mirrored, as the merged descriptor wants it. Zeros tell
            the learned features where in the image a cell lies. Training needs them, but the same
            place looks different then to a camera that turned.
    """

    spec = SPEC

    def __init__(self, mirrored: bool = True) -> None:
        super().__init__()
        conv = partial(ConvBlock, borders="reflect" if mirrored else "zeros")
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), conv(16, 24), conv(24, 48, 2))
        self.fine = nn.Sequential(conv(48, 48), conv(48, 64))
        self.middle = nn.Sequential(conv(64, 96, 2), conv(96, 96))
        self.coarse = nn.Sequential(conv(96, 96, 2), conv(96, 96))
        self.middle_out = conv(96, 96)
        self.join_coarse = nn.Conv2d(96, 96, 1)
        self.join_middle = nn.Conv2d(96, 64, 1)
        self.project = nn.Sequential(conv(64, 128, kernel=1), nn.Conv2d(128, LEARNED, 1))
        self.near = OrientationHistograms(WHITENED, spacing=1)
        self.wide = OrientationHistograms(WHITENED, spacing=3)
        self.centre = nn.Parameter(torch.zeros(WHITENED))  # so named in committed weights
        self.merge_learned = nn.Conv2d(LEARNED, DIMENSION, 1)
        self.merge_edges = nn.Conv2d(WHITENED, DIMENSION, 1, bias=False)

    @classmethod
    def for_weights(cls, state: StateDict) -> EncoderNetwork:
        """Return the inference network: the stored weights have their normalization folded."""
        return fold_normalization(cls())

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, D, H/8, W/8) unit-norm descriptors of (B, 1, H, W) gray images."""
        return at_once(self.steps(images_b1HW))

    def steps(self, images_b1HW: Tensor) -> Steps[Tensor]:
        """Compute `forward` with pauses between steps of about equal length."""
        image = normalize(images_b1HW)
        learned = yield from self._learned(image)
        yield
        merged = self.merge_learned(learned.to(self.dtype))
        merged += self.merge_edges(self.edges(image).to(self.dtype))
        return F.normalize(merged.float(), dim=1)

    def learned(self, image_b1HW: Tensor) -> Tensor:
        """Return (B, LEARNED, H/8, W/8) unit-norm learned features of normalized images."""
        return at_once(self._learned(image_b1HW))

    def _learned(self, image_b1HW: Tensor) -> Steps[Tensor]:
        fine = self.fine(self.stem(image_b1HW.to(self.dtype)))
        yield
        middle = self.middle(fine)
        coarse = self.join_coarse(self.coarse(middle))
        middle = self.middle_out(middle + upsample(coarse, middle))
        fine = fine + upsample(self.join_middle(middle), fine)
        return F.normalize(self.project(fine).float(), dim=1)

    def edges(self, image_b1HW: Tensor) -> Tensor:
        """Return (B, WHITENED, H/8, W/8) unit-norm whitened histograms of normalized images."""
        gradients = oriented_gradients(image_b1HW)
        found = self.near(gradients) + self.wide(gradients) - self.centre[None, :, None, None]
        return F.normalize(found.float(), dim=1)
