"""The experts of an affine head as tables of fixed widths: a CUDA graph has fixed shapes.

The shapes change seldom while a map grows: slots and rows are powers of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .head import FrozenExperts

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


def pad_experts(known: FrozenExperts, device: str) -> PaddedExperts:
    """Make the tables of a head's experts."""
    experts, most = len(known), int(known.count_K.max(initial=0))
    rows, slots = _power_of_two(experts + 1, _LEAST_ROWS), _power_of_two(most, _LEAST_SLOTS)
    start_K, count_K, W_EP3, sigma_E, submap_E = (torch.from_numpy(part).to(device) for part in (
        known.start_K, known.count_K, known.W_EP3, known.sigma_E, known.submap_E))
    slot_S = torch.arange(slots, device=device)
    expert_KS = torch.where(slot_S < count_K[:, None], start_K[:, None] + slot_S, rows - 1)
    weights = W_EP3.new_zeros(rows, *W_EP3.shape[1:])
    sigma = sigma_E.new_full((rows,), torch.inf)
    submap = torch.zeros(rows, dtype=torch.int64, device=device)
    weights[:experts], sigma[:experts] = W_EP3, sigma_E
    submap[:len(submap_E)] = submap_E.long()
    return PaddedExperts(expert_KS, weights, sigma, submap)


def _power_of_two(count: int, least: int) -> int:
    return max(least, 1 << (count - 1).bit_length()) if count > 1 else least
