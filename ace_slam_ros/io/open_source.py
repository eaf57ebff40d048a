"""Opens a source of frames: a recording with the reader its files need, or a live camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import DataError
from .bags.layout import is_bag
from .datasets.layouts import LAYOUTS, layout_of
from .realsense.devices import wanted_serial

if TYPE_CHECKING:
    from .source import ReadOptions, Source


def open_source(
    path: Path, *, require_depth: bool = True, options: ReadOptions | None = None
) -> Source:
    """Open a TUM folder (`rgb.txt`), a data set, or a bag (folder; .mcap, .db3; .bag of ROS 1).

    Data sets are known by their files, see `LAYOUTS`; a `camera.yaml` makes a TUM folder of one.

    Args:
        path: the folder or bag file.
        require_depth: leave out frames without usable depth, and refuse a sequence without any;
            False delivers them with `depth_m` None.
        options: topics of a bag by name, how images are paired, the unit of integer depth.

    Raises:
        DataError: nothing usable lies there; the message says what to do.
    """
    path = Path(path)
    try:
        return _open_source(path, require_depth, options)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def open_camera(
    serial: str = "", *, require_depth: bool = True, options: ReadOptions | None = None,
    seconds: float | None = None,
) -> Source:
    """Open a connected RealSense, which streams from now on.

    Args:
        serial: of the camera; empty = the only one.
        require_depth: leave out frames without usable depth.
        options: the unit of depth, if not as the camera says.
        seconds: end after so much time; None = when told.

    Raises:
        CameraError: its library is missing, or the camera is absent, in use or unclear.
        CalibrationError: its calibration is not usable.
    """
    from .realsense.devices import choose, connected
    from .realsense.source import RealSenseSource

    return RealSenseSource(
        choose(connected(), serial), require_depth=require_depth, options=options,
        seconds=seconds)


def _open_source(path: Path, require_depth: bool, options: ReadOptions | None) -> Source:
    if wanted_serial(path) is not None:
        raise DataError(f"{path} is a live camera, and this command needs a recording: only "
                        "`ace-slam run` and `relocalize` take the camera itself")
    if not path.exists():
        raise DataError(f"{path} does not exist: give a TUM folder or a bag")
    layout = None if (path / "camera.yaml").is_file() else layout_of(path)
    if layout is not None:
        from .datasets.folder import FolderSource

        return FolderSource(
            path, layout.read(path), require_depth=require_depth, options=options)
    if (path / "rgb.txt").is_file():
        from .tum import TumSource

        return TumSource(path, require_depth=require_depth, options=options)
    if is_bag(path):
        from .bags.source import BagSource

        return BagSource(path, require_depth=require_depth, options=options)
    raise DataError(
        f"{path} is neither a TUM folder (rgb.txt) nor a bag (metadata.yaml, .mcap, .db3, .bag) "
        f"nor one of {', '.join(known.name for known in LAYOUTS)}: docs/datasets.md tells their "
        "files"
    )
