"""The affine head: local linear experts on a fixed codebook, solved in closed form.

A descriptor falls on its nearest codebook words; each word owns up to S experts, one per place
it stands for; an expert maps the whitened difference between descriptor and word to a 3-D point.
`AffineHead` predicts from frozen weights; `AffineLearner` accumulates the experts' normal
equations from keyframes and re-targets them exactly when keyframe poses change.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..codebook import Codebook
from ..config import HeadConfig, SensorConfig
from ..errors import MapError
from ..geometry import Float64Array
from ..keyframe import Float32Array, Keyframe
from .protocol import Predictions

HEAD_TYPE = "affine"
#: Prior of an expert's residual: as many pseudo-samples with this standard deviation (metres).
_PRIOR_SAMPLES, _PRIOR_SIGMA_M = 2.0, 0.04
_SLOPE_LEVELS, _OFFSET_LEVELS = 127.0, 32767.0


def encode_words(
    descriptors_ND: Tensor, codebook: Codebook, neighbours: int, inputs: int
) -> tuple[Tensor, Tensor]:
    """Return nearest words (N, k) int64 and expert inputs (N, k, P + 1), the last one being 1."""
    words_Nk = codebook.nearest(descriptors_ND, neighbours)
    difference = descriptors_ND[:, None] - codebook.words_KD[words_Nk]
    projected = difference @ codebook.projection_DP[:, :inputs]
    return words_Nk, torch.cat([projected, torch.ones_like(projected[..., :1])], dim=-1)


class AffineHead:
    """Frozen experts: what tracker and relocalizer use and what a map stores."""

    head_type = HEAD_TYPE

    def __init__(self, tensors: dict[str, Tensor], codebook: Codebook, device: torch.device,
                 neighbours: int) -> None:
        """Unpack weights.

        Raises:
            MapError: a tensor is missing or does not fit the codebook.
        """
        self._codebook = codebook
        self._neighbours = neighbours
        try:
            count_K = tensors["count"].to(torch.int64)
            scale_E = tensors["slope_scale"].float()
            slopes = tensors["slopes"].float() * (scale_E / _SLOPE_LEVELS)[:, None, None]
            offset = tensors["offset"].float() * tensors["offset_step"] + tensors["offset_centre"]
            sigma_E = tensors["sigma"].float()
        except KeyError as error:
            raise MapError(f"head weights lack {error}: save the map again") from error
        self._inputs = slopes.shape[1]
        if (self._inputs > codebook.projection_DP.shape[1] or int(count_K.sum()) != len(slopes)
                or len(count_K) != len(codebook.words_KD)):
            raise MapError("head weights do not fit the encoder's codebook")
        self._weights_EP3 = torch.cat([slopes, offset[:, None]], dim=1).to(device)
        self._sigma_E = torch.cat([sigma_E, torch.full((1,), torch.inf)]).to(device)
        self._table_KS = expert_table(count_K).to(device)
        self._device = device
        self.expert_count = len(slopes)

    @torch.inference_mode()
    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return all hypotheses of each descriptor; S = neighbours x most experts of a word."""
        count = len(descriptors_ND)
        if count == 0 or self.expert_count == 0:
            return no_predictions(count)
        d = torch.from_numpy(np.ascontiguousarray(descriptors_ND)).to(self._device)
        words_Nk, z_NkP = encode_words(d, self._codebook, self._neighbours, self._inputs)
        experts_NkS = self._table_KS[words_Nk]
        W = self._weights_EP3[experts_NkS.clamp(min=0)]
        coords = torch.einsum("nkp,nkspx->nksx", z_NkP, W)
        sigma = self._sigma_E[experts_NkS]
        return Predictions(coords.reshape(count, -1, 3).cpu().numpy(),
                           sigma.reshape(count, -1).cpu().numpy())


def no_predictions(count: int) -> Predictions:
    """Return `count` features without any hypothesis."""
    return Predictions(np.zeros((count, 1, 3), np.float32),
                       np.full((count, 1), np.inf, np.float32))


def expert_table(count_K: Tensor) -> Tensor:
    """Return (K, S) int64 indices of each word's experts, which lie in word order; -1 = none."""
    slots = torch.arange(max(1, int(count_K.max())))
    start_K = torch.cumsum(count_K, 0) - count_K
    return torch.where(slots < count_K[:, None], start_K[:, None] + slots, -1)


@dataclass
class _Samples:
    """What one keyframe taught: expert inputs and camera-frame points, never world points."""

    expert_n: Tensor
    z_nP: Tensor
    points_cam_n3: Tensor
    weight_n: Tensor
    T_map_cam: Float64Array


@dataclass
class _Experts:
    """Sufficient statistics and solutions of E experts, E a capacity that grows.

    `kept_*` is the part of B and C that forgotten keyframes taught; their poses are final.
    """

    word_E: Tensor
    origin_E3: Tensor
    A_EPP: Tensor
    B_EP3: Tensor
    C_E: Tensor
    n_E: Tensor
    W_EP3: Tensor
    sigma_E: Tensor
    kept_B_EP3: Tensor
    kept_C_E: Tensor

    @staticmethod
    def empty(capacity: int, inputs: int, device: torch.device) -> _Experts:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(capacity, *shape, device=device)

        return _Experts(
            torch.zeros(capacity, dtype=torch.int64, device=device), zeros(3),
            zeros(inputs, inputs), zeros(inputs, 3), zeros(), zeros(), zeros(inputs, 3), zeros(),
            zeros(inputs, 3), zeros())

    def grown(self, capacity: int) -> _Experts:
        """Return a larger copy; new rows are zero."""
        larger = _Experts.empty(capacity, self.B_EP3.shape[1], self.word_E.device)
        for item in fields(self):
            getattr(larger, item.name)[: len(self.word_E)] = getattr(self, item.name)
        return larger


class AffineLearner:
    """Learns experts from keyframes; every sum can be redone for corrected poses.

    Sufficient statistics per expert: A = sum w z z^T, B = sum w z x^T, C = sum w |x|^2 with x
    relative to the expert's origin, so that single precision is enough.
    """

    head_type = HEAD_TYPE

    def __init__(self, config: HeadConfig, sensor: SensorConfig, codebook: Codebook,
                 device: torch.device) -> None:
        self._config, self._sensor = config, sensor
        self._codebook, self._device = codebook, device
        self._neighbours = config.neighbours
        self._inputs = min(config.inputs, codebook.projection_DP.shape[1]) + 1
        self._samples: dict[int, _Samples] = {}
        words = codebook.words_KD.shape[0]
        self._table_KS = torch.full((words, config.experts_per_word), -1, device=device)
        self._count = 0
        self._experts = _Experts.empty(1024, self._inputs, device)

    @property
    def expert_count(self) -> int:
        """Experts in use."""
        return self._count

    @property
    def wants_work(self) -> bool:
        """Never: everything is learned when it is observed."""
        return False

    def work(self, budget_s: float) -> bool:
        """Do nothing: `observe` solved all there is."""
        return False

    @torch.inference_mode()
    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Predict from the present weights, before they are rounded for export."""
        if len(descriptors_ND) == 0 or self._count == 0:
            return no_predictions(len(descriptors_ND))
        d = torch.from_numpy(np.ascontiguousarray(descriptors_ND)).to(self._device)
        words_Nk, z_NkP = encode_words(d, self._codebook, self._neighbours, self._inputs - 1)
        experts_NkS = self._table_KS[words_Nk]
        used = experts_NkS.clamp(min=0)
        coords = torch.einsum("nkp,nkspx->nksx", z_NkP, self._experts.W_EP3[used])
        coords += self._experts.origin_E3[used]
        sigma = torch.where(experts_NkS >= 0, self._experts.sigma_E[used], torch.inf)
        return Predictions(coords.flatten(1, 2).cpu().numpy(), sigma.flatten(1).cpu().numpy())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Do nothing: the keyframes taught all there is."""

    @torch.inference_mode()
    def observe(self, keyframe: Keyframe, T_map_cam: Float64Array) -> int:
        """Add a keyframe's features at pose `T_map_cam`; returns the samples that were used."""
        d = torch.from_numpy(keyframe.descriptors_ND).to(self._device)
        y = torch.from_numpy(keyframe.points_cam_N3).to(self._device, torch.float32)
        words_Nk, z_NkP = encode_words(d, self._codebook, self._neighbours, self._inputs - 1)
        sigma, sigma_at_1m = self._sensor.depth_sigma_m(y[:, 2]), self._sensor.depth_sigma_m(1.0)
        weight = torch.clamp((sigma_at_1m / sigma) ** 2, max=1.0)
        words_n, z_nP = words_Nk.reshape(-1), z_NkP.reshape(-1, self._inputs)
        y_n3 = y.repeat_interleave(self._neighbours, 0)
        weight_n = weight.repeat_interleave(self._neighbours, 0)
        R, t = self._pose(T_map_cam)
        x_n3 = y_n3 @ R.T + t
        expert_n = self._assign(words_n, z_nP, x_n3)
        kept = expert_n >= 0
        samples = _Samples(expert_n[kept], z_nP[kept].half(), y_n3[kept], weight_n[kept],
                           np.array(T_map_cam))
        self._samples[keyframe.id] = samples
        e, z = samples.expert_n, samples.z_nP.float()
        wz = z * samples.weight_n[:, None]
        self._experts.A_EPP.index_add_(0, e, wz[:, :, None] * z[:, None, :])
        self._experts.n_E.index_add_(0, e, samples.weight_n)
        self._accumulate(samples, self._experts.B_EP3, self._experts.C_E)
        self._solve(torch.unique(samples.expert_n))
        return int(kept.sum())

    @torch.inference_mode()
    def retarget(self, poses: dict[int, Float64Array]) -> None:
        """Move keyframes (id -> new T_map_cam) and redo the sums exactly from stored samples."""
        for identifier, T_map_cam in poses.items():
            self._samples[identifier].T_map_cam = np.array(T_map_cam)
        self._experts.B_EP3.copy_(self._experts.kept_B_EP3)
        self._experts.C_E.copy_(self._experts.kept_C_E)
        for samples in self._samples.values():
            self._accumulate(samples, self._experts.B_EP3, self._experts.C_E)
        self._solve(torch.arange(self._count, device=self._device))

    @torch.inference_mode()
    def forget(self, identifier: int) -> None:
        """Drop a keyframe's stored samples; what it taught stays and is not re-targeted again."""
        samples = self._samples.pop(identifier, None)
        if samples is not None:
            self._accumulate(samples, self._experts.kept_B_EP3, self._experts.kept_C_E)

    def _pose(self, T_44: Float64Array) -> tuple[Tensor, Tensor]:
        T = torch.from_numpy(np.asarray(T_44, np.float32)).to(self._device)
        return T[:3, :3], T[:3, 3]

    def _assign(self, words_n: Tensor, z_nP: Tensor, x_n3: Tensor) -> Tensor:
        """Return the expert (n,) each sample belongs to, creating experts; -1 = no room."""
        expert_n = torch.full_like(words_n, -1)
        open_n = torch.arange(len(words_n), device=self._device)
        for _ in range(self._config.experts_per_word + 1):
            slots = self._table_KS[words_n[open_n]]
            predicted = torch.einsum(
                "np,nspx->nsx", z_nP[open_n], self._experts.W_EP3[slots.clamp(min=0)])
            used = slots.clamp(min=0)
            x = (x_n3[open_n, None] - self._experts.origin_E3[used])
            weight = self._experts.n_E[used].clamp(min=1e-6)
            mean = self._experts.B_EP3[used, -1] / weight[..., None]
            # an expert of few samples may extrapolate wildly: its mean counts as well
            distance = torch.minimum((predicted - x).norm(dim=-1), (mean - x).norm(dim=-1))
            distance = torch.where(slots >= 0, distance, torch.inf)
            best, slot = distance.min(dim=1)
            near = best < self._config.new_expert_m
            expert_n[open_n[near]] = slots[near, slot[near]]
            open_n = open_n[~near]
            free = self._table_KS[words_n[open_n], -1] < 0
            candidates = open_n[free]
            if len(candidates) == 0:
                break
            self._create(words_n, x_n3, candidates)
        return expert_n

    def _create(self, words_n: Tensor, x_n3: Tensor, candidates: Tensor) -> None:
        """Start one expert for the first candidate of each word."""
        unique, inverse = torch.unique(words_n[candidates], return_inverse=True)
        first = torch.full((len(unique),), len(candidates), device=self._device)
        first.scatter_reduce_(0, inverse, torch.arange(len(candidates), device=self._device),
                              "amin")
        chosen = candidates[first]
        need = self._count + len(unique)
        if need > len(self._experts.word_E):
            self._experts = self._experts.grown(max(need, 2 * len(self._experts.word_E)))
        new = torch.arange(self._count, need, device=self._device)
        slot = (self._table_KS[unique] >= 0).sum(dim=1)
        self._table_KS[unique, slot] = new
        self._experts.word_E[new], self._experts.origin_E3[new] = unique, x_n3[chosen]
        self._experts.sigma_E[new] = _PRIOR_SIGMA_M
        self._count = need

    def _accumulate(self, samples: _Samples, B_EP3: Tensor, C_E: Tensor) -> None:
        """Add what a keyframe teaches at its pose to the sums B and C."""
        e, wz = samples.expert_n, samples.z_nP.float() * samples.weight_n[:, None]
        R, t = self._pose(samples.T_map_cam)
        x = samples.points_cam_n3 @ R.T + t - self._experts.origin_E3[e]
        B_EP3.index_add_(0, e, wz[:, :, None] * x[:, None, :])
        C_E.index_add_(0, e, samples.weight_n * (x * x).sum(dim=1))

    def _solve(self, experts: Tensor) -> None:
        """Solve the normal equations of the given experts and update their sigma."""
        known = self._experts
        A, B, n = known.A_EPP[experts], known.B_EP3[experts], known.n_E[experts]
        ridge = torch.full((self._inputs,), self._config.ridge, device=self._device)
        ridge[-1] = 1e-6
        factor = torch.linalg.cholesky(A + torch.diag(ridge))
        W = torch.cholesky_solve(B, factor)
        fitted = (W * (A @ W)).sum(dim=(1, 2)) - 2 * (W * B).sum(dim=(1, 2))
        rss = (self._experts.C_E[experts] + fitted).clamp(min=0) / 3
        free = (n + _PRIOR_SAMPLES) / (n + _PRIOR_SAMPLES + self._inputs)  # small samples overfit
        variance = (rss / free + _PRIOR_SAMPLES * _PRIOR_SIGMA_M**2) / (n + _PRIOR_SAMPLES)
        self._experts.W_EP3[experts] = W
        self._experts.sigma_E[experts] = variance.sqrt()

    @torch.inference_mode()
    def export(self) -> dict[str, Tensor]:
        """Return the weights for `AffineHead` in word order, on the CPU.

        An expert of P inputs takes 3 P + 10 bytes: 8-bit slopes with a scale, 16-bit offsets
        within the bounds of the map (0.3 mm steps for 20 m), sigma in half precision.
        """
        known, words = self._experts, len(self._codebook.words_KD)
        order = torch.argsort(known.word_E[: self._count], stable=True)
        W = known.W_EP3[order]
        scale = W[:, :-1].abs().amax(dim=(1, 2)).clamp(min=1e-6).half().float()
        slopes = W[:, :-1] * (_SLOPE_LEVELS / scale)[:, None, None]
        offset = W[:, -1] + known.origin_E3[order]
        bounds = offset if self._count else offset.new_zeros(1, 3)
        low, high = bounds.amin(dim=0), bounds.amax(dim=0)
        centre, step = (low + high) / 2, (high - low).clamp(min=1e-3) / (2 * _OFFSET_LEVELS)
        return {name: tensor.cpu() for name, tensor in {
            "count": torch.bincount(known.word_E[: self._count], minlength=words).to(torch.uint8),
            "slopes": slopes.round().clamp(-_SLOPE_LEVELS, _SLOPE_LEVELS).to(torch.int8),
            "slope_scale": scale.half(),
            "offset": ((offset - centre) / step).round().to(torch.int16),
            "offset_centre": centre, "offset_step": step,
            "sigma": known.sigma_E[order].half(),
        }.items()}
