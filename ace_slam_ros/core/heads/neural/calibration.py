"""From a network's hint of its error to a standard deviation, learned from replayed residuals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BINS, _SMALLEST_M, _LARGEST_M = 16, 0.005, 2.0
_STEP = math.log(_LARGEST_M / _SMALLEST_M) / (_BINS - 1)
_MEMORY = 0.99
#: Shorter residuals count as this.
_SHORTEST_M = 0.001
#: Logarithm of the geometric mean length of a 3-D normal vector of unit variance per axis.
_LOG_LENGTH = 0.365
_PRIOR_SAMPLES = 1.0


def sigma_from_table(table_B: Tensor, hint_m: Tensor) -> Tensor:
    """Return sigma per axis in meters of predictions with these hints, interpolated."""
    position = (torch.log(hint_m.clamp(min=1e-6) / _SMALLEST_M) / _STEP).clamp(0, _BINS - 1.001)
    below = position.long()
    share = position - below
    return table_B[below] * (1 - share) + table_B[below + 1] * share


class Calibration:
    """Geometric mean length of the residuals of late by hint, in bins of equal ratio.

    The geometric mean, because outliers (wrong depth, moving things) hardly change it.
    """

    def __init__(self, device: str) -> None:
        centers = _SMALLEST_M * torch.exp(_STEP * torch.arange(_BINS))
        self._prior = torch.log(0.05 + centers).to(device) + _LOG_LENGTH
        self._count = torch.zeros(_BINS, device=device)
        self._sum = torch.zeros(_BINS, device=device)

    def observe(self, hint_m_B: Tensor, error_m_B: Tensor) -> None:
        """Take the residual lengths of a batch; no synchronization."""
        index = torch.log(hint_m_B.clamp(min=1e-6) / _SMALLEST_M) / _STEP
        index = index.round().clamp(0, _BINS - 1).long()
        self._count.mul_(_MEMORY).index_add_(0, index, torch.ones_like(error_m_B))
        self._sum.mul_(_MEMORY).index_add_(0, index, torch.log(error_m_B.clamp(min=_SHORTEST_M)))

    def table(self) -> Tensor:
        """Return sigma per axis (16,) in meters by bin, for `sigma_from_table`."""
        total = self._sum + _PRIOR_SAMPLES * self._prior
        return torch.exp(total / (self._count + _PRIOR_SAMPLES) - _LOG_LENGTH)

    def restore(self, table: Tensor) -> None:
        """Go on from a table, as if it were a batch of residuals."""
        self._prior.copy_(torch.log(table.to(self._prior)) + _LOG_LENGTH)
