"""Plain-text tables for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def format_table(rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Align rows for a terminal: text to the left, columns of numbers to the right.

    Floats are shown with four significant digits, None and NaN as `-`.
    """
    shown = [[_cell(value) for value in row] for row in rows]
    width = max((len(row) for row in [*shown, list(header)]), default=0)
    shown = [row + [""] * (width - len(row)) for row in shown]
    top = [str(h) for h in header] + [""] * (width - len(header)) if header else []
    sizes = [max(len(row[c]) for row in [*shown, *([top] if top else [])])
             for c in range(width)]
    right = [_is_numeric([row[c] for row in rows if c < len(row)]) for c in range(width)]

    def line(cells: list[str]) -> str:
        parts = [c.rjust(s) if r else c.ljust(s)
                 for c, s, r in zip(cells, sizes, right, strict=True)]
        return "  ".join(parts).rstrip()

    heading = [line(top), "  ".join("-" * s for s in sizes)] if top else []
    return "\n".join([*heading, *(line(row) for row in shown)])


def _is_numeric(values: list[Any]) -> bool:
    numbers = [v for v in values if v is not None]
    return bool(numbers) and all(
        isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in numbers)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}"
    return str(value)
