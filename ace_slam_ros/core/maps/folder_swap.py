"""How a map folder is replaced: in one step, with the user's other files left in it.

A fresh folder is written beside the old one. The old one is renamed to `.<name>.previous` and the
fresh one takes its name; then what is not ours moves from the old to the new folder, and only our
own files are removed. When the process dies on the way, the next save finishes it: at every moment
one complete map can be loaded, and no file of the user is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from .manifest import GRID, HEAD, KEYFRAMES, MANIFEST

#: The files of a map folder that are ours; nothing else there is ever removed or replaced, but
#: those of the grid, unless somebody has changed them.
OWN_FILES = (MANIFEST, HEAD, KEYFRAMES)
GRID_FILES = (f"{GRID}.pgm", f"{GRID}.yaml")


def previous_of(path: Path) -> Path:
    """Name under which the old folder can be loaded while it is replaced."""
    return path.with_name(f".{path.name}.previous")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time save below `folder`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(path: Path, files: dict[str, bytes]) -> None:
    """Give `path` these files of ours; others that lie there stay. Needs the lock.

    Who may read a folder that exists may read its files, and nobody else.

    Raises:
        OSError: the disk is full, or the folder may not be written.
    """
    previous = previous_of(path)
    for kind in ("new", "old"):  # what interrupted saves left; the lock says nobody writes it
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.{kind}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    if path.exists() and previous.exists():
        _dissolve(previous, path)
    fresh = _hidden(path)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o777
    fresh.mkdir()
    for name, data in files.items():
        _write(fresh / name, data, mode & 0o666)
    if path.exists():
        fresh.chmod(mode)
    _sync(fresh)
    if path.exists():
        path.rename(previous)
    fresh.rename(path)
    if previous.exists():
        _dissolve(previous, path)


def back_up(path: Path) -> Path:
    """Keep our files at `path` as `<name>.backup-<n>`, the first free number; needs the lock.

    Raises:
        OSError: the disk is full, or the folder may not be written.
    """
    fresh = _hidden(path)
    fresh.mkdir()
    for name in (*OWN_FILES, *GRID_FILES):
        if (path / name).exists():
            try:
                os.link(path / name, fresh / name)
            except OSError:  # a file system without links
                shutil.copy2(path / name, fresh / name)
    _sync(fresh)
    number = 1
    while (kept := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    fresh.rename(kept)
    return kept


def _dissolve(old: Path, path: Path) -> None:
    """Move what is not ours from the replaced folder to `path`, and remove our files."""
    ours = (*OWN_FILES, *_unchanged_grid(old))
    for entry in sorted(old.iterdir()):
        if entry.name not in ours:
            target = path / entry.name
            if os.path.lexists(target):  # made since a save was interrupted: both are kept
                target = path / f"{entry.name}.{secrets.token_hex(4)}"
            entry.rename(target)
    for name in reversed(ours):  # the manifest last: it says what is ours
        (old / name).unlink(missing_ok=True)
    old.rmdir()


def _unchanged_grid(folder: Path) -> list[str]:
    """Return which files of the grid are as they were written there."""
    try:
        derived = json.loads((folder / MANIFEST).read_bytes())["derived"]
        return [name for name in GRID_FILES if (folder / name).is_file() and derived.get(name)
                == hashlib.sha256((folder / name).read_bytes()).hexdigest()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
