"""Fit how learned features and orientation histograms make one descriptor; no labels are used.

Histograms are whitened by half (directions that vary little count more, noise is not blown up),
both descriptors then count the same, and the directions of the pair that vary most are kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ace_slam_ros.core.encoders.networks.network import normalize
from ace_slam_ros.core.encoders.networks.orientations import REGIONS, oriented_gradients
from ace_slam_ros.core.encoders.networks.tiny import DIMENSION, LEARNED, WHITENED, EncoderNetwork

#: Powers of the standard deviation by which directions are divided: 0 keeps, 1 whitens.
_HISTOGRAM_POWER, _MERGED_POWER = 0.5, 0.3
#: Cells drawn of a view.
_CELLS = 100


@torch.inference_mode()
def fit_merging(network: EncoderNetwork, batches: Iterable[Tensor], seed: int) -> None:
    """Set the linear maps of `network` (in evaluation mode, on any device) from images.

    Args:
        network: with trained learned features.
        batches: (B, 1, H, W) float32 gray images 0..255.
        seed: of the cells drawn.
    """
    rng = np.random.default_rng([seed, 6])
    learned, roots = [], []
    for images in batches:
        image = normalize(images)
        both = torch.cat([network.learned(image), _root_histograms(network, image)], dim=1)
        cells = both.permute(0, 2, 3, 1).flatten(1, 2)
        for view in cells:
            drawn = view[torch.from_numpy(rng.integers(len(view), size=_CELLS)).to(view.device)]
            learned.append(drawn[:, :LEARNED])
            roots.append(drawn[:, LEARNED:])
    learned_NL, roots_NR = torch.cat(learned), torch.cat(roots)
    whiten_RW, center_R = _principal(roots_NR, WHITENED, _HISTOGRAM_POWER)
    for layer, part in zip((network.near, network.wide), whiten_RW.chunk(2), strict=True):
        layer.project.weight.copy_(part.T.reshape(layer.project.weight.shape))
    network.centre.copy_(center_R @ whiten_RW)
    edges_NW = F.normalize((roots_NR - center_R) @ whiten_RW, dim=1)
    both_NM = torch.cat([learned_NL, edges_NW], dim=1)
    merge_MD, center_M = _principal(both_NM, DIMENSION, _MERGED_POWER)
    for merge, rows in ((network.merge_learned, merge_MD[:LEARNED]),
                        (network.merge_edges, merge_MD[LEARNED:])):
        merge.weight.copy_(rows.T[:, :, None, None])
    assert network.merge_learned.bias is not None
    network.merge_learned.bias.copy_(-center_M @ merge_MD)


def _root_histograms(network: EncoderNetwork, image_b1HW: Tensor) -> Tensor:
    """Return (B, 2 * 8 * 16, h, w): what the two sizes of histograms are before projection."""
    gradients = oriented_gradients(image_b1HW)
    found = []
    for layer in (network.near, network.wide):
        roots, scale = layer.roots(gradients)
        regions = F.unfold(roots, REGIONS, dilation=layer.spacing)
        found.append(regions.unflatten(2, scale.shape[2:]) * scale)
    return torch.cat(found, dim=1)


def _principal(data_ND: Tensor, kept: int, power: float) -> tuple[Tensor, Tensor]:
    """Return the (D, kept) directions of largest variance, scaled, and the mean (D,)."""
    mean = data_ND.mean(dim=0)
    centered = (data_ND - mean).double()
    values, vectors = torch.linalg.eigh(centered.T @ centered / len(centered))
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept]
    # the sign of an eigenvector is free: fixed here, for the same weights everywhere
    vectors = vectors * vectors.sum(dim=0).sign()
    return (vectors * values ** (-power / 2)).to(data_ND), mean
