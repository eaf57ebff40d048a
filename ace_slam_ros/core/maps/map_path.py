"""Which folder a path names and whether it may be used; reading the files that lie there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import MapError
from .manifest import HEAD, KEYFRAMES, MANIFEST

#: Largest files of a map that are read, in bytes; checked before memory is taken. The largest map
#: that the parameters allow (5,000 keyframes of 1,500 features) has 0.7 GB of keyframes.
LARGEST_BYTES = {MANIFEST: 4_000_000, HEAD: 1_000_000_000, KEYFRAMES: 4_000_000_000}


def resolve_map_path(path: Path | str, root: Path | str = "") -> Path:
    """Absolute folder that `path` means, links resolved.

    Args:
        path: as a user wrote it; `~` is the home folder.
        root: the folder must lie below this one; empty = anywhere.

    Raises:
        MapError: it names no folder, or one that is not below `root`.
    """
    try:
        found = Path(path).expanduser().resolve()
        allowed = Path(root).expanduser().resolve() if root else None
        os.fsencode(found)
    except (OSError, RuntimeError, ValueError) as error:
        raise MapError(f"{str(path)!r} names no folder ({error}): give the path of a map "
                       "folder") from error
    if "\0" in str(found) or not found.name:
        raise MapError(f"{str(path)!r} cannot be a map folder: give the path of a folder of its "
                       "own")
    if allowed is not None and allowed not in found.parents:
        raise MapError(f"{found} is not below {allowed}: choose a folder there, or change "
                       "ros.map_root")
    return found


def read_map_file(name: str, folder: int) -> bytes:
    """Read a regular file of an open map folder; never waits, as reading a pipe would.

    Raises:
        FileNotFoundError: there is none.
        MapError: it is something else than a file, or larger than `LARGEST_BYTES`.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise MapError(f"{name} is not a file but {_kind(found.st_mode)}: restore the folder "
                           "or map again")
        if found.st_size > LARGEST_BYTES[name]:
            raise MapError(f"{name} has {found.st_size} bytes, more than the "
                           f"{LARGEST_BYTES[name]} of the largest map: restore the folder or map "
                           "again")
        return file.read(found.st_size)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
             stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "something else")
