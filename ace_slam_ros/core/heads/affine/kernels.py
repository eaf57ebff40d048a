"""Loops of the affine head: what experts are given, and what each of them says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...geometry.arrays import Float32Array, Int64Array


@kernel
def write_inputs(
    descriptors_ND: Float32Array, words_Nk: Int64Array, projection_DP: Float32Array,
    projected_KP: Float32Array, z_NkP: Float32Array,
) -> None:
    """Fill the last argument with expert inputs.

    Args:
        descriptors_ND: (N, D) unit-norm descriptors.
        words_Nk: (N, k) their words.
        projection_DP: (D, P) directions around words; the first ones are used.
        projected_KP: (K, P) words in these directions.
        z_NkP: (N, k, P') result: descriptor minus word in the first P' - 1 directions, and 1.
    """
    dimension, inputs = descriptors_ND.shape[1], z_NkP.shape[2] - 1
    seen = np.empty(inputs, np.float32)
    for n in range(len(descriptors_ND)):
        seen[:] = np.float32(0.0)
        for d in range(dimension):
            value = descriptors_ND[n, d]
            for p in range(inputs):
                seen[p] += value * projection_DP[d, p]
        for k in range(words_Nk.shape[1]):
            word = words_Nk[n, k]
            for p in range(inputs):
                z_NkP[n, k, p] = seen[p] - projected_KP[word, p]
            z_NkP[n, k, inputs] = np.float32(1.0)


def write_inputs_twin(
    descriptors_ND: Float32Array, words_Nk: Int64Array, projection_DP: Float32Array,
    projected_KP: Float32Array, z_NkP: Float32Array,
) -> None:
    """Do as `write_inputs` by whole arrays: the slow twin."""
    inputs = z_NkP.shape[2] - 1
    seen_NP = descriptors_ND @ projection_DP[:, :inputs]
    z_NkP[..., :inputs] = seen_NP[:, None] - projected_KP[words_Nk][..., :inputs]
    z_NkP[..., inputs] = 1.0


@kernel
def write_predictions(
    words_Nk: Int64Array, z_NkP: Float32Array, start_K: Int64Array, count_K: Int64Array,
    expert_E: Int64Array, W_EP3: Float32Array, origin_E3: Float32Array, sigma_E: Float32Array,
    submap_E: npt.NDArray[np.uint8], coords_NkS3: Float32Array, sigma_NkS: Float32Array,
    submap_NkS: npt.NDArray[np.uint8],
) -> None:
    """Fill the last three arguments, S slots for each word; those without an expert as well.

    Args:
        words_Nk: (N, k) words of the descriptors.
        z_NkP: (N, k, P) expert inputs.
        start_K, count_K: (K,) which of `expert_E` are a word's.
        expert_E: (E,) experts by word.
        W_EP3: (E, P, 3) weights.
        origin_E3: (E, 3) what is added, or none at all: (0, 3).
        sigma_E: (E,) standard deviations.
        submap_E: (E,), or none at all, as is `submap_NkS` then.
        coords_NkS3: (N, k, S, 3) result, zero where there is no expert.
        sigma_NkS: (N, k, S) result, infinite there.
        submap_NkS: (N, k, S) result, zero there.
    """
    inputs, width = z_NkP.shape[2], sigma_NkS.shape[2]
    for n in range(words_Nk.shape[0]):
        for k in range(words_Nk.shape[1]):
            word = words_Nk[n, k]
            held = count_K[word]
            for s in range(held):
                e = expert_E[start_K[word] + s]
                a = b = c = np.float32(0.0)
                if len(origin_E3) > 0:
                    a, b, c = origin_E3[e, 0], origin_E3[e, 1], origin_E3[e, 2]
                for p in range(inputs):
                    z = z_NkP[n, k, p]
                    a += z * W_EP3[e, p, 0]
                    b += z * W_EP3[e, p, 1]
                    c += z * W_EP3[e, p, 2]
                coords_NkS3[n, k, s, 0], coords_NkS3[n, k, s, 1] = a, b
                coords_NkS3[n, k, s, 2] = c
                sigma_NkS[n, k, s] = sigma_E[e]
                if len(submap_E) > 0:
                    submap_NkS[n, k, s] = submap_E[e]
            for s in range(held, width):
                coords_NkS3[n, k, s, :] = np.float32(0.0)
                sigma_NkS[n, k, s] = np.float32(np.inf)
                if len(submap_E) > 0:
                    submap_NkS[n, k, s] = 0


def write_predictions_twin(
    words_Nk: Int64Array, z_NkP: Float32Array, start_K: Int64Array, count_K: Int64Array,
    expert_E: Int64Array, W_EP3: Float32Array, origin_E3: Float32Array, sigma_E: Float32Array,
    submap_E: npt.NDArray[np.uint8], coords_NkS3: Float32Array, sigma_NkS: Float32Array,
    submap_NkS: npt.NDArray[np.uint8],
) -> None:
    """Do as `write_predictions` by whole arrays: the slow twin."""
    slot_S = np.arange(sigma_NkS.shape[2])
    held_NkS = slot_S < count_K[words_Nk][..., None]
    place_NkS = np.where(held_NkS, start_K[words_Nk][..., None] + slot_S, 0)
    e_NkS = expert_E[place_NkS]
    coords_NkS3[:] = np.einsum("nkp,nkspx->nksx", z_NkP, W_EP3[e_NkS])
    if len(origin_E3):
        coords_NkS3 += origin_E3[e_NkS]
    coords_NkS3[~held_NkS] = 0.0
    sigma_NkS[:] = np.where(held_NkS, sigma_E[e_NkS], np.inf)
    if len(submap_E):
        submap_NkS[:] = np.where(held_NkS, submap_E[e_NkS], 0)
