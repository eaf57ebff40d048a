"""Candidate poses on the device: triplets whose three sides agree; twin: `localization.proposals`.

The twin stops when it has found enough; here a fixed number of pairs of features is drawn, all
their hypotheses are tested, and the first that agree go on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..proposals import (
    CANDIDATES_PER_POSE,
    LEAST_SIGMA_M,
    MOST_OF_PAIR,
    SHORTEST_SIDE,
    THIRDS,
)

#: Pairs of features drawn at most and at least, and how many tests of sides they are to take.
_MOST_PAIRS, _LEAST_PAIRS, _TESTS = 4096, 256, 1 << 21
#: Where hypotheses lie that do not exist: beyond any gate.
FAR_M = 1e6


class Slots(NamedTuple):
    """Hypotheses of N features, S places for each.

    Attributes:
        y_N3: (N, 3) float32 camera-frame points.
        x_NS3: (N, S, 3) float32 map points, far away where there is none.
        sigma_NS: (N, S) float32 standard deviation per axis, infinite where there is none.
        gate2_NS: (N, S) float32 squared gate, zero where there is none.
    """

    y_N3: Tensor
    x_NS3: Tensor
    sigma_NS: Tensor
    gate2_NS: Tensor


class Motions(NamedTuple):
    """H rigid motions from camera to map: rotations (H, 3, 3) and translations (H, 3), float64."""

    R_H33: Tensor
    t_H3: Tensor


def pair_count(slots: int) -> int:
    """Return how many pairs of features are drawn that have so many slots each."""
    return max(_LEAST_PAIRS, min(_MOST_PAIRS, _TESTS // slots**2))


def candidate_count(slots: int, poses: int) -> int:
    """Return how many pairs of hypotheses are tried with third features."""
    return min(CANDIDATES_PER_POSE * poses, MOST_OF_PAIR * pair_count(slots))


def draw_count(slots: int, poses: int) -> int:
    """Return how many random numbers `propose` takes."""
    return 2 * pair_count(slots) + THIRDS * candidate_count(slots, poses)


def propose(slots: Slots, random_R: Tensor, poses: int) -> tuple[Motions, Tensor]:
    """Align triplets of features whose sides agree.

    Args:
        slots: hypotheses.
        random_R: (R,) float32 even in [0, 1), `draw_count` of them.
        poses: H at most; fewer where fewer candidates are tried.

    Returns:
        (motions, (H,) bool which of them stand for a triplet).
    """
    pairs, tried = pair_count(slots.sigma_NS.shape[1]), len(random_R)
    drawn_R = draw(slots, random_R)
    p_C, i_C, q_C, j_C, held_C = _pairs(
        slots, drawn_R[:pairs], drawn_R[pairs:2 * pairs],
        candidate_count(slots.sigma_NS.shape[1], poses))
    third_CT = drawn_R[2 * pairs:tried].reshape(len(p_C), THIRDS)
    r_C, k_C, found_C = _thirds(slots, p_C, i_C, q_C, j_C, third_CT)
    chosen_H, held_H = first_true(held_C & found_C, min(poses, len(p_C)))
    feature_H3 = torch.stack([p_C, q_C, r_C], dim=1)[chosen_H]
    slot_H3 = torch.stack([i_C, j_C, k_C], dim=1)[chosen_H]
    return align(slots.y_N3[feature_H3], slots.x_NS3[feature_H3, slot_H3]), held_H


def draw(slots: Slots, random_R: Tensor) -> Tensor:
    """Return (R,) features; those with few and sure hypotheses are drawn more often.

    Weights are summed as whole numbers, whose order does not matter.
    """
    count_N = slots.sigma_NS.isfinite().sum(dim=1)
    sure_N = 1.0 / (slots.sigma_NS.amin(dim=1) ** 2 + LEAST_SIGMA_M**2)
    weight_N = torch.where(count_N > 0, sure_N / count_N.clamp(min=1), 0.0).double()
    share_N = weight_N / weight_N.sum().clamp(min=1e-30)
    summed_N = (share_N * 2.0**40).long().cumsum(dim=0)
    ticket_R = (random_R.double() * summed_N[-1]).long()
    return torch.searchsorted(summed_N, ticket_R, right=True).clamp(max=len(summed_N) - 1)


def _pairs(
    slots: Slots, p_P: Tensor, q_P: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return features and slots of C pairs whose side agrees: p, i, q, j, and which are such."""
    side_P = (slots.y_N3[p_P] - slots.y_N3[q_P]).norm(dim=1)
    long_P = side_P > SHORTEST_SIDE * slots.y_N3[p_P, 2]
    agree_PSS = _agree(
        slots.x_NS3[p_P][:, :, None], slots.gate2_NS[p_P][:, :, None],
        slots.x_NS3[q_P][:, None], slots.gate2_NS[q_P][:, None], side_P[:, None, None])
    agree_PSS = agree_PSS & long_P[:, None, None]
    combined_PM, held_PM = first_true(agree_PSS.flatten(1), MOST_OF_PAIR)
    # the first ones of all pairs, then the second ones
    place_C, held_C = first_true(held_PM.T.flatten(), count)
    pair_C = place_C % len(p_P)
    combined_C = combined_PM.T.flatten()[place_C]
    width = slots.sigma_NS.shape[1]
    return (p_P[pair_C], torch.div(combined_C, width, rounding_mode="floor"),
            q_P[pair_C], combined_C % width, held_C)


def _thirds(
    slots: Slots, p_C: Tensor, i_C: Tensor, q_C: Tensor, j_C: Tensor, r_CT: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first third feature and slot that agrees with both others: r, k, and whether."""
    x_CTS3, gate2_CTS = slots.x_NS3[r_CT], slots.gate2_NS[r_CT]
    agree_CTS = torch.ones_like(gate2_CTS, dtype=torch.bool)
    for feature_C, slot_C in ((p_C, i_C), (q_C, j_C)):
        side_CT = (slots.y_N3[feature_C][:, None] - slots.y_N3[r_CT]).norm(dim=2)
        agree_CTS = agree_CTS & (side_CT > SHORTEST_SIDE * slots.y_N3[r_CT, 2])[..., None]
        agree_CTS = agree_CTS & _agree(
            slots.x_NS3[feature_C, slot_C][:, None, None],
            slots.gate2_NS[feature_C, slot_C][:, None, None], x_CTS3, gate2_CTS,
            side_CT[..., None])
    first_C1, found_C1 = first_true(agree_CTS.flatten(1), 1)
    third_C1 = torch.div(first_C1, agree_CTS.shape[2], rounding_mode="floor")
    return (r_CT.gather(1, third_C1)[:, 0], first_C1[:, 0] % agree_CTS.shape[2], found_C1[:, 0])


def _agree(a_3: Tensor, gate2_a: Tensor, b_3: Tensor, gate2_b: Tensor, side: Tensor) -> Tensor:
    """Whether hypotheses (..., 3) are as far apart as their features, up to the larger gate."""
    gap: Tensor = (a_3 - b_3).norm(dim=-1) - side
    return gap * gap < torch.maximum(gate2_a, gate2_b)


def first_true(mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return (indices of the first true ones along the last axis, which of them are true).

    Args:
        mask: (..., n) bool, n < 2^24.
        count: how many; all n of them at most.
    """
    rank = torch.arange(mask.shape[-1], 0, -1, dtype=torch.float32, device=mask.device)
    best, index = (mask * rank).topk(min(count, mask.shape[-1]), dim=-1)
    return index, best > 0


def align(source_H33: Tensor, target_H33: Tensor) -> Motions:
    """Align triangles (H, 3 points, 3) with others; twins: `align_triplets`, `kabsch_batch`."""
    source, target = source_H33.double(), target_H33.double()
    middle_s, middle_t = source.mean(dim=1), target.mean(dim=1)
    here, there = _frames(source), _frames(target)
    a_H32 = torch.einsum("hpi,hki->hpk", source - middle_s[:, None], here[:, :2])
    b_H32 = torch.einsum("hpi,hki->hpk", target - middle_t[:, None], there[:, :2])
    cosine = (a_H32 * b_H32).sum(dim=(1, 2))
    sine = (a_H32[..., 0] * b_H32[..., 1] - a_H32[..., 1] * b_H32[..., 0]).sum(dim=1)
    length = torch.hypot(cosine, sine)
    cosine, sine = (cosine / length)[:, None], (sine / length)[:, None]
    turned = torch.stack([cosine * there[:, 0] + sine * there[:, 1],
                          cosine * there[:, 1] - sine * there[:, 0], there[:, 2]], dim=1)
    R_H33 = torch.einsum("hki,hkj->hij", turned, here)
    return Motions(R_H33, middle_t - torch.einsum("hij,hj->hi", R_H33, middle_s))


def _frames(points_H33: Tensor) -> Tensor:
    """Return two directions in the plane of each triangle and its normal: (H, 3 of them, 3)."""
    b, c = points_H33[:, 1] - points_H33[:, 0], points_H33[:, 2] - points_H33[:, 0]
    u = b / b.norm(dim=1, keepdim=True).clamp(min=1e-9)
    v = c - (c * u).sum(dim=1, keepdim=True) * u
    v = v / v.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return torch.stack([u, v, torch.linalg.cross(u, v)], dim=1)
