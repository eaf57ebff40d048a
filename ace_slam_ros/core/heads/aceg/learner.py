"""Makes tokens of keyframes at once; a keyframe that moves takes its share of them along exactly.

Memory is bounded: beyond `head.tokens` the tokens least worth keeping go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...data.submaps import MAIN_SUBMAP, SubmapMotion
from .head import HEAD_TYPE, OFFSET_LEVELS, AcegHead
from .tokens import Tokens, first_of_places

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...config.sections import HeadConfig, SensorConfig
    from ...data.keyframe import Keyframe
    from ...data.predictions import Predictions
    from ...geometry.arrays import Float32Array, Float64Array, Int64Array
    from ..payload import Arrays
    from .regressor import Regressor

#: When tokens must go, this share of those allowed is kept, so that the next ones have room.
_KEPT_SHARE = 0.9
#: Tokens of the newest keyframes stay: they had no chance yet to be seen again.
_NEWEST_KEYFRAMES = 5
#: Tokens among which a feature looks for its own.
_NEAREST = 8
#: Where in its cell a feature's surface lies: its spread as a share of the distance.
_CELL_RAD = 0.005


@dataclass
class _Samples:
    """What one keyframe taught: camera-frame points of its features by token.

    `feature_n` is the keyframe's feature that gave a sample.
    """

    feature_n: Int64Array
    token_n: Int64Array
    points_cam_n3: Float32Array
    weight_n: Float32Array
    T_map_cam: Float64Array

    def pick(self, which_n: npt.NDArray[np.bool_]) -> _Samples:
        """Return some of the samples, by mask."""
        return _Samples(self.feature_n[which_n], self.token_n[which_n],
                        self.points_cam_n3[which_n], self.weight_n[which_n], self.T_map_cam)

    def points(self) -> Float64Array:
        """Return the map points (n, 3) at the keyframe's present pose."""
        return np.asarray(self.points_cam_n3 @ self.T_map_cam[:3, :3].T + self.T_map_cam[:3, 3])


class AcegLearner:
    """Makes tokens of keyframes; what they point at is summed again for corrected poses."""

    head_type = HEAD_TYPE

    def __init__(self, config: HeadConfig, sensor: SensorConfig, regressor: Regressor) -> None:
        self._config, self._sensor = config, sensor
        self._regressor = regressor
        self._tokens = Tokens(regressor.coarse_GK.shape[1])
        self._samples: dict[int, _Samples] = {}
        self._observed = 0
        self._frozen: AcegHead | None = None

    @property
    def token_count(self) -> int:
        """Tokens in use."""
        return len(self._tokens)

    @property
    def wants_work(self) -> bool:
        """Never: everything is learned when it is observed."""
        return False

    def work(self, budget_s: float) -> bool:
        """Do nothing: `observe` made all there is."""
        return False

    def restore(self, arrays: Arrays) -> None:
        """Do nothing: the keyframes taught all there is."""

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Predict as the exported head does."""
        return self._head().predict(descriptors_ND)

    def _head(self) -> AcegHead:
        """The tokens as they are exported, made anew after a change."""
        if self._frozen is None:
            self._frozen = AcegHead(self.export(), self._regressor)
        return self._frozen

    def observe(
        self, keyframe: Keyframe, T_map_cam: Float64Array, submap: int = MAIN_SUBMAP
    ) -> int:
        """Let a keyframe's features join tokens or begin some; returns the features."""
        y = keyframe.points_cam_N3.astype(np.float32)
        keys = self._regressor.keys(keyframe.descriptors_ND)
        sigma = np.hypot(self._sensor.depth_sigma_m(y[:, 2]), _CELL_RAD * y[:, 2])
        samples = _Samples(np.arange(len(y)), np.full(len(y), -1, np.int64), y,
                           (sigma**-2.0).astype(np.float32), np.array(T_map_cam, np.float64))
        x_n3 = samples.points()
        token_n = samples.token_n
        if len(self._tokens):
            token_n[:] = self._own(keys, x_n3, submap)
        new_n = np.flatnonzero(token_n < 0)
        place_n, first = first_of_places(
            x_n3[new_n], keys[new_n], self._config.token_m, self._config.token_similarity)
        token_n[new_n] = len(self._tokens) + place_n
        self._tokens.add(x_n3[new_n[first]], self._observed, submap)
        torch.from_numpy(self._tokens.key_TK).index_add_(
            0, torch.from_numpy(token_n), torch.from_numpy(keys))
        self._tokens.views_T[np.unique(token_n)] += 1
        self._samples[keyframe.id] = samples
        self._sum(samples)
        self._observed += 1
        if len(self._tokens) > self._config.tokens:
            self._evict()
        self._frozen = None
        return len(y)

    def _own(self, keys_NK: Float32Array, x_N3: Float64Array, submap: int) -> Int64Array:
        """Return the token (N,) at the place of each feature that looks most like it, or -1."""
        known = self._head().tokens
        token_Nk, cosine_Nk = known.index.nearest(keys_NK, _NEAREST)
        gap_Nk = np.linalg.norm(known.x_T3[token_Nk] - x_N3[:, None], axis=2)
        cosine_Nk[(gap_Nk > self._config.token_m) | (known.submap_T[token_Nk] != submap)] = -1.0
        best_N = cosine_Nk.argmax(axis=1)
        rows = np.arange(len(keys_NK))
        alike_N = cosine_Nk[rows, best_N] > self._config.token_similarity
        return np.where(alike_N, token_Nk[rows, best_N], -1)

    def _sum(self, samples: _Samples, sign: float = 1.0) -> None:
        """Add samples to the tokens, or take them away; keys are not touched."""
        np.add.at(self._tokens.count_T, samples.token_n, int(sign))
        np.add.at(self._tokens.weight_T, samples.token_n, np.float32(sign) * samples.weight_n)
        self._shift([samples], self._tokens.shift_T3, sign)

    def _shift(self, parts: list[_Samples], shift_T3: Float32Array, sign: float = 1.0) -> None:
        """Add the weighted points of keyframes at their poses, relative to their tokens."""
        token = np.concatenate([part.token_n for part in parts])
        weight = np.concatenate([part.weight_n for part in parts]) * np.float32(sign)
        x = np.concatenate([part.points() for part in parts]) - self._tokens.origin_T3[token]
        torch.from_numpy(shift_T3).index_add_(
            0, torch.from_numpy(token), torch.from_numpy(x.astype(np.float32) * weight[:, None]))

    def prune(self, keyframe: Keyframe, T_map_cam: Float64Array,
              kept_N: npt.NDArray[np.bool_]) -> None:
        """Take a keyframe's lost features out of the sums; tokens that nothing is left of go."""
        samples = self._samples.get(keyframe.id)
        if samples is None:
            return
        stays_n = kept_N[samples.feature_n]
        lost = samples.pick(~stays_n)
        self._samples[keyframe.id] = samples = samples.pick(stays_n)
        samples.feature_n = (np.cumsum(kept_N) - 1)[samples.feature_n]
        unseen = np.setdiff1d(lost.token_n, samples.token_n)
        self._tokens.views_T[unseen] -= 1
        self._sum(lost, -1.0)
        if (self._tokens.views_T == 0).any():
            self._keep(np.flatnonzero(self._tokens.views_T))
        self._frozen = None

    def retarget(self, poses: dict[int, Float64Array]) -> None:
        """Move keyframes (id -> new T_map_cam) and redo the sums exactly from stored samples."""
        for identifier, T_map_cam in poses.items():
            self._samples[identifier].T_map_cam = np.array(T_map_cam, np.float64)
        self._tokens.shift_T3[:] = self._tokens.kept_shift_T3
        if self._samples:
            self._shift(list(self._samples.values()), self._tokens.shift_T3)
        self._frozen = None

    def move_submap(
        self, number: int, motion: SubmapMotion, poses: dict[int, Float64Array]
    ) -> None:
        """Move the tokens of a submap and its keyframes; nothing needs to be summed again."""
        own = np.flatnonzero(self._tokens.submap_T == number)
        self._tokens.move(own, np.asarray(motion.T_44, np.float64), motion.submap)
        for identifier, T_map_cam in poses.items():
            self._samples[identifier].T_map_cam = np.array(T_map_cam, np.float64)
        self._frozen = None

    def forget(self, identifier: int) -> None:
        """Drop a keyframe's stored samples; what it taught stays and is not re-targeted again."""
        samples = self._samples.pop(identifier, None)
        if samples is not None:
            self._shift([samples], self._tokens.kept_shift_T3)

    def export(self) -> Arrays:
        """Return the tokens for `AcegHead`, K + 8 bytes each.

        One more byte names the submap, while there are several. Keys are in 8 bits, map points
        in 16 within the bounds of the map (0.3 mm steps for 20 m), sigma in half precision.
        """
        known = self._tokens
        x_T3 = known.points() if len(known) else np.zeros((0, 3))
        low, high = (x_T3.min(axis=0, initial=1e9), x_T3.max(axis=0, initial=-1e9))
        if not len(known):
            low = high = np.zeros(3)
        center = ((low + high) / 2).astype(np.float32)
        step = (np.maximum(high - low, 1e-3) / (2 * OFFSET_LEVELS)).astype(np.float32)
        submaps = {"token_submap": known.submap_T.copy()} if known.submap_T.any() else {}
        return {
            "token_keys": known.rounded_keys(),
            "token_regressor": np.array(self._regressor.mark),
            "token_offsets": np.rint((x_T3 - center) / step).clip(
                -OFFSET_LEVELS, OFFSET_LEVELS).astype(np.int16),
            "token_center": center, "token_step": step,
            "token_sigma": known.sigma().astype(np.float16), **submaps}

    def _evict(self) -> None:
        """Keep those most worth it; what the others were taught goes with them."""
        known = self._tokens
        order = known.ranked()
        new = known.born_T[order] >= self._observed - _NEWEST_KEYFRAMES
        order = np.concatenate([order[new], order[~new]])
        self._keep(np.sort(order[:int(_KEPT_SHARE * self._config.tokens)]))

    def _keep(self, chosen: Int64Array) -> None:
        """Keep some tokens (m,), in rising order; samples of the others go."""
        place = np.full(len(self._tokens), -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        self._tokens.keep(chosen)
        for identifier, samples in self._samples.items():
            samples.token_n = place[samples.token_n]
            self._samples[identifier] = samples.pick(samples.token_n >= 0)
        self._frozen = None
