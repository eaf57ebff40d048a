"""Experts by word, as tensors: how the learner finds what a descriptor is told and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...data.predictions import Predictions, no_predictions
from ...runtime.compiled import AVAILABLE
from .kernels import write_predictions

if TYPE_CHECKING:
    from ...encoders.torch_codebook import TorchCodebook


def encode_words(
    descriptors_ND: Tensor, codebook: TorchCodebook, neighbors: int, inputs: int
) -> tuple[Tensor, Tensor]:
    """Return nearest words (N, k) int64 and expert inputs (N, k, P + 1), the last one being 1."""
    words_Nk = codebook.nearest(descriptors_ND, neighbors)
    return words_Nk, expert_inputs(descriptors_ND, words_Nk, codebook, inputs)


def expert_inputs(
    descriptors_ND: Tensor, words_Nk: Tensor, codebook: TorchCodebook, inputs: int
) -> Tensor:
    """Return expert inputs (N, k, P + 1) of descriptors at words; the last one is 1."""
    z_NkP = descriptors_ND.new_ones(*words_Nk.shape, inputs + 1)
    seen_NP = descriptors_ND @ codebook.projection_DP[:, :inputs]
    z_NkP[..., :inputs] = seen_NP[:, None] - codebook.projected_KP[words_Nk][..., :inputs]
    return z_NkP


class ExpertIndex:
    """Which experts each word has: `expert_E[start_K[w]:][:count_K[w]]` are those of word w."""

    def __init__(self, word_E: Tensor, words: int) -> None:
        """Index experts by their words; `words` is the size of the codebook."""
        self.expert_E = torch.argsort(word_E, stable=True)
        self.count_K = torch.bincount(word_E, minlength=words)
        self.start_K = torch.cumsum(self.count_K, 0) - self.count_K

    def of(self, words_n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """List the experts of n words: (which word (M,), its slot (M,), the expert (M,))."""
        count_n = self.count_K[words_n]
        owner = torch.repeat_interleave(torch.arange(len(words_n), device=words_n.device), count_n)
        before = torch.cumsum(count_n, 0) - count_n
        slot = torch.arange(len(owner), device=words_n.device) - before[owner]
        return owner, slot, self.expert_E[self.start_K[words_n][owner] + slot]


def predict_experts(
    words_Nk: Tensor, z_NkP: Tensor, index: ExpertIndex, W_EP3: Tensor, sigma_E: Tensor,
    submap_E: Tensor | None, origin_E3: Tensor | None = None,
) -> Predictions:
    """Return what every expert of every word says; S = k x most experts of one of the words."""
    if len(words_Nk) == 0 or (width := int(index.count_K[words_Nk].max())) == 0:
        return no_predictions(len(words_Nk))
    if words_Nk.is_cuda or not AVAILABLE:
        return predict_at_once(words_Nk, z_NkP, index, W_EP3, sigma_E, submap_E, origin_E3)
    slots = (*words_Nk.shape, width)
    coords, sigma = np.empty((*slots, 3), np.float32), np.empty(slots, np.float32)
    submap = np.empty((0, 0, 0) if submap_E is None else slots, np.uint8)
    write_predictions(
        words_Nk.numpy(), z_NkP.contiguous().numpy(), index.start_K.numpy(),
        index.count_K.numpy(), index.expert_E.numpy(), W_EP3.numpy(),
        np.empty((0, 3), np.float32) if origin_E3 is None else origin_E3.numpy(),
        sigma_E.numpy(),
        np.empty(0, np.uint8) if submap_E is None else submap_E.to(torch.uint8).numpy(),
        coords, sigma, submap)
    count = len(words_Nk)
    return Predictions(coords.reshape(count, -1, 3), sigma.reshape(count, -1),
                       None if submap_E is None else submap.reshape(count, -1))


def predict_at_once(
    words_Nk: Tensor, z_NkP: Tensor, index: ExpertIndex, W_EP3: Tensor, sigma_E: Tensor,
    submap_E: Tensor | None, origin_E3: Tensor | None = None,
) -> Predictions:
    """Do as `predict_experts` by whole tensors, on any device: the slow twin on a CPU."""
    count, neighbors = words_Nk.shape
    owner, slot, expert = index.of(words_Nk.reshape(-1))
    z_M = z_NkP.reshape(count * neighbors, -1)[owner]
    coords_M3 = torch.einsum("mp,mpx->mx", z_M, W_EP3[expert])
    if origin_E3 is not None:
        coords_M3 += origin_E3[expert]
    width = int(slot.max()) + 1
    coords = torch.zeros(count * neighbors, width, 3, device=z_M.device)
    sigma = torch.full((count * neighbors, width), torch.inf, device=z_M.device)
    coords[owner, slot], sigma[owner, slot] = coords_M3, sigma_E[expert]
    submap_NS = None
    if submap_E is not None:
        submap = torch.zeros(sigma.shape, dtype=torch.uint8, device=z_M.device)
        submap[owner, slot] = submap_E[expert].to(torch.uint8)
        submap_NS = submap.reshape(count, -1).cpu().numpy()
    return Predictions(coords.reshape(count, -1, 3).cpu().numpy(),
                       sigma.reshape(count, -1).cpu().numpy(), submap_NS)
