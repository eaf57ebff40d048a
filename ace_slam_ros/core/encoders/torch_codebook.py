"""The codebook as tensors: for learners, and for whole frames on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..runtime.compiled import AVAILABLE
from .codebook import PROBES
from .grouped_vectors import NOTHING

if TYPE_CHECKING:
    from .codebook import Codebook


class TorchCodebook:
    """A `Codebook` on a device; the attributes of the same names are its.

    Args:
        codebook: whose words these are.
        device: where the tensors go.
    """

    def __init__(self, codebook: Codebook, device: str) -> None:
        self._host = codebook
        self.words_KD, self.projection_DP, self.coarse_GD, self.projected_KP, self.group_K = (
            torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (
                codebook.words_KD, codebook.projection_DP, codebook.coarse_GD,
                codebook.projected_KP, codebook.group_K))

    def nearest(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Return the nearest words (N, neighbors) int64 of the nearest groups, nearest first.

        A GPU finishes the product with all words sooner than many small ones.
        """
        if descriptors_ND.is_cuda or not AVAILABLE:
            return self.nearest_at_once(descriptors_ND, neighbors)
        return torch.from_numpy(
            self._host.nearest(descriptors_ND.contiguous().numpy(), neighbors))

    def nearest_at_once(self, descriptors_ND: Tensor, neighbors: int) -> Tensor:
        """Do as `nearest` in one product with all words, on any device."""
        groups_NG = descriptors_ND @ self.coarse_GD.T
        probed_Np = groups_NG.topk(min(PROBES, len(self.coarse_GD)), dim=1).indices
        open_NG = torch.zeros_like(groups_NG, dtype=torch.bool).scatter_(1, probed_Np, True)
        cosine_NK = descriptors_ND @ self.words_KD.T
        cosine_NK.masked_fill_(~open_NG[:, self.group_K], NOTHING)
        return cosine_NK.topk(neighbors, dim=1).indices
