"""Opens a recorded sequence with the reader its files need: folder of images or rosbag2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import DataError
from .datasets.layouts import LAYOUTS, layout_of

if TYPE_CHECKING:
    from .source import Source


def open_source(
    path: Path, *, require_depth: bool = True, depth_unit_m: float = 0.0
) -> Source:
    """Open a TUM folder (`rgb.txt`), a data set, or a rosbag2 (`metadata.yaml`, .mcap, .db3).

    Data sets are known by their files, see `LAYOUTS`; a `camera.yaml` makes a TUM folder of one.

    Args:
        path: the folder or bag file.
        require_depth: leave out frames without usable depth, and refuse a sequence without any;
            False delivers them with `depth_m` None.
        depth_unit_m: meters per unit of integer depth (`sensor.depth_unit_m`); 0 = as the
            recording says.

    Raises:
        DataError: nothing usable lies there; the message says what to do.
    """
    path = Path(path)
    try:
        return _open_source(path, require_depth, depth_unit_m)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _open_source(path: Path, require_depth: bool, depth_unit_m: float) -> Source:
    if not path.exists():
        raise DataError(f"{path} does not exist: give a TUM folder or a rosbag2")
    layout = None if (path / "camera.yaml").is_file() else layout_of(path)
    if layout is not None:
        from .datasets.folder import FolderSource

        return FolderSource(path, layout.read(path), require_depth=require_depth,
                            depth_unit_m=depth_unit_m)
    if (path / "rgb.txt").is_file():
        from .tum import TumSource

        return TumSource(path, require_depth=require_depth, depth_unit_m=depth_unit_m)
    is_bag_file = path.is_file() and path.suffix in (".mcap", ".db3")
    if is_bag_file or (path / "metadata.yaml").is_file():
        from .bag import BagSource

        return BagSource(path, require_depth=require_depth, depth_unit_m=depth_unit_m)
    if path.is_dir():
        bags = sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
        if len(bags) == 1:
            from .bag import BagSource

            return BagSource(bags[0], require_depth=require_depth, depth_unit_m=depth_unit_m)
        if bags:
            raise DataError(
                f"{path} holds {len(bags)} bag files but no metadata.yaml: give one of the files, "
                "or run `ros2 bag reindex` on the folder"
            )
    raise DataError(
        f"{path} is neither a TUM folder (rgb.txt) nor a rosbag2 (metadata.yaml, .mcap, .db3) nor "
        f"one of {', '.join(known.name for known in LAYOUTS)}: docs/datasets.md tells their files"
    )
