"""Where the camera itself went, on a robot: nothing stands there.

Of a camera that is held high this is not so: in the rendered rooms one that is carried 1.3 m high
is above furniture for 32 to 79 % of its way, and does not look down on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..geometry.arrays import Int8Array

#: Keyframes that follow each other and are nearer than this are joined by a straight way.
JOINED_M = 0.5


class Passage(NamedTuple):
    """A straight piece of the camera's way in the plane of the grid; it may be one place."""

    from_x_m: float
    from_y_m: float
    to_x_m: float
    to_y_m: float


def passages_of(feet: Mapping[int, tuple[float, float]]) -> dict[int, Passage]:
    """Return the pieces of a way by the number of the place where each begins.

    Args:
        feet: x and y of the camera, meters, by numbers that grow along its way.
    """
    numbers = sorted(feet)
    found = {}
    for number, following in itertools.zip_longest(numbers, numbers[1:]):
        here = feet[number]
        there = here if following is None else feet[following]
        if math.dist(here, there) > JOINED_M:
            there = here
        found[number] = Passage(*here, *there)
    return found


def passed_over(
    passage: Passage, radius_m: float, cell_m: float
) -> tuple[int, int, Int8Array]:
    """Return the cells whose middle is within a radius of a passage.

    Returns:
        (row, column) of the first cell, and (h, w) 1 where the camera passed, else 0.
    """
    x0, y0, x1, y1 = passage
    column, row = (math.floor((min(ends) - radius_m) / cell_m) for ends in ((x0, x1), (y0, y1)))
    last_column, last_row = (
        math.floor((max(ends) + radius_m) / cell_m) for ends in ((x0, x1), (y0, y1)))
    dx = (np.arange(column, last_column + 1) + 0.5)[None, :] * cell_m - x0
    dy = (np.arange(row, last_row + 1) + 0.5)[:, None] * cell_m - y0
    along_x, along_y = x1 - x0, y1 - y0
    squared = along_x**2 + along_y**2
    if squared > 0.0:
        share = np.clip((dx * along_x + dy * along_y) / squared, 0.0, 1.0)
        dx, dy = dx - share * along_x, dy - share * along_y
    return row, column, (dx**2 + dy**2 <= radius_m**2).astype(np.int8)
