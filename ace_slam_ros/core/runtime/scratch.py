"""Memory for arrays that live as long as one piece of work: asked for once, used again each time.

Large arrays that are made anew for each image are given back to the system and fetched again, page
by page, which costs more than many a kernel that fills them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

_ALIGNMENT = 64  # bytes, of a cache line and the widest vector


class Scratch:
    """Hands out arrays from one block of memory, which grows to what the last work needed."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._used = 0

    def array(self, *shape: int) -> npt.NDArray[np.float32]:
        """Return an array of float32, its values undefined, to be used until `reuse`."""
        size = 4 * math.prod(shape)
        first = -self._block.ctypes.data % _ALIGNMENT + self._used
        self._used += size + -size % _ALIGNMENT
        if first + size > len(self._block):
            return np.empty(shape, np.float32)
        return self._block[first:first + size].view(np.float32).reshape(shape)

    def reuse(self) -> None:
        """Take all arrays back."""
        if self._used + _ALIGNMENT > len(self._block):  # the block may begin anywhere
            self._block = np.empty(self._used + _ALIGNMENT, np.uint8)
        self._used = 0


class ScratchPool:
    """Lends `Scratch` to works that may overlap, each its own."""

    def __init__(self) -> None:
        self._free: list[Scratch] = []

    @contextmanager
    def lend(self) -> Iterator[Scratch]:
        """Lend one; its arrays end with the context."""
        try:
            scratch = self._free.pop()
        except IndexError:
            scratch = Scratch()
        try:
            yield scratch
        finally:
            scratch.reuse()
            self._free.append(scratch)
