"""Where results go when nobody says so, what they replace, and what to do with them next."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from itertools import count
from pathlib import Path

#: Folder for the results of commands that are not given one.
RESULTS = Path("out")


def free_folder(name: str) -> Path:
    """Return `out/NAME`, or `out/NAME_2` and so on where there are results already."""
    for number in count(1):
        folder = RESULTS / (name if number == 1 else f"{name}_{number}")
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder
    raise AssertionError  # the numbers do not end


def results_line(out: Path) -> str:
    """Say where results go, and which are replaced there; before anything is written."""
    summary, saved = out / "summary.json", out / "map" / "manifest.json"
    earlier = next((file for file in (saved, summary) if file.is_file()), None)
    if earlier is None:
        return f"  results   {out}"
    try:
        source = json.loads(summary.read_text())["source"]
    except (OSError, ValueError, KeyError, TypeError):
        source = "an unknown source"
    made = datetime.fromtimestamp(earlier.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    what = "map and results" if saved.is_file() else "results"
    return f"  results   {out}: replaces the {what} of {source} of {made}"


def next_lines(map_dir: Path, source: Path | None, *, mapped: bool) -> list[str]:
    """Return the two commands that come next.

    Args:
        map_dir: the map that was made or used.
        source: the recording, to be played again; None = of a live camera.
        mapped: the map was made, else somebody was localized in it.
    """
    where, recording = _shown(map_dir), "RECORDING" if source is None else _shown(source)
    see = f"ace-slam run {recording} --map {where} --set mode=localization --view"
    locate = f"ace-slam relocalize {where} {recording}"
    live = f"ace-slam up --mode localization --map {where}"
    return ["  next      look at the map      " + see,
            "            relocalize in it     " + locate if mapped else
            "            live, in this map    " + live]


def lines_after_up(map_dir: str, source: Path | None, *, mapped: bool) -> list[str]:
    """Return what is said when the nodes have ended: what comes next, or how to keep a map.

    Args:
        map_dir: the parameter `ros.map_dir`.
        source: the recording that was played, None = a live camera.
        mapped: the nodes made a map, else they were localized in one.
    """
    if map_dir and (Path(map_dir) / "manifest.json").is_file():
        return next_lines(Path(map_dir), source, mapped=mapped)
    kept = shlex.quote(str(RESULTS / "NAME" / "map"))
    return [f"  no map was saved: --map {kept} --set ros.save_on_exit=true keeps the next one"]


def _shown(path: Path) -> str:
    """Return a path as one types it: relative where that is shorter, quoted where it must be."""
    path = path.expanduser().resolve()
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
