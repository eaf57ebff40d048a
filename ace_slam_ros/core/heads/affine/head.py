"""The affine head: local linear experts on a fixed codebook.

A descriptor falls on its nearest codebook words; each word owns up to S experts, one per place
it stands for; an expert maps the whitened difference between descriptor and word to a 3-D point.
`AffineHead` predicts from frozen weights, which `AffineLearner` (learner.py) makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...data.predictions import Predictions, no_predictions
from ...errors import MapError
from ...runtime.compiled import AVAILABLE
from .kernels import write_predictions
from .padded import PaddedExperts, pad_experts

if TYPE_CHECKING:
    from ...encoders.codebook import Codebook
    from ...geometry.arrays import Float32Array

HEAD_TYPE = "affine"
#: Steps of a rounded slope and offset.
SLOPE_LEVELS, OFFSET_LEVELS = 127.0, 32767.0


def encode_words(
    descriptors_ND: Tensor, codebook: Codebook, neighbors: int, inputs: int
) -> tuple[Tensor, Tensor]:
    """Return nearest words (N, k) int64 and expert inputs (N, k, P + 1), the last one being 1."""
    words_Nk = codebook.nearest(descriptors_ND, neighbors)
    return words_Nk, expert_inputs(descriptors_ND, words_Nk, codebook, inputs)


def expert_inputs(
    descriptors_ND: Tensor, words_Nk: Tensor, codebook: Codebook, inputs: int
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


class AffineHead:
    """Frozen experts: what tracker and relocalizer use and what a map stores."""

    head_type = HEAD_TYPE
    takes_submaps = True

    def __init__(self, tensors: dict[str, Tensor], codebook: Codebook, device: torch.device,
                 neighbors: int) -> None:
        """Unpack weights.

        Raises:
            MapError: a tensor is missing or does not fit the codebook.
        """
        self._codebook = codebook
        self._neighbors = neighbors
        try:
            count_K = tensors["count"].to(torch.int64)
            scale_E = tensors["slope_scale"].float()
            slopes = tensors["slopes"].float() * (scale_E / SLOPE_LEVELS)[:, None, None]
            offset = tensors["offset"].float() * tensors["offset_step"] + tensors["offset_centre"]
            sigma_E, submap_E = tensors["sigma"].float(), tensors.get("submap")
        except KeyError as error:
            raise MapError(f"head weights lack {error}: save the map again") from error
        self._inputs = slopes.shape[1]
        if (self._inputs > codebook.projection_DP.shape[1] or int(count_K.sum()) != len(slopes)
                or len(count_K) != len(codebook.words_KD)):
            raise MapError("head weights do not fit the encoder's codebook")
        self._weights_EP3 = torch.cat([slopes, offset[:, None]], dim=1).to(device)
        self._sigma_E = sigma_E.to(device)
        self._submap_E = None if submap_E is None else submap_E.to(device)
        word_E = torch.repeat_interleave(torch.arange(len(count_K)), count_K)
        self._index = ExpertIndex(word_E.to(device), len(count_K))
        self._device = device
        self.expert_count = len(slopes)

    @torch.inference_mode()
    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return all hypotheses of each descriptor."""
        if len(descriptors_ND) == 0 or self.expert_count == 0:
            return no_predictions(len(descriptors_ND))
        d = torch.from_numpy(np.ascontiguousarray(descriptors_ND)).to(self._device)
        words_Nk, z_NkP = encode_words(d, self._codebook, self._neighbors, self._inputs)
        return predict_experts(words_Nk, z_NkP, self._index, self._weights_EP3, self._sigma_E,
                               self._submap_E)

    def padded(self) -> PaddedExperts:
        """Return the experts as tables of fixed widths, for a CUDA graph."""
        return pad_experts(self._index.expert_E, self._index.start_K, self._index.count_K,
                           self._weights_EP3, self._sigma_E, self._submap_E)
