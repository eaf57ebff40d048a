"""What a command leaves behind for people: its output folder, tables, one-line errors."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import AceSlamError

#: (label, value, unit, remark) of one line of a table; a value of None is shown as a dash.
Row = tuple[str, float | int | None, str, str]


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


def table(rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Align rows for a terminal, two spaces in."""
    from ..evaluation.tables import format_table

    return textwrap.indent(format_table(rows, header), "  ")


def centimeters(value_m: float | None) -> float | None:
    """Meters to centimeters in steps of 0.1 mm, None stays None."""
    return None if value_m is None else round(100.0 * value_m, 2)


def megabytes(count: float | None) -> float | None:
    """Bytes to 10^6 bytes, None stays None."""
    return None if count is None else round(count / 1e6, 3)


def percent(part: float, whole: float) -> str:
    """Format a part of a whole."""
    return f"{100.0 * part / whole:.1f} %" if whole else ""


def run_rows(summary: dict[str, Any]) -> list[Row]:
    """Return the table of a run; `summary` is what its `summary.json` holds."""
    frames, latency = summary["frames"], summary["latency_ms"]
    ate, compared = summary["ate_rmse_m"], summary.get("compared") or {}
    remark = "RMSE after alignment"
    if ate is None:
        remark = compared.get("problem") or "no ground truth in the source"
    rows: list[Row] = [("ATE", centimeters(ate), "cm", remark)]
    if ate is not None:
        rows += [
            ("raw ATE", centimeters(summary["raw_ate_rmse_m"]), "cm", "scene coordinates alone"),
            ("RPE", centimeters(summary["rpe_trans_m_per_s"]), "cm/s", "drift"),
        ]
    if ate is not None and (nees := summary.get("nees")):
        exact = _rounded(nees["pose"], 2)
        rows.append(("NEES", _rounded(nees["pose_mocap"], 2), "", "1 = the covariance is honest, "
                     f"with a truth good to 5 mm, 0.3 deg; {exact} with an exact one"))
    if ate is not None and compared:
        rows.append(("compared", compared["poses"], "", compared_over(summary)))
    rows += [
        (name, summary[name], "", percent(summary[name], frames) if name != "frames" else "")
        for name in ("frames", "tracked", "lost", "skipped", "rejected")]
    rows += [
        ("rate", _rounded(summary["fps"], 1), "Hz",
         f"{summary['realtime_factor'] or 0.0:.2f} x real time"),
        ("latency p50", _rounded(latency["p50"], 1), "ms", "image pair to pose"),
        ("latency p95", _rounded(latency["p95"], 1), "ms", ""),
        ("map", megabytes(summary["map_bytes"]), "MB", "head weights"),
        ("keyframes", megabytes(summary["keyframe_bytes"]), "MB",
         f"{summary['keyframes']} of them"),
        ("memory", _rounded(summary["peak_rss_mb"], 0), "MB", f"peak; device {summary['device']}"),
    ]
    return rows


def compared_over(summary: dict[str, Any]) -> str:
    """Say of how many poses, and over which time, an error is; and what was not used for it."""
    compared = summary["compared"]
    seconds = compared["until_s"] - compared["from_s"]
    dropped = summary.get("groundtruth", {}).get("dropped", {})
    left_out = "".join(f", {n} rows of ground truth dropped ({why})"
                       for why, n in dropped.items())
    return (f"of {compared['of']} poses, {seconds:.1f} s: {compared['from_s']:.3f} to "
            f"{compared['until_s']:.3f}{left_out}")


def relocalize_rows(summary: dict[str, Any]) -> list[Row]:
    """Return the table of relocalizations; `summary` is what their `summary.json` holds."""
    latency = summary["latency_ms"]
    asked, answered = summary["asked"], summary["answered"]
    rows: list[Row] = [("queries", asked, "", summary["mode"]),
                       ("answered", answered, "", percent(answered, asked))]
    rows += [("not answered", refusal["count"], "",
              f"{reason.lower().replace('_', ' ')}: {refusal['first']}")
             for reason, refusal in summary["refused"].items()]
    if summary["rejected"]:
        rows.append(("unusable", summary["rejected"], "", "frames that were not asked about"))
    if summary["median_trans_m"] is None:
        why = "no ground truth in the source" if summary["groundtruth_frame"] == "none" else (
            "no answer to compare")
        rows.append(("error", None, "", why))
    else:
        rows += [
            ("within 5 cm, 5 deg", round(100.0 * summary["recall_5cm_5deg"], 1), "%", ""),
            ("within 10 cm, 5 deg", round(100.0 * summary["recall_10cm_5deg"], 1), "%", ""),
            ("median error", centimeters(summary["median_trans_m"]), "cm", ""),
            ("median error", round(summary["median_rot_deg"], 2), "deg", ""),
            ("false accepts", summary["false_accepts"], "", "confident but wrong"),
        ]
    rows += [("latency p50", _rounded(latency["p50"], 1), "ms", ""),
             ("latency p95", _rounded(latency["p95"], 1), "ms", "")]
    return rows


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def say(*lines: str) -> None:
    """Print lines of a report and flush them, so that a log file shows them at once."""
    print(*lines, sep="\n", flush=True)


def complain(lines: Iterable[str]) -> None:
    """Print one-line errors to standard error."""
    for line in lines:
        print(f"ace-slam: error: {' '.join(line.split())}", file=sys.stderr, flush=True)
