"""The growing set of affine experts: sufficient statistics, their solution, and who must go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .head import OFFSET_LEVELS, SLOPE_LEVELS

if TYPE_CHECKING:
    from ..payload import Arrays

#: Prior of an expert's residual: as many pseudo-samples with this standard deviation (meters).
_PRIOR_SAMPLES, PRIOR_SIGMA_M = 2.0, 0.04
_OFFSET_RIDGE = 1e-6
#: Side of the cubes of space that share the experts fairly, meters.
_CUBE_M = 1.0


class Experts:
    """Statistics of E experts: A = sum w z z^T, B = sum w z x^T, C = sum w |x|^2, n = sum w.

    x is relative to the expert's origin, so that single precision is enough. `inverse` is that of
    A + ridge, kept because re-targeting changes B alone. `kept_*` is the part of B and C that
    forgotten keyframes taught; their poses are final. `views` counts the keyframes that taught
    an expert, `born` is the number of the keyframe that started it, `submap` the one its map
    points are in.
    """

    word_E: Tensor
    origin_E3: Tensor
    A_EPP: Tensor
    B_EP3: Tensor
    C_E: Tensor
    n_E: Tensor
    inverse_EPP: Tensor
    W_EP3: Tensor
    sigma_E: Tensor
    kept_B_EP3: Tensor
    kept_C_E: Tensor
    views_E: Tensor
    born_E: Tensor
    submap_E: Tensor

    def __init__(self, inputs: int, device: str) -> None:
        """Hold no experts yet, of `inputs` inputs, the constant one included."""
        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(0, *shape, dtype=dtype, device=device)

        P, whole = inputs, torch.int64
        self._room: dict[str, Tensor] = {
            "word_E": empty(dtype=whole), "origin_E3": empty(3), "A_EPP": empty(P, P),
            "B_EP3": empty(P, 3), "C_E": empty(), "n_E": empty(), "inverse_EPP": empty(P, P),
            "W_EP3": empty(P, 3), "sigma_E": empty(), "kept_B_EP3": empty(P, 3),
            "kept_C_E": empty(), "views_E": empty(dtype=whole), "born_E": empty(dtype=whole),
            "submap_E": empty(dtype=whole)}
        self._use(0)

    def __len__(self) -> int:
        return len(self.word_E)

    def _use(self, count: int) -> None:
        """Let the fields show the first `count` rows of the room."""
        for name, room in self._room.items():
            setattr(self, name, room[:count])

    def add(
        self, words_n: Tensor, origins_n3: Tensor, born: int, submap: int = 0
    ) -> None:
        """Append experts that know nothing yet; the room doubles when it is full."""
        old, new = len(self), len(self) + len(words_n)
        if new > len(self._room["word_E"]):
            for name, room in self._room.items():
                larger = room.new_zeros(max(new, 2 * old), *room.shape[1:])
                larger[:old] = room[:old]
                self._room[name] = larger
        self._use(new)
        for name in self._room:
            getattr(self, name)[old:] = 0
        self.word_E[old:], self.origin_E3[old:], self.born_E[old:] = words_n, origins_n3, born
        self.submap_E[old:], self.sigma_E[old:] = submap, PRIOR_SIGMA_M

    def move(self, experts: Tensor, R_33: Tensor, t_3: Tensor, submap: int) -> None:
        """Move experts into a submap: their origins move, what is relative to these only turns."""
        self.submap_E[experts] = submap
        self.origin_E3[experts] = self.origin_E3[experts] @ R_33.T + t_3
        for relative in (self.B_EP3, self.kept_B_EP3, self.W_EP3):
            relative[experts] = relative[experts] @ R_33.T

    def keep(self, chosen_n: Tensor) -> None:
        """Keep only some experts, in the order given."""
        self._room = {name: getattr(self, name)[chosen_n] for name in self._room}
        self._use(len(chosen_n))

    def invert(self, experts: Tensor, ridge: float) -> None:
        """Invert the normal matrices of experts whose A has changed."""
        diagonal = torch.full((self.A_EPP.shape[1],), ridge, device=self.A_EPP.device)
        diagonal[-1] = _OFFSET_RIDGE
        # in double precision: the inverse is used again and again, whatever poses come
        factor = torch.linalg.cholesky((self.A_EPP[experts] + torch.diag(diagonal)).double())
        self.inverse_EPP[experts] = torch.cholesky_inverse(factor).float()

    def solve(self, ridge: float, experts: Tensor | None = None) -> None:
        """Solve for weights and sigma: of the given experts, or of all."""
        some = slice(None) if experts is None else experts
        B, n = self.B_EP3[some], self.n_E[some]
        W = torch.bmm(self.inverse_EPP[some], B)
        # the residual sum C - 2 W.B + W.(A W) with A W = B - ridge W
        squares = (W * B).sum(dim=(1, 2)) + ridge * (W[:, :-1] ** 2).sum(dim=(1, 2))
        rss = (self.C_E[some] - squares).clamp(min=0) / 3
        inputs = W.shape[1]
        free = (n + _PRIOR_SAMPLES) / (n + _PRIOR_SAMPLES + inputs)  # small samples overfit
        variance = (rss / free + _PRIOR_SAMPLES * PRIOR_SIGMA_M**2) / (n + _PRIOR_SAMPLES)
        self.W_EP3[some] = W
        self.sigma_E[some] = variance.sqrt()

    def mean_E3(self, experts: Tensor) -> Tensor:
        """Weighted mean of what the experts were taught, relative to their origins."""
        return self.B_EP3[experts, -1] / self.n_E[experts].clamp(min=1e-6)[:, None]

    def ranked(self) -> Tensor:
        """Return all experts, the most worth keeping first.

        Every cube of space keeps its best ones first, those that most keyframes confirmed; so a
        place seen in passing is not given up for one seen often.
        """
        place_E3 = torch.floor(self.origin_E3 / _CUBE_M).to(torch.int64)
        _, cube_E = torch.unique(
            torch.cat([self.submap_E[:, None], place_E3], dim=1), dim=0, return_inverse=True)
        order = torch.argsort(self.views_E, descending=True, stable=True)
        order = order[torch.argsort(cube_E[order], stable=True)]
        cube = cube_E[order]
        start = torch.cumsum(torch.bincount(cube), 0) - torch.bincount(cube)
        rank = torch.arange(len(order), device=order.device) - start[cube]
        return order[torch.argsort(rank, stable=True)]

    def export(self, words: int) -> Arrays:
        """Return the weights for `AffineHead` in word order.

        An expert of P inputs takes 3 P + 10 bytes: 8-bit slopes with a scale, 16-bit offsets
        within the bounds of the map (0.3 mm steps for 20 m), sigma in half precision. One more
        byte names its submap, while there are several.
        """
        order = torch.argsort(self.word_E, stable=True)
        W = self.W_EP3[order]
        scale = W[:, :-1].abs().amax(dim=(1, 2)).clamp(min=1e-6).half().float()
        slopes = W[:, :-1] * (SLOPE_LEVELS / scale)[:, None, None]
        offset = W[:, -1] + self.origin_E3[order]
        bounds = offset if len(self) else offset.new_zeros(1, 3)
        low, high = bounds.amin(dim=0), bounds.amax(dim=0)
        center, step = (low + high) / 2, (high - low).clamp(min=1e-3) / (2 * OFFSET_LEVELS)
        submaps = {"submap": self.submap_E[order].to(torch.uint8)} if self.submap_E.any() else {}
        return {name: tensor.cpu().numpy() for name, tensor in {
            "count": torch.bincount(self.word_E, minlength=words).to(torch.uint8),
            "slopes": slopes.round().clamp(-SLOPE_LEVELS, SLOPE_LEVELS).to(torch.int8),
            "slope_scale": scale.half(),
            "offset": ((offset - center) / step).round().to(torch.int16),
            "offset_centre": center, "offset_step": step,
            "sigma": self.sigma_E[order].half(), **submaps,
        }.items()}
