"""Histograms of edge orientations around each cell: SIFT's idea as a layer, for all cells at once.

What SIFT counts: gradients by orientation, summed over blurred regions, sixteen regions around a
cell, square roots after division by their sum. Where SIFT stops with these 128 numbers,
`OrientationHistograms` projects them. No training data can spoil what the fixed part sees, so it
carries over to cameras that training never met.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..shipped import LEAST_GRADIENT, ORIENTATIONS, REGIONS

#: Pixels of a cell, and of the blocks over which the image is averaged before differentiation.
_CELL, _BLOCK = 8, 4
#: Boxes that together blur a region, by the spacing of regions in cells; the last, of even width,
#: moves centers to corners of cells.
_BOXES = {1: (2, 2, 2), 3: (3, 3, 2)}


def oriented_gradients(normalized_b1HW: Tensor) -> Tensor:
    """Return (B, 8, H / 8, W / 8): mean gradient of each cell by direction, >= 0.

    Args:
        normalized_b1HW: images of zero mean and unit variance.
    """
    return gradients_of_blocks(F.avg_pool2d(normalized_b1HW, _BLOCK))


def gradients_of_blocks(means_b1hw: Tensor) -> Tensor:
    """Do the rest of `oriented_gradients`, from means of blocks of 4x4 pixels on."""
    small = F.pad(means_b1hw, (1, 1, 1, 1), mode="replicate")
    dx = (small[:, :, 1:-1, 2:] - small[:, :, 1:-1, :-2]) * 0.5
    dy = (small[:, :, 2:, 1:-1] - small[:, :, :-2, 1:-1]) * 0.5
    # made where they are used: a CUDA graph cannot record copies of numbers from the CPU
    angles = torch.arange(ORIENTATIONS // 2, dtype=torch.float64, device=dx.device)[:, None, None]
    angles = angles * (2 * math.pi / ORIENTATIONS)
    cosine, sine = angles.cos().to(dx.dtype), angles.sin().to(dx.dtype)
    along = dx * cosine + dy * sine
    # an edge counts for a direction with the seventh power of the cosine: half at 24 degrees away
    cubed = (along * torch.rsqrt(dx * dx + dy * dy + 1e-8)) ** 3
    sharp = along * cubed * cubed
    both_ways = torch.cat([F.relu(sharp), F.relu(-sharp)], dim=1)
    found = F.avg_pool2d(both_ways, _CELL // _BLOCK)
    return found.contiguous(memory_format=torch.channels_last)


def root_histograms(gradients_b8hw: Tensor, spacing: int) -> Tensor:
    """Return the histograms of all regions, whose square roots count, from `oriented_gradients`.

    Args:
        gradients_b8hw: mean gradients of cells by direction.
        spacing: distance between the centers of neighboring regions in cells, 1 or 3.

    Returns:
        (B, 8, h + 3 * spacing, w + 3 * spacing): the region of index (0, 0) is the first of cell
        (0, 0).
    """
    boxes = _BOXES[spacing]
    blur = sum(boxes) - len(boxes)
    reach = (blur + (REGIONS - 1) * spacing) // 2
    x = F.pad(gradients_b8hw, (reach,) * 4, mode="reflect")
    for box in boxes:
        x = F.avg_pool2d(x, box, 1)
    return x


class OrientationHistograms(nn.Module):
    """Projects the root histograms of the 4x4 regions around each cell.

    Args:
        outputs: channels of the projection.
        spacing: distance between the centers of neighboring regions in cells, 1 or 3.
    """

    def __init__(self, outputs: int, spacing: int) -> None:
        super().__init__()
        self.spacing = spacing
        self.project = nn.Conv2d(ORIENTATIONS, outputs, REGIONS, dilation=spacing, bias=False)

    def forward(self, gradients_b8hw: Tensor) -> Tensor:
        """Return (B, outputs, h, w) from `oriented_gradients`."""
        roots, scale = self.roots(gradients_b8hw)
        found: Tensor = self.project(roots.to(self.project.weight.dtype))
        return found * scale.to(found.dtype)

    def roots(self, gradients_b8hw: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `project` weighs and the factor that gives a cell's roots unit norm.

        Returns:
            (square roots of `root_histograms`; (B, 1, h, w) factor).
        """
        x = root_histograms(gradients_b8hw, self.spacing)
        whole = F.conv2d(x.sum(1, keepdim=True), x.new_ones(1, 1, REGIONS, REGIONS),
                         dilation=self.spacing)
        return x.sqrt(), torch.rsqrt(whole + LEAST_GRADIENT)
