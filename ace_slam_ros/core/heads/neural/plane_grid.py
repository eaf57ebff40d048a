"""The grid that a TriMLP votes on: equal cubes in a box, seen from three sides, that can grow.

A robot that leaves the box must not be clipped to it (an expectation over cells cannot leave their
hull). Cells of the same size are added where they are needed: the old ones keep their weights and
the new ones begin with a vote near zero, so that predictions stay. When that would make more cells
than allowed, neighbors along the axis with most cells are merged in pairs until there is room: a
merged cell stands between its two and takes both their votes, so that a prediction moves by half
an old cell at most, and not at all where the two had equal votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import MapError

if TYPE_CHECKING:
    from ...geometry.arrays import Float64Array

#: The axes of the three planes.
PLANES = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class RowMap:
    """How N new votes are made of C old ones.

    Attributes:
        mix_NC: (N, C) weights of the mean of old logits; a zero row is a new cell.
        log_count_N: (N,) logarithm of how many old cells it joins; -inf for a new one.
    """

    #: Logit of a new cell against the mean of the old ones: together they move nothing visibly.
    EMPTY: ClassVar[float] = -8.0

    mix_NC: Tensor
    log_count_N: Tensor

    def after(self, earlier: RowMap) -> RowMap:
        """Return the map that does `earlier` first."""
        joined = (self.mix_NC > 0).float() @ torch.exp(earlier.log_count_N)
        return RowMap(self.mix_NC @ earlier.mix_NC, torch.log(joined))


@dataclass(frozen=True)
class Grid:
    """Cubic cells in a box of the map frame.

    Attributes:
        low_m: smallest corner of the box (x, y, z).
        cell_m: side of a cell per axis; they differ after an axis was merged.
        cells: number of cells per axis.
    """

    low_m: tuple[float, float, float]
    cell_m: tuple[float, float, float]
    cells: tuple[int, int, int]

    @staticmethod
    def around(low_3: Float64Array, high_3: Float64Array, cells: int) -> Grid:
        """Return the cubic grid over a box with `cells` along its longest side."""
        cell = float(max(np.max(high_3 - low_3), 0.1)) / cells
        count_3 = np.maximum(np.ceil((high_3 - low_3) / cell - 1e-9), 2).astype(int)
        low = (low_3 + high_3 - count_3 * cell) / 2
        return Grid(_triple(low), (cell, cell, cell), _counts(count_3))

    @property
    def plane_votes(self) -> list[int]:
        """Cells of each plane."""
        return [self.cells[a] * self.cells[b] for a, b in PLANES]

    @property
    def votes(self) -> int:
        """Cells of all planes."""
        return sum(self.plane_votes)

    def hull(self) -> tuple[Float64Array, Float64Array]:
        """Return the corners of what can be predicted: the outermost cell centers."""
        low, cell, cells = (np.array(v, float) for v in (self.low_m, self.cell_m, self.cells))
        return low + cell / 2, low + cell * (cells - 0.5)

    def center(self, like: Tensor) -> Tensor:
        """Return the middle of the box (3,), on the device of `like`."""
        low, cell, cells = (np.array(v, float) for v in (self.low_m, self.cell_m, self.cells))
        return like.new_tensor((low + cell * cells / 2).tolist())

    def plane_centers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return per plane (cells, 4): coordinates a, b of the centers, then their squares.

        Relative to the middle of the box, which keeps single precision fine enough.
        """
        lines = [(torch.arange(n) + 0.5 - n / 2) * c
                 for n, c in zip(self.cells, self.cell_m, strict=True)]
        found = []
        for a, b in PLANES:
            pair = torch.cartesian_prod(lines[a], lines[b])
            found.append(torch.cat([pair, pair.square()], dim=1).float())
        return found[0], found[1], found[2]

    def covering(self, low_3: Float64Array, high_3: Float64Array, most_votes: int
                 ) -> tuple[Grid, RowMap] | None:
        """Return the grid whose hull holds a box as well and its vote map; None if it does so.

        Args:
            low_3, high_3: corners that must be predictable, meters.
            most_votes: cells of all planes together at most, but never fewer than 12.
        """
        first, last = self.hull()  # merging pulls the outermost centers in: keep what was reached
        low_3, high_3 = np.minimum(low_3, first), np.maximum(high_3, last)
        before, after = self._missing(low_3, high_3)
        if not (before.any() or after.any()):
            return None
        grid, rows = self, None
        while True:
            larger = grid._extended(before, after)
            longest = int(np.argmax(larger.cells))
            if larger.votes <= most_votes or larger.cells[longest] <= 2:
                break
            grid, step = grid._merged(longest)
            rows = step if rows is None else step.after(rows)
            before, after = grid._missing(low_3, high_3)
        step = grid._rows([_shifted(n, b, a) for n, b, a in zip(
            grid.cells, before, after, strict=True)])
        return larger, step if rows is None else step.after(rows)

    def _missing(
        self, low_3: Float64Array, high_3: Float64Array
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return how many cells are missing per axis before and after the present ones."""
        first, last = self.hull()
        cell = np.array(self.cell_m)
        before = np.maximum(np.ceil((first - low_3) / cell - 1e-9), 0).astype(np.int64)
        after = np.maximum(np.ceil((high_3 - last) / cell - 1e-9), 0).astype(np.int64)
        return before, after

    def _extended(self, before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> Grid:
        low = np.array(self.low_m) - before * np.array(self.cell_m)
        return Grid(_triple(low), self.cell_m, _counts(np.array(self.cells) + before + after))

    def _merged(self, axis: int) -> tuple[Grid, RowMap]:
        """Return the grid with pairs of cells along an axis joined, and the map of its votes."""
        count = -(-self.cells[axis] // 2)  # an odd last cell becomes a double one as well
        cells, cell = list(self.cells), list(self.cell_m)
        cells[axis], cell[axis] = count, 2 * cell[axis]
        lines = [torch.eye(n) for n in self.cells]
        lines[axis] = torch.eye(self.cells[axis])[::2].clone()
        odd = torch.eye(self.cells[axis])[1::2]
        lines[axis][: len(odd)] += odd
        grid = Grid(self.low_m, (cell[0], cell[1], cell[2]), (cells[0], cells[1], cells[2]))
        return grid, self._rows(lines)

    def _rows(self, lines: list[Tensor]) -> RowMap:
        """Return the vote map of per-axis 0/1 maps (new cells, old cells)."""
        blocks = [torch.kron(lines[a], lines[b]) for a, b in PLANES]
        joined = torch.zeros(sum(map(len, blocks)), sum(b.shape[1] for b in blocks))
        row = column = 0
        for block in blocks:
            height, width = block.shape
            joined[row:row + height, column:column + width] = block
            row, column = row + height, column + width
        count = joined.sum(dim=1)
        return RowMap(joined / count.clamp(min=1)[:, None], torch.log(count))

    def tensors(self) -> dict[str, Tensor]:
        """Return the grid for a blob."""
        return {"grid_low": torch.tensor(self.low_m, dtype=torch.float64),
                "grid_cell": torch.tensor(self.cell_m, dtype=torch.float64),
                "grid_cells": torch.tensor(self.cells, dtype=torch.int32)}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> Grid:
        """Return the grid of a blob.

        Raises:
            MapError: it is none.
        """
        try:
            low, cell, cells = (tensors[n].tolist() for n in ("grid_low", "grid_cell",
                                                              "grid_cells"))
            grid = Grid(_triple(np.array(low)), _triple(np.array(cell)), _counts(np.array(cells)))
        except (KeyError, TypeError, ValueError) as error:
            raise MapError(f"head weights lack a grid ({error}): save the map again") from error
        if not (np.isfinite(grid.low_m).all() and min(grid.cell_m) > 0 and min(grid.cells) > 0):
            raise MapError(f"head weights hold an impossible grid {grid}: save the map again")
        return grid


def _shifted(count: int, before: int, after: int) -> Tensor:
    """Return the (before + count + after, count) map of a line that got cells at both ends."""
    return torch.cat([torch.zeros(before, count), torch.eye(count), torch.zeros(after, count)])


def _triple(values_3: Float64Array) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values_3)
    return x, y, z


def _counts(values_3: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values_3)
    return x, y, z
