"""What a command leaves behind for people: its output folder, aligned tables, check lines."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .core.errors import AceSlamError

#: (label, value, remark) of one line of a table.
Row = tuple[str, str, str]


class OutputError(AceSlamError):
    """A folder for results cannot be made or written."""


def prepare_out_folder(path: Path) -> Path:
    """Make the folder for results and prove that it can be written; return it resolved.

    A folder that exists is reused, so that a command can be repeated: its results are replaced.

    Raises:
        OutputError: it is a file, lies below one, or cannot be written.
    """
    path = Path(path).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError:
        raise OutputError(f"--out {path} is a file: give a folder") from None
    except OSError as error:
        raise OutputError(
            f"cannot write to --out {path}: {error.strerror}: give a folder you can write to"
        ) from error
    return path.resolve()


def refuse_existing(path: Path) -> Path:
    """Return `path` when nothing lies there and its parent can be written.

    Raises:
        OutputError: something is there already, or the parent cannot be written.
    """
    path = Path(path).expanduser()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise OutputError(f"{path} exists already: remove it, or give another name")
    prepare_out_folder(path.parent)
    return path


def table(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Align columns: the first to the left, the others to the right, the last one as it comes.

    Rows may differ in length; an empty row becomes an empty line.
    """
    width: dict[int, int] = {}
    for row in rows:
        for column, text in enumerate(row):
            width[column] = max(width.get(column, 0), len(text))
    lines = []
    for row in rows:
        cells = [
            text.ljust(width[0]) if column == 0 else
            (text.rjust(width[column]) if column == 1 or column < len(row) - 1 else text)
            for column, text in enumerate(row)
        ]
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def centimetres(value_m: float | None) -> str:
    """Format metres as centimetres; a dash when there is no value."""
    return "-" if value_m is None else f"{100.0 * value_m:.2f} cm"


def size(count: float | None) -> str:
    """Format a number of bytes."""
    if count is None:
        return "-"
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def share(part: int, whole: int) -> str:
    """Format a part of a whole in percent."""
    return f"{100.0 * part / whole:.1f} %" if whole else "-"


def run_rows(summary: dict[str, Any]) -> list[Row]:
    """Return the table of a run: `summary` has the keys of a run's `summary.json`."""
    frames = int(summary["frames"])
    latency = summary["latency_ms"]
    rows: list[Row] = [
        ("ATE", centimetres(summary["ate_rmse_m"]), "RMSE of the trajectory after alignment"),
        ("raw ATE", centimetres(summary["raw_ate_rmse_m"]), "of scene coordinates alone"),
        ("RPE", centimetres(summary["rpe_trans_m_per_s"]), "drift per second"),
        ("frames", str(frames), ""),
        ("tracked", str(summary["tracked"]), share(summary["tracked"], frames)),
        ("lost", str(summary["lost"]), share(summary["lost"], frames)),
        ("skipped", str(summary["skipped"]), share(summary["skipped"], frames)),
        ("rate", f"{summary['fps']:.1f} Hz", f"{summary['realtime_factor']:.2f} x real time"),
        ("latency", f"{_number(latency['p50'])} ms", f"p50, p95 {_number(latency['p95'])} ms"),
        ("map", size(summary["map_bytes"]), f"and keyframes {size(summary['keyframe_bytes'])}"),
        ("memory", f"{summary['peak_rss_mb']:.0f} MB", f"peak, device {summary['device']}"),
    ]
    if summary["ate_rmse_m"] is None:
        rows = [("ATE", "-", "no ground truth in the source"), *rows[3:]]
    return rows


def relocalize_rows(summary: dict[str, Any]) -> list[Row]:
    """Return the table of relocalisations: the keys of `ace-slam relocalize`'s summary."""
    latency = summary["latency_ms"]
    rows: list[Row] = [("queries", str(summary["queries"]), "")]
    if summary["median_trans_m"] is not None:
        rows += [
            ("within 5 cm, 5 deg", f"{100.0 * summary['recall_5cm_5deg']:.1f} %", ""),
            ("within 10 cm, 5 deg", f"{100.0 * summary['recall_10cm_5deg']:.1f} %", ""),
            ("median error", centimetres(summary["median_trans_m"]),
             f"{summary['median_rot_deg']:.2f} deg"),
            ("false accepts", str(summary["false_accepts"]), "accepted although wrong"),
        ]
    rows.append(
        ("latency", f"{_number(latency['p50'])} ms", f"p50, p95 {_number(latency['p95'])} ms"))
    return rows


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def say(*lines: str) -> None:
    """Print lines of a report and flush them, so that a log file shows them at once."""
    print(*lines, sep="\n", flush=True)


def complain(lines: Iterable[str]) -> None:
    """Print one-line errors to standard error."""
    for line in lines:
        print(f"ace-slam: error: {' '.join(line.split())}", file=sys.stderr, flush=True)
