"""Slow twins of the kernels before the convolutions: the layers of the network in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from ..networks.network import normalize
from ..networks.orientations import gradients_of_blocks, root_histograms

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, UInt8Image


def histograms_by_torch(
    means_hw: Float32Array, spacing: int
) -> tuple[Float32Array, Float32Array]:
    """Return roots and sums of the `Histograms` at a spacing, by the layers of the network."""
    gradients = gradients_of_blocks(torch.from_numpy(means_hw)[None, None])
    regions = root_histograms(gradients, spacing)[0].permute(1, 2, 0)
    return regions.sqrt().contiguous().numpy(), regions.sum(2).numpy()


def blocks_by_torch(gray_HW: UInt8Image) -> tuple[Float32Array, Float32Array]:
    """Do as `blocks_of` with torch: the slow twin."""
    writable = np.require(gray_HW, np.uint8, ["C", "W"])
    image = normalize(torch.from_numpy(writable).float()[None, None])
    pixels = F.pad(F.pixel_unshuffle(image, 4), (1, 1, 1, 1), mode="reflect")
    return (np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy()),
            F.avg_pool2d(image, 4)[0, 0].numpy())
