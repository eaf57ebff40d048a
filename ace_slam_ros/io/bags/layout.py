"""How bags lie on disk: which paths are bags, and which files are parts of one recording."""

from __future__ import annotations

import re
from pathlib import Path

from ...core.errors import DataError

_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd", ".bag")
#: Parts of a split recording: name, number.
_PART = re.compile(r"(.+)_(\d+)\.(?:mcap|db3|bag)(?:\.zstd)?")


def is_bag(path: Path) -> bool:
    """Tell whether a path is a bag, going by names."""
    if path.is_file():
        return path.name.endswith(_SUFFIXES)
    return (path / "metadata.yaml").is_file() or bool(_names(path))


def bag_files(folder: Path) -> list[Path]:
    """Return the files of a bag without `metadata.yaml`, in order: one, or a split recording.

    Raises:
        DataError: there are several that are no parts of one recording.
    """
    found = _names(folder)
    parts = [_PART.fullmatch(file.name) for file in found]
    if len(found) == 1:
        return found
    if len({part and part[1] for part in parts}) != 1 or None in parts:
        raise DataError(
            f"{folder} holds {len(found)} bag files but no metadata.yaml: give one of the files "
            f"({', '.join(file.name for file in found[:4])}), or run `ros2 bag reindex` on the "
            "folder")
    return sorted(found, key=lambda file: int(_PART.fullmatch(file.name)[2]))  # type: ignore[index]


def _names(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir()
                  if file.name.endswith(_SUFFIXES) and file.is_file())
