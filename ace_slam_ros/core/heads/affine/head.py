"""The affine head: local linear experts on a fixed codebook.

A descriptor falls on its nearest codebook words; each word owns up to S experts, one per place
it stands for; an expert maps the whitened difference between descriptor and word to a 3-D point.
`AffineHead` predicts from frozen weights, which `AffineLearner` (learner.py) makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...data.predictions import Predictions, no_predictions
from ...errors import MapError
from ...runtime.compiled import AVAILABLE
from .kernels import write_inputs, write_inputs_twin, write_predictions, write_predictions_twin

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...encoders.codebook import Codebook
    from ...geometry.arrays import Float32Array, Float64Array, Int64Array
    from ..payload import Arrays

HEAD_TYPE = "affine"
#: Steps of a rounded slope and offset.
SLOPE_LEVELS, OFFSET_LEVELS = 127.0, 32767.0
#: Standard deviation of what was not learned, meters.
_UNLEARNED_SIGMA_M = 0.04


@dataclass(frozen=True)
class FrozenExperts:
    """E experts, those of a word beside each other: word w has `count_K[w]` from `start_K[w]` on.

    Attributes:
        start_K, count_K: (K,) int64.
        W_EP3: (E, P, 3) float32 weights; the last input is the constant 1.
        sigma_E: (E,) float32 standard deviation per axis, meters.
        submap_E: (E,) uint8 submap of each; empty while there is one map.
    """

    start_K: Int64Array
    count_K: Int64Array
    W_EP3: Float32Array
    sigma_E: Float32Array
    submap_E: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.sigma_E)

    @staticmethod
    def unpack(arrays: Arrays) -> FrozenExperts:
        """Read weights as `Experts.export` writes them.

        Raises:
            MapError: an array is missing.
        """
        try:
            count_K = arrays["count"].astype(np.int64)
            scale_E = arrays["slope_scale"].astype(np.float32)
            slopes = arrays["slopes"].astype(np.float32) * (scale_E / np.float32(
                SLOPE_LEVELS))[:, None, None]
            offset = (arrays["offset"].astype(np.float32) * arrays["offset_step"]
                      + arrays["offset_centre"])
            sigma_E = arrays["sigma"].astype(np.float32)
        except KeyError as error:
            raise MapError(f"head weights lack {error}: save the map again") from error
        return FrozenExperts(
            np.cumsum(count_K) - count_K, count_K, np.concatenate([slopes, offset[:, None]], 1),
            sigma_E, np.array(arrays.get("submap", ()), np.uint8))


def constant_experts(words_N: Int64Array, points_N3: Float64Array, words: int) -> Arrays:
    """Return weights of experts that look at nothing but the word: a head that was not learned.

    Args:
        words_N: words of features; the first feature of each word counts.
        points_N3: map points that they show, meters.
        words: of the codebook.
    """
    known, first = np.unique(words_N, return_index=True)
    points = np.asarray(points_N3, np.float64)[first]
    center = points.mean(axis=0)
    step = np.maximum(np.abs(points - center).max(axis=0), 1e-3) / OFFSET_LEVELS
    count_K = np.zeros(words, np.uint8)
    count_K[known] = 1
    return {"count": count_K, "slopes": np.zeros((len(known), 0, 3), np.int8),
            "slope_scale": np.ones(len(known), np.float16),
            "offset": np.rint((points - center) / step).astype(np.int16),
            "offset_centre": center.astype(np.float32), "offset_step": step.astype(np.float32),
            "sigma": np.full(len(known), _UNLEARNED_SIGMA_M, np.float16)}


class AffineHead:
    """Frozen experts: what tracker and relocalizer use and what a map stores.

    It predicts on the CPU; `PaddedExperts` are the same for whole frames on a GPU.

    Attributes:
        experts: as they were unpacked.
    """

    head_type = HEAD_TYPE
    takes_submaps = True

    def __init__(self, arrays: Arrays, codebook: Codebook, neighbors: int) -> None:
        """Unpack weights.

        Raises:
            MapError: an array is missing or does not fit the codebook.
        """
        self._codebook, self._neighbors = codebook, neighbors
        self.experts = FrozenExperts.unpack(arrays)
        self._all_E = np.arange(len(self.experts))
        if (self.experts.W_EP3.shape[1] - 1 > codebook.projection_DP.shape[1]
                or int(self.experts.count_K.sum()) != len(self.experts)
                or len(self.experts.count_K) != len(codebook.words_KD)):
            raise MapError("head weights do not fit the encoder's codebook")

    @property
    def expert_count(self) -> int:
        """Experts of the map."""
        return len(self.experts)

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return all hypotheses of each descriptor; S = k x most experts of one of the words."""
        count, known = len(descriptors_ND), self.experts
        if count == 0 or len(known) == 0:
            return no_predictions(count)
        descriptors_ND = np.ascontiguousarray(descriptors_ND)
        words_Nk = self._codebook.nearest(descriptors_ND, self._neighbors)
        width = int(known.count_K[words_Nk].max())
        if width == 0:
            return no_predictions(count)
        z_NkP = np.empty((*words_Nk.shape, known.W_EP3.shape[1]), np.float32)
        (write_inputs if AVAILABLE else write_inputs_twin)(
            descriptors_ND, words_Nk, self._codebook.projection_DP, self._codebook.projected_KP,
            z_NkP)
        slots = (*words_Nk.shape, width)
        coords, sigma = np.empty((*slots, 3), np.float32), np.empty(slots, np.float32)
        submap = np.empty(slots if len(known.submap_E) else (0, 0, 0), np.uint8)
        (write_predictions if AVAILABLE else write_predictions_twin)(
            words_Nk, z_NkP, known.start_K, known.count_K, self._all_E, known.W_EP3,
            np.empty((0, 3), np.float32), known.sigma_E, known.submap_E, coords, sigma, submap)
        return Predictions(coords.reshape(count, -1, 3), sigma.reshape(count, -1),
                           submap.reshape(count, -1) if len(known.submap_E) else None)
