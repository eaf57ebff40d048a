"""Pictures of a run: the trajectory from above and from the side, its error, relocalizations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError
from ..core.geometry.se3 import transform_points
from .trajectory_error import AteResult, absolute_trajectory_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import SubFigure

    from ..core.data.trajectory import Trajectory
    from ..core.geometry.arrays import Float64Array

#: A gap longer than this in the estimate is drawn as a gap.
_GAP_NS = 300_000_000
_ASKED: dict[str, Any] = {
    "marker": "*", "ms": 11, "mfc": "#ffd54f", "mec": "black", "mew": 0.6, "ls": ""}
_ANSWERED: dict[str, Any] = {"marker": "x", "ms": 7, "mew": 1.6, "ls": ""}
_TRUTH, _RAW, _ESTIMATE, _WRONG = "#9aa0a6", "#f2a65a", "#2b6cb0", "#c53030"


def plot_trajectory(
    path_png: Path, estimate: Trajectory, groundtruth: Trajectory | None = None,
    raw: Trajectory | None = None, title: str = "",
    relocalizations: list[tuple[Float64Array, Float64Array]] | None = None,
) -> None:
    """Draw a run from the two sides with most extent, in meters, to a PNG file.

    Args:
        path_png: file to write.
        estimate: camera in map.
        groundtruth: when given, the estimate is aligned to it (SE(3)) and colored by its error.
        raw: scene-coordinate poses alone; aligned by themselves.
        title: first line; the error is appended.
        relocalizations: (estimated, true) positions (3,) meters; estimated ones in map, true
            ones in the frame of the ground truth (of the map without ground truth).

    Raises:
        DataError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ate = absolute_trajectory_error(estimate, groundtruth) if groundtruth is not None else None
    T_draw_map = ate.T_groundtruth_map if ate is not None else np.eye(4)
    drawn_N3 = transform_points(T_draw_map, estimate.T_map_cam_N44[:, :3, 3])
    lines = {"estimate": (estimate.stamps_ns, drawn_N3)}
    if groundtruth is not None:
        lines["truth"] = _during(groundtruth, estimate)
    if raw is not None and len(raw):
        T_raw = T_draw_map
        if groundtruth is not None:
            T_raw = absolute_trajectory_error(raw, groundtruth).T_groundtruth_map
        lines["raw"] = (raw.stamps_ns, transform_points(T_raw, raw.T_map_cam_N44[:, :3, 3]))
    answers = [(transform_points(T_draw_map, np.asarray(e, float)[None])[0], np.asarray(t, float))
               for e, t in relocalizations or []]
    figure = Figure(figsize=(13, 6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    basis = lines["truth"][1] if len(lines.get("truth", ((), ()))[1]) else drawn_N3
    rows = figure.add_gridspec(2, 1, height_ratios=(15, 1))
    drawing, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    views = drawing.subplots(1, 2)
    colors = None
    for axes, pair, name in zip(views, _views(basis), ("widest view", "side view"), strict=True):
        colors = _draw_view(axes, pair, lines, ate, answers)
        axes.set_title(f"{name}: {'xyz'[pair[0]]}-{'xyz'[pair[1]]}", fontsize=10)
    _finish(drawing, below, colors, title, ate, len(estimate))
    try:
        figure.savefig(path_png, format="png")
    except OSError as error:
        raise DataError(f"cannot write {path_png}: {error}; choose another --out") from error


def _views(points_N3: Float64Array) -> tuple[tuple[int, int], tuple[int, int]]:
    """Axes of the first view (the two with most extent) and of the second (widest and third)."""
    if len(points_N3) == 0:
        return (0, 1), (0, 2)
    widest, second, third = np.argsort(-np.ptp(points_N3, axis=0), kind="stable").tolist()
    return (min(widest, second), max(widest, second)), (widest, third)


def _during(groundtruth: Trajectory, estimate: Trajectory) -> tuple[np.ndarray, Float64Array]:
    """Ground truth while the estimate lasts; recordings often start long before."""
    stamps, positions = groundtruth.stamps_ns, groundtruth.T_map_cam_N44[:, :3, 3]
    if len(estimate) == 0:
        return stamps, positions
    keep = (stamps >= estimate.stamps_ns[0]) & (stamps <= estimate.stamps_ns[-1])
    return stamps[keep], positions[keep]


def _broken_at_gaps(stamps_ns: np.ndarray, points_N3: Float64Array) -> Float64Array:
    """Insert NaN rows where the camera was lost, so that no line crosses the gap."""
    gaps = np.nonzero(np.diff(stamps_ns) > _GAP_NS)[0] + 1
    return np.insert(points_N3, gaps, np.nan, axis=0)


def _draw_view(
    axes: Axes, pair: tuple[int, int], lines: dict[str, tuple[np.ndarray, Float64Array]],
    ate: AteResult | None, answers: list[tuple[Float64Array, Float64Array]],
) -> LineCollection | None:
    """Draw one projection; returns the colored path, if there is one."""
    a, b = pair
    styles = {"truth": (_TRUTH, 3.0, 0.9, "ground truth"),
              "raw": (_RAW, 0.8, 0.8, "scene coordinates alone")}
    for key, (color, width, alpha, label) in styles.items():
        if key in lines:
            points = _broken_at_gaps(*lines[key])
            axes.plot(points[:, a], points[:, b], color=color, lw=width, alpha=alpha,
                      label=label, solid_capstyle="round")
    colored = None
    stamps, points = lines["estimate"]
    if ate is not None and ate.pairs > 1:
        colored = _error_path(axes, stamps[ate.paired_N], points[ate.paired_N][:, [a, b]], ate)
    else:
        whole = _broken_at_gaps(stamps, points)
        axes.plot(whole[:, a], whole[:, b], color=_ESTIMATE, lw=1.6, label="estimate")
    if len(points):
        axes.plot(*points[0, [a, b]], "o", ms=7, mfc="white", mec="black", label="start", zorder=5)
    _draw_answers(axes, pair, answers)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"{'xyz'[a]} (m)")
    axes.set_ylabel(f"{'xyz'[b]} (m)")
    axes.grid(True, color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return colored


def _error_path(
    axes: Axes, stamps_ns: np.ndarray, points_N2: Float64Array, ate: AteResult
) -> LineCollection:
    """Draw the estimate as a line colored by its position error in centimeters."""
    from matplotlib.collections import LineCollection

    segments = np.stack([points_N2[:-1], points_N2[1:]], axis=1)
    error_cm = 50.0 * (ate.errors_m[:-1] + ate.errors_m[1:])
    together = np.diff(stamps_ns) <= _GAP_NS
    path = LineCollection(
        list(segments[together]), cmap="viridis", linewidths=1.8, label="estimate")
    path.set_array(error_cm[together])
    # One outlier must not make the rest of the path a single color.
    path.set_clim(0.0, max(float(np.percentile(100.0 * ate.errors_m, 98)), 1e-3))
    axes.add_collection(path)
    axes.autoscale_view()
    return path


def _draw_answers(
    axes: Axes, pair: tuple[int, int], answers: list[tuple[Float64Array, Float64Array]]
) -> None:
    """Mark relocalizations: a star at the truth, a cross at the answer, a line between them."""
    a, b = pair
    for answer, truth in answers:
        good = float(np.linalg.norm(answer - truth)) <= 0.05
        axes.plot([answer[a], truth[a]], [answer[b], truth[b]], color=_WRONG, lw=1.0, zorder=6)
        axes.plot(truth[a], truth[b], zorder=7, **_ASKED)
        axes.plot(answer[a], answer[b], zorder=8, color="black" if good else _WRONG, **_ANSWERED)
    if answers:  # empty lines for the legend, whatever color the first answer has
        axes.plot([], [], label="asked here", **_ASKED)
        axes.plot([], [], label="relocalized (red: > 5 cm off)", color="black", **_ANSWERED)


def _finish(
    drawing: SubFigure, below: SubFigure, colors: LineCollection | None, title: str,
    ate: AteResult | None, poses: int,
) -> None:
    """Title, one legend below both views, color bar."""
    note = f"{poses} poses"
    if ate is not None and ate.pairs:
        note = (f"ATE {100 * ate.rmse_m:.2f} cm rmse, {100 * ate.max_m:.1f} cm max, "
                f"{ate.pairs} of {poses} poses compared")
    drawing.suptitle(f"{title}\n{note}" if title else note, fontsize=12)
    handles, labels = drawing.axes[0].get_legend_handles_labels()
    below.legend(handles, labels, loc="center", ncol=6, frameon=False)
    if colors is not None:
        bar = drawing.colorbar(colors, ax=drawing.axes, shrink=0.85, pad=0.01, extend="max")
        bar.set_label("position error (cm)")
