"""Batches for the regressor: tokens of some mapping views, and features of others that ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regressor.scenes import Shot, load_scene

#: Mapping views that a batch takes its tokens from, views that ask, features of each.
_LEAST_VIEWS, _ASKING, _FEATURES = 3, 4, 160
TOKENS = 3072
#: A token this near shows what a feature shows; one between the two distances may.
NEAR_M, FAR_M = 0.05, 0.15


@dataclass(frozen=True)
class Batch:
    """Tokens and questions of one scene.

    Attributes:
        tokens_TD, queries_ND: float32 unit-norm descriptors.
        gap_m_NT: (N, T) float32 distance of what each feature and each token show, meters.
    """

    tokens_TD: Tensor
    queries_ND: Tensor
    gap_m_NT: Tensor


class Batches:
    """Draws batches of a set of scenes; a batch depends on seed and step alone.

    Args:
        paths: files of scenes.
        seed: of the draws.
        with_queries: whether every other batch asks from other paths, in other light; else all
            ask from mapping views that gave no tokens.
    """

    def __init__(self, paths: list[Path], seed: int, with_queries: bool) -> None:
        self._paths, self._seed, self._with_queries = paths, seed, with_queries
        self._load = lru_cache(maxsize=None)(load_scene)

    def draw(self, step: int) -> Batch:
        """Return the batch of a step, in which some feature has a token near it."""
        rng = np.random.default_rng([self._seed, 3, step])
        while True:
            batch = self._drawn(rng, asks_queries=self._with_queries and step % 2 == 1)
            if bool((batch.gap_m_NT < NEAR_M).any()):
                return batch

    def _drawn(self, rng: np.random.Generator, asks_queries: bool) -> Batch:
        scene = self._load(self._paths[int(rng.integers(len(self._paths)))])
        order = rng.permutation(len(scene.mapping))
        views = int(rng.integers(_LEAST_VIEWS, len(order) - _ASKING + 1))
        mapped = [scene.mapping[i] for i in order[:views]]
        if asks_queries:
            some = rng.permutation(len(scene.queries))[:_ASKING]
            asking = [scene.queries[i] for i in some]
        else:
            asking = [scene.mapping[i] for i in order[views:views + _ASKING]]
        tokens, x_T3 = _some(mapped, TOKENS // len(mapped), rng)
        queries, x_N3 = _some(asking, _FEATURES, rng)
        return Batch(tokens, queries, torch.cdist(x_N3, x_T3))


def _some(shots: list[Shot], each: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return descriptors (n, D) and world points (n, 3) of some features of each view."""
    descriptors, points = [], []
    for shot in shots:
        chosen = rng.permutation(len(shot.pixels_N2))[:each]
        T = shot.T_world_cam_44
        descriptors.append(shot.descriptors_i8_ND[chosen])
        points.append(shot.points_cam_N3[chosen] @ T[:3, :3].T + T[:3, 3])
    d = torch.from_numpy(np.concatenate(descriptors)).float()
    return (torch.nn.functional.normalize(d, dim=1),
            torch.from_numpy(np.concatenate(points)).float())
