"""The experts of an affine head as tables of fixed widths: a CUDA graph has fixed shapes.

The shapes change seldom while a map grows: slots and rows are powers of two.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Fewest slots of a word, and rows of all experts: the default `head.max_experts` fits.
_LEAST_SLOTS, _LEAST_ROWS = 8, 32768


class PaddedExperts(NamedTuple):
    """S slots for each of K words, and rows of which the last one is no expert.

    Attributes:
        expert_KS: (K, S) int64 row of each word's experts, the last row where it has fewer.
        weights_EP3: (E, P, 3) float32 weights, zero where there is no expert.
        sigma_E: (E,) float32 standard deviation, infinite there.
        submap_E: (E,) int64 submap.
    """

    expert_KS: Tensor
    weights_EP3: Tensor
    sigma_E: Tensor
    submap_E: Tensor

    @property
    def inputs(self) -> int:
        """What an expert takes of a descriptor, without the constant."""
        return self.weights_EP3.shape[1] - 1

    def predict(self, words_Nk: Tensor, z_NkP: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what every expert of every word says.

        Args:
            words_Nk: (N, k) words of the descriptors.
            z_NkP: (N, k, P) inputs.

        Returns:
            ((N, k S, 3) coordinates, (N, k S) standard deviation, (N, k S) submap); where there
            is no expert the deviation is infinite.
        """
        expert_NkS = self.expert_KS[words_Nk]
        coords_NkS3 = torch.einsum("nkp,nkspx->nksx", z_NkP, self.weights_EP3[expert_NkS])
        return (coords_NkS3.flatten(1, 2), self.sigma_E[expert_NkS].flatten(1),
                self.submap_E[expert_NkS].flatten(1))


def pad_experts(
    expert_E: Tensor, start_K: Tensor, count_K: Tensor, weights_EP3: Tensor, sigma_E: Tensor,
    submap_E: Tensor | None,
) -> PaddedExperts:
    """Make the tables; words and experts as in `ExpertIndex`, their values as a head has them."""
    experts, device = len(sigma_E), sigma_E.device
    rows = _power_of_two(experts + 1, _LEAST_ROWS)
    slots = _power_of_two(int(count_K.max()), _LEAST_SLOTS)
    slot_S = torch.arange(slots, device=device)
    place_KS = start_K[:, None] + slot_S
    row_E = torch.cat([expert_E, expert_E.new_full((rows - experts,), rows - 1)])
    expert_KS = torch.where(
        slot_S < count_K[:, None], row_E[place_KS.clamp(max=rows - 1)], rows - 1)
    weights = weights_EP3.new_zeros(rows, *weights_EP3.shape[1:])
    sigma = sigma_E.new_full((rows,), torch.inf)
    submap = torch.zeros(rows, dtype=torch.int64, device=device)
    weights[:experts], sigma[:experts] = weights_EP3, sigma_E
    if submap_E is not None:
        submap[:experts] = submap_E.long()
    return PaddedExperts(expert_KS, weights, sigma, submap)


def _power_of_two(count: int, least: int) -> int:
    return max(least, 1 << (count - 1).bit_length()) if count > 1 else least
