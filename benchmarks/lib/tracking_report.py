"""Renders the results of the tracking benchmark as a section of a markdown page, with plots."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

START, END = "<!-- tracking: begin -->", "<!-- tracking: end -->"
_HEADER = ("sequence", "mode", "frames", "ATE cm", "map cm", "raw ATE cm", "RPE cm/s", "lost",
           "lost s", "skipped", "head %", "p50 ms", "p95 ms", "p50 / ORB", "p95 / ORB", "CPU ms",
           "CPU / ORB", "peak MB", "NEES")

_ERRORS = {"ate_m": "answered poses", "map_ate_m": "the map in the end"}


def write_report(result: dict[str, Any], page: Path) -> None:
    """Replace the section between the markers (or append it), and draw the plots beside it.

    Args:
        result: the JSON of the benchmark.
        page: markdown file, made when absent.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    picture = page.with_name("benchmark_tracking.png")
    _plot(result["figures"], picture)
    section = "\n".join([START, *_section(result, picture.name), END])
    text = page.read_text() if page.exists() else "# Benchmarks\n"
    if START in text and END in text:
        text = text[: text.index(START)] + section + text[text.index(END) + len(END):]
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    page.write_text(text)


def _section(result: dict[str, Any], picture: str) -> list[str]:
    machine, figures = result["machine"], result["figures"]
    lines = [
        "## Tracking", "",
        f"Measured on {machine['processor']}, {machine['cores']} cores, "
        f"{'AVX-512' if machine['avx512'] else 'no AVX-512'}, "
        f"{machine['gpu'] or 'no GPU'}, load {machine['load_1min']} at the end; Python "
        f"{machine['python']}, torch {machine['torch']}."
        + (" First frames of each sequence only." if figures["quick"] else ""), "",
        "Error after rigid alignment to ground truth; *raw* are the poses from scene coordinates "
        "alone, *map* the keyframes in the end, after all corrections; NEES is the error squared, "
        "normalized by the reported covariance, over its expectation (1 is calibrated); the truth "
        "of recorded sequences counts as exact to 5 mm and 0.3 deg per axis. "
        "*lost s* is the longest time without a pose, *head %* the share of frames that the head "
        "looked at, CPU the time of the tracking thread per frame, with all that it does after "
        "the pose. Times are also given as multiples of what `cv2.ORB_create(1000)` takes on the "
        "same frames, before and after the run, on one thread. "
        f"torch and the other libraries alone take {figures['torch_baseline_rss_mb']:.0f} MB of "
        "the peak memory.", "",
        *_table(_HEADER, _all_rows(figures["sequences"])), "", f"![tracking]({picture})", ""]
    if "against" in figures:
        lines += [f"The version in `{figures['against']}`, run in turn with this one:", "",
                  *_table(_HEADER, _all_rows(figures["against_sequences"])), ""]
    movers = [(t, m) for t, m in figures["sequences"].items() if "mover_share" in m]
    if movers:
        lines += [*_table(("sequence", "movers in the pictures %", "movers in the map %"),
                          [(t, _number(100 * m["mover_pixels"], 1),
                            _number(100 * m["mover_share"], 2)) for t, m in movers]), ""]
    if figures.get("ablations"):
        lines += _ablations(figures)
    lines += _table(("check", "measured", "bar", ""), [
        (c["name"], _number(c["value"], 4), f"{'>=' if c['at_least'] else '<='} {c['bar']:g}",
         "ok" if c["ok"] else "**fails**") for c in result["checks"]])
    return lines


def _all_rows(sequences: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    return [row for title, measured in sequences.items() for row in _rows(title, measured)]


def _rows(title: str, measured: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per run."""
    rows = [_row(title, "every frame", measured["every_frame"], latency=False)]
    for run in measured["realtime"]:
        rate = run["rate"]
        rows.append(_row(title, "real time" if rate == 1 else f"real time x {rate:g}", run))
    return rows


def _row(title: str, mode: str, m: dict[str, Any], latency: bool = True) -> tuple[str, ...]:
    """A run in a row; latencies of frames taken in turn are none, they wait for other runs."""
    if "failed" in m:
        return (title, mode, "failed", *["-"] * (len(_HEADER) - 3))
    waits = ("-",) * 4
    if latency:
        waits = (_number(m["p50_ms"], 0), _number(m["p95_ms"], 0),
                 _number(m["p50_yardsticks"], 1), _number(m["p95_yardsticks"], 1))
    return (
        title, mode, str(m["frames"]), _number(m["ate_m"], 2, 100),
        _number(m["map_ate_m"], 2, 100), _number(m["raw_ate_m"], 2, 100),
        _number(m["rpe_m_per_s"], 2, 100), str(m["lost"]), _number(m["longest_lost_s"], 1),
        str(m["skipped"]), _number(m["head_share"], 0, 100), *waits, _number(m["cpu_ms"], 0),
        _number(m["cpu_yardsticks"], 1), _number(m["rss_mb"], 0), _number(m["nees"], 2))


def _ablations(figures: dict[str, Any]) -> list[str]:
    """Tables of the ablations: the medians, and every run behind them."""
    table = figures["ablations"]
    rows = [(name, _ERRORS[row["figure"]], str(len(row["runs"])), _number(row["ratio"], 2),
             _range(row["ratios"]), f"{row['lost']} of {row['frames']}") for name, row in
            table.items()]
    titles = list(dict.fromkeys(t for row in table.values() for t in row["runs"]))
    runs = [(title, *(_run(row["runs"].get(title)) for row in table.values()))
            for title in titles]
    reasons = [f"*{name}*: {row['why']}." for name, row in table.items() if row["why"]]
    return [
        "Errors with one component switched off, every frame, over those of the whole system: the "
        "median over all sequences, as single runs differ by chance as well.", "",
        *_table(("", "error of", "sequences", "median ratio", "lowest to highest", "lost frames"),
                rows), "", " ".join(reasons), "",
        "The runs, in cm: whole system → without the component.", "",
        *_table(("", *table), runs), ""]


def _run(run: dict[str, Any] | None) -> str:
    """What became of one ablated run, in a cell."""
    if run is None:
        return ""
    if run["failed"]:
        return f"failed: {run['failed'].splitlines()[-1]}"
    text = f"{_number(run['whole_m'], 2, 100)} → {_number(run['without_m'], 2, 100)}"
    if run["lost"]:
        when = run["lost_at_s"]
        text += (f", lost {run['lost']} of {run['frames']} frames"
                 + (f", first at {when:.1f} s" if when is not None else ""))
    return text


def _range(ratios: list[float] | None) -> str:
    if ratios is None:
        return "-"
    return " to ".join(_number(r, 2) if math.isfinite(r) else "lost" for r in ratios)


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value * scale:.{digits}f}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in
            (header, ("---",) * len(header), *rows)]


def _plot(figures: dict[str, Any], path: Path) -> None:
    """Draw error and latency of every sequence, both modes side by side."""
    from matplotlib.figure import Figure

    titles = list(figures["sequences"])
    figure = Figure(figsize=(9.0, 1.6 + 0.28 * max(4, len(titles))), layout="constrained")
    error, latency = figure.subplots(1, 2, sharey=True)
    places = range(len(titles))
    for shift, mode, color in ((-0.2, "every_frame", "#2b6cb0"), (0.2, "realtime", "#f2a65a")):
        measured = [_drawn(figures["sequences"][t][mode]) for t in titles]
        at = [p + shift for p in places]
        error.barh(at, [100 * (m.get("ate_m") or 0.0) for m in measured], 0.38, color=color,
                   label=mode.replace("_", " "))
        if mode == "realtime":
            p50 = [m.get("p50_ms") or 0.0 for m in measured]
            p95 = [m.get("p95_ms") or 0.0 for m in measured]
            latency.barh(list(places), p95, 0.5, color="#f9d8b0", label="p95")
            latency.barh(list(places), p50, 0.5, color=color, label="p50")
    error.set_yticks(list(places), titles)
    error.invert_yaxis()
    error.set_xlabel("ATE, cm")
    latency.set_xlabel("latency in real time, ms")
    for axes in (error, latency):
        axes.legend(fontsize="small")
    figure.savefig(path)


def _drawn(measured: dict[str, Any] | list[dict[str, Any]]) -> dict[str, Any]:
    """The run that the plot shows: of those in real time, as recorded, the least accurate."""
    if isinstance(measured, dict):
        return measured
    return max((m for m in measured if m["rate"] == 1), key=lambda m: m.get("ate_m") or math.inf)
