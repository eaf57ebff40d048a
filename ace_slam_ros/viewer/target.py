"""Where the live view goes: a window, a file or a running viewer; only here rerun is imported."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from .errors import ViewError

#: What `--view` needs; the extra `view` in pyproject.toml.
PACKAGE = "rerun-sdk>=0.24"
#: The target of `--web`, see `web.page_for`.
WEB = "web"


def check_target(target: str) -> None:
    """Refuse a target before anything slow starts.

    Raises:
        ViewError: see `open_view`.
    """
    import_rerun()
    if target == WEB:
        return
    if not target:
        if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
            raise ViewError(
                "--view opens a window, but there is no display: --web shows the same in a "
                "browser, --view=FILE.rrd records it for `rerun FILE.rrd` elsewhere")
    elif "://" not in target and not target.endswith(".rrd"):
        raise ViewError(
            f"--view={target}: give a file that ends in .rrd, the address of a viewer "
            "(rerun+http://host:9876/proxy), or nothing for a window")


def import_rerun() -> Any:
    """Import rerun.

    Raises:
        ViewError: it is not installed, or does not fit this Python.
    """
    try:
        return importlib.import_module("rerun")
    except ImportError as error:
        raise ViewError(f"--view needs rerun ({error}): pip install '{PACKAGE}'") from error


def connect(target: str) -> Any:
    """Return a rerun recording that goes to a window, a file or a viewer (its address).

    Raises:
        ViewError: see `check_target`; or the file cannot be written.
    """
    check_target(target)
    rerun = import_rerun()
    recording = rerun.RecordingStream("ace_slam")
    if not target:
        recording.spawn(memory_limit="1GB")
    elif "://" in target:
        recording.connect_grpc(target)
    else:
        path = Path(target).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise ViewError(f"--view={target}: {error.strerror}") from error
        recording.save(str(path))
    recording.send_blueprint(_layout())
    return recording


def _layout() -> Any:
    """Arrange map, image, coordinates and state."""
    blueprint = importlib.import_module("rerun.blueprint")
    return blueprint.Blueprint(
        blueprint.Horizontal(
            blueprint.Spatial3DView(origin="map", name="map"),
            blueprint.Vertical(
                blueprint.Spatial2DView(origin="camera", name="camera"),
                blueprint.Spatial2DView(
                    origin="coordinates", name="predicted scene coordinates"),
                blueprint.Tabs(
                    blueprint.TimeSeriesView(origin="confidence", name="confidence"),
                    blueprint.TimeSeriesView(origin="work", name="work per frame [ms]")),
                blueprint.Tabs(
                    blueprint.TextDocumentView(origin="problems", name="what is wrong"),
                    blueprint.TextLogView(origin="state", name="state")),
                row_shares=[3, 3, 2, 1.5]),
            column_shares=[3, 2]),
        collapse_panels=True)
