"""Curves of a training of the regressor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def plot_curves(log: list[dict[str, Any]], path: Path) -> None:
    """Draw losses and, of held-out scenes, how often the nearest token is right, over the steps.

    Args:
        log: rows with `step`, `loss` but for the first, and `mapping` and `query` of held-out
            scenes: the loss and shares of features.
        path: of the PNG.
    """
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = [row["step"] for row in log]
    left.plot(steps[1:], [row["loss"] for row in log[1:]], label="training")
    for name in ("mapping", "query"):
        left.plot(steps, [row[name]["loss"] for row in log], label=f"held out, {name} views")
        right.plot(steps, [100 * row[name]["first"] for row in log], label=f"nearest, {name}")
        right.plot(steps, [100 * row[name]["among_16"] for row in log], "--",
                   label=f"among 16, {name}")
    left.set(xlabel="step", ylabel="InfoNCE loss")
    right.set(xlabel="step", ylabel="near token found, % of features")
    for axis in (left, right):
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)
