"""Folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Give a path of the same name to create a folder at; it is renamed to `out` on success.

    The caller creates the folder. After an exception nothing is left behind.

    Raises:
        DataError: `out` exists already, or cannot be written.
    """
    out = Path(out)
    try:
        if out.exists() or out.is_symlink():
            raise DataError(f"{out} exists already: remove it or choose another name")
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from error
    try:
        yield stage / out.name
        os.rename(stage / out.name, out)
    except (OSError, sqlite3.Error) as error:
        raise DataError(f"cannot write {out}: {error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
