"""Ranges of a flat list, listed element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..geometry.arrays import Int64Array


def expand(start_n: Int64Array, count_n: Int64Array) -> tuple[Int64Array, Int64Array]:
    """List the ranges [start, start + count): (which range (K,), element (K,))."""
    owner = np.repeat(np.arange(len(count_n)), count_n)
    before = np.cumsum(count_n) - count_n
    return owner, np.arange(len(owner)) - before[owner] + start_n[owner]
