"""Learns the affine head: a keyframe is one closed-form update, pose changes re-sum exactly.

Memory is bounded: beyond `head.max_experts` the experts least worth keeping go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data.predictions import no_predictions
from ...data.submaps import MAIN_SUBMAP, SubmapMotion
from ...encoders.torch_codebook import TorchCodebook
from .expert_index import ExpertIndex, encode_words, predict_experts
from .experts import Experts
from .head import HEAD_TYPE

if TYPE_CHECKING:
    from ...config.sections import HeadConfig, SensorConfig
    from ...data.keyframe import Keyframe
    from ...data.predictions import Predictions
    from ...encoders.codebook import Codebook
    from ...geometry.arrays import Float32Array, Float64Array
    from ..payload import Arrays

#: When experts must go, this share of those allowed is kept, so that the next ones have room.
_KEPT_SHARE = 0.9
#: Experts of the newest keyframes stay: they had no chance yet to be seen again.
_NEWEST_KEYFRAMES = 20
#: Keyframes summed at once when targets move: their products stay in the processor's cache.
_CHUNK = 8


@dataclass
class _Samples:
    """What one keyframe taught: expert inputs and camera-frame points, never map points.

    `feature_n` is the keyframe's feature that gave a sample.
    """

    feature_n: Tensor
    expert_n: Tensor
    z_nP: Tensor
    points_cam_n3: Tensor
    weight_n: Tensor
    T_map_cam: Float64Array

    def pick(self, which_n: Tensor) -> _Samples:
        """Return some of the samples, by mask."""
        return _Samples(
            self.feature_n[which_n], self.expert_n[which_n], self.z_nP[which_n],
            self.points_cam_n3[which_n], self.weight_n[which_n], self.T_map_cam)


class AffineLearner:
    """Learns experts from keyframes; every sum can be redone for corrected poses."""

    head_type = HEAD_TYPE

    def __init__(self, config: HeadConfig, sensor: SensorConfig, codebook: Codebook,
                 device: str) -> None:
        self._config, self._sensor = config, sensor
        self._codebook, self._device = TorchCodebook(codebook, device), device
        self._neighbors = config.neighbors
        self._inputs = min(config.inputs, codebook.projection_DP.shape[1]) + 1
        self._samples: dict[int, _Samples] = {}
        self._words = len(codebook.words_KD)
        self._observed = 0
        self._experts = Experts(self._inputs, device)
        self._index = ExpertIndex(self._experts.word_E, self._words)

    @property
    def expert_count(self) -> int:
        """Experts in use."""
        return len(self._experts)

    @property
    def wants_work(self) -> bool:
        """Never: everything is learned when it is observed."""
        return False

    def work(self, budget_s: float) -> bool:
        """Do nothing: `observe` solved all there is."""
        return False

    def restore(self, arrays: Arrays) -> None:
        """Do nothing: the keyframes taught all there is."""

    @torch.inference_mode()
    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Predict from the present weights, before they are rounded for export."""
        if len(descriptors_ND) == 0 or len(self._experts) == 0:
            return no_predictions(len(descriptors_ND))
        d = torch.from_numpy(np.ascontiguousarray(descriptors_ND)).to(self._device)
        words_Nk, z_NkP = encode_words(d, self._codebook, self._neighbors, self._inputs - 1)
        known = self._experts
        return predict_experts(
            words_Nk, z_NkP, self._index, known.W_EP3, known.sigma_E,
            known.submap_E if known.submap_E.any() else None, known.origin_E3)

    @torch.inference_mode()
    def observe(
        self, keyframe: Keyframe, T_map_cam: Float64Array, submap: int = MAIN_SUBMAP
    ) -> int:
        """Add a keyframe's features at pose `T_map_cam`; returns the samples that were used."""
        d = torch.from_numpy(keyframe.descriptors_ND).to(self._device)
        y = torch.from_numpy(keyframe.points_cam_N3).to(self._device, torch.float32)
        words_Nk, z_NkP = encode_words(d, self._codebook, self._neighbors, self._inputs - 1)
        sigma, sigma_at_1m = self._sensor.depth_sigma_m(y[:, 2]), self._sensor.depth_sigma_m(1.0)
        weight = torch.clamp((sigma_at_1m / sigma) ** 2, max=1.0)
        z_nP = z_NkP.reshape(-1, self._inputs)
        y_n3 = y.repeat_interleave(self._neighbors, 0)
        R, t = self._pose(T_map_cam)
        expert_n = self._assign(words_Nk.reshape(-1), z_nP, y_n3 @ R.T + t, submap)
        feature_n = torch.arange(len(y), device=self._device, dtype=torch.int32)
        samples = _Samples(feature_n.repeat_interleave(self._neighbors, 0), expert_n,
                           z_nP.half(), y_n3, weight.repeat_interleave(self._neighbors, 0),
                           np.array(T_map_cam)).pick(expert_n >= 0)
        self._samples[keyframe.id] = samples
        self._learn(samples)
        self._observed += 1
        if len(self._experts) > self._config.max_experts:
            self._evict()
        return len(samples.expert_n)

    @torch.inference_mode()
    def prune(self, keyframe: Keyframe, T_map_cam: Float64Array,
              kept_N: npt.NDArray[np.bool_]) -> None:
        """Take a keyframe's lost features out of the sums; experts that nothing is left of go."""
        samples = self._samples.get(keyframe.id)
        if samples is None:
            return
        kept = torch.from_numpy(kept_N).to(self._device)
        stays_n = kept[samples.feature_n.long()]
        lost = samples.pick(~stays_n)
        lost.weight_n = -lost.weight_n
        self._samples[keyframe.id] = samples = samples.pick(stays_n)
        samples.feature_n = (torch.cumsum(kept, 0) - 1).int()[samples.feature_n.long()]
        unseen = torch.unique(lost.expert_n)
        unseen = unseen[~torch.isin(unseen, samples.expert_n)]
        self._experts.views_E[unseen] -= 1
        self._sum(lost)
        if (self._experts.views_E == 0).any():
            self._keep(torch.nonzero(self._experts.views_E)[:, 0])

    def _learn(self, samples: _Samples) -> None:
        self._experts.views_E[torch.unique(samples.expert_n)] += 1
        self._sum(samples)

    def _sum(self, samples: _Samples) -> None:
        """Add samples to the sums, or take those of negative weight away, and solve again."""
        known, e, z = self._experts, samples.expert_n, samples.z_nP.float()
        wz = z * samples.weight_n[:, None]
        known.A_EPP.index_add_(0, e, wz[:, :, None] * z[:, None, :])
        known.n_E.index_add_(0, e, samples.weight_n)
        self._accumulate([samples], known.B_EP3, known.C_E)
        touched = torch.unique(e)
        touched = touched[known.views_E[touched] > 0]
        known.invert(touched, self._config.ridge)
        known.solve(self._config.ridge, touched)

    @torch.inference_mode()
    def retarget(self, poses: dict[int, Float64Array]) -> None:
        """Move keyframes (id -> new T_map_cam) and redo the sums exactly from stored samples."""
        for identifier, T_map_cam in poses.items():
            self._samples[identifier].T_map_cam = np.array(T_map_cam)
        known = self._experts
        known.B_EP3.copy_(known.kept_B_EP3)
        known.C_E.copy_(known.kept_C_E)
        everything = list(self._samples.values())
        for first in range(0, len(everything), _CHUNK):
            self._accumulate(everything[first:first + _CHUNK], known.B_EP3, known.C_E)
        known.solve(self._config.ridge)

    @torch.inference_mode()
    def move_submap(
        self, number: int, motion: SubmapMotion, poses: dict[int, Float64Array]
    ) -> None:
        """Move the experts of a submap and its keyframes; nothing needs to be summed again."""
        R, t = self._pose(motion.T_44)
        own = torch.nonzero(self._experts.submap_E == number)[:, 0]
        self._experts.move(own, R, t, motion.submap)
        for identifier, T_map_cam in poses.items():
            self._samples[identifier].T_map_cam = np.array(T_map_cam)

    @torch.inference_mode()
    def forget(self, identifier: int) -> None:
        """Drop a keyframe's stored samples; what it taught stays and is not re-targeted again."""
        samples = self._samples.pop(identifier, None)
        if samples is not None:
            self._accumulate([samples], self._experts.kept_B_EP3, self._experts.kept_C_E)

    @torch.inference_mode()
    def export(self) -> Arrays:
        """Return the weights for `AffineHead`."""
        return self._experts.export(self._words)

    def _pose(self, T_44: Float64Array) -> tuple[Tensor, Tensor]:
        T = torch.from_numpy(np.asarray(T_44, np.float32)).to(self._device)
        return T[:3, :3], T[:3, 3]

    def _accumulate(self, parts: list[_Samples], B_EP3: Tensor, C_E: Tensor) -> None:
        """Add what keyframes teach at their poses to the sums B and C."""
        e = torch.cat([part.expert_n for part in parts])
        weight = torch.cat([part.weight_n for part in parts])
        wz = torch.cat([part.z_nP for part in parts]).float() * weight[:, None]
        moved = []
        for part in parts:
            R, t = self._pose(part.T_map_cam)
            moved.append(torch.addmm(t, part.points_cam_n3, R.T))
        x = torch.cat(moved) - self._experts.origin_E3[e]
        B_EP3.index_add_(0, e, wz[:, :, None] * x[:, None, :])
        C_E.index_add_(0, e, weight * (x * x).sum(dim=1))

    def _assign(self, words_n: Tensor, z_nP: Tensor, x_n3: Tensor, submap: int) -> Tensor:
        """Return the expert (n,) each sample belongs to, creating experts; -1 = no room."""
        known = self._experts
        expert_n = torch.full_like(words_n, -1)
        owner, _, expert = self._index.of(words_n)
        x = x_n3[owner] - known.origin_E3[expert]
        predicted = torch.einsum("mp,mpx->mx", z_nP[owner], known.W_EP3[expert])
        # an expert of few samples may extrapolate wildly: its mean counts as well
        distance = torch.minimum((predicted - x).norm(dim=1),
                                 (known.mean_E3(expert) - x).norm(dim=1))
        distance[known.submap_E[expert] != submap] = torch.inf
        best_n = torch.full((len(words_n),), torch.inf, device=self._device)
        best_n.scatter_reduce_(0, owner, distance, "amin")
        hit = (distance == best_n[owner]) & (distance < self._config.new_expert_m)
        expert_n[owner[hit]] = expert[hit]
        self._start_experts(words_n, x_n3, expert_n, submap)
        return expert_n

    def _start_experts(
        self, words_n: Tensor, x_n3: Tensor, expert_n: Tensor, submap: int
    ) -> None:
        """Start experts for the samples that have none, and give them to all samples near."""
        room_K = self._config.experts_per_word - self._index.count_K
        words, origins, first_new = [], [], len(self._experts)
        open_n = torch.nonzero(expert_n < 0)[:, 0]
        while len(open_n):
            open_n = open_n[room_K[words_n[open_n]] > 0]
            unique, group = torch.unique(words_n[open_n], return_inverse=True)
            if len(unique) == 0:
                break
            first = torch.full((len(unique),), len(open_n), device=self._device)
            first.scatter_reduce_(0, group, torch.arange(len(open_n), device=self._device), "amin")
            origin = x_n3[open_n[first]]
            room_K[unique] -= 1
            near = (x_n3[open_n] - origin[group]).norm(dim=1) < self._config.new_expert_m
            expert_n[open_n[near]] = first_new + group[near]
            first_new += len(unique)
            words.append(unique)
            origins.append(origin)
            open_n = open_n[~near]
        if words:
            self._experts.add(torch.cat(words), torch.cat(origins), self._observed, submap)
            self._index = ExpertIndex(self._experts.word_E, self._words)

    def _evict(self) -> None:
        """Keep those most worth it; what the others were taught goes with them."""
        known = self._experts
        order = known.ranked()
        new = known.born_E[order] >= self._observed - _NEWEST_KEYFRAMES
        order = torch.cat([order[new], order[~new]])[: int(_KEPT_SHARE * self._config.max_experts)]
        self._keep(torch.sort(order).values)

    def _keep(self, chosen: Tensor) -> None:
        """Keep some experts (m,), in rising order; samples of the others go."""
        known = self._experts
        place = torch.full((len(known),), -1, dtype=torch.int64, device=self._device)
        place[chosen] = torch.arange(len(chosen), device=self._device)
        known.keep(chosen)
        for identifier, samples in self._samples.items():
            samples.expert_n = place[samples.expert_n]
            self._samples[identifier] = samples.pick(samples.expert_n >= 0)
        self._index = ExpertIndex(self._experts.word_E, self._words)
