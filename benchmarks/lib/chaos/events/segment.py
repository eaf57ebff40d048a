"""Somebody damages what lies in shared memory: the weights, and what the tracker announced."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from random import Random

from ace_slam_ros.ros.weights.announcement import announcement_path

from ..system import StormSystem


def _free(path: Path) -> None:
    """Remove whatever has a name."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def segment_truncated(system: StormSystem, rng: Random) -> None:
    """The weights are cut off, to nothing or to a part."""
    with contextlib.suppress(OSError):
        os.truncate(system.segment, rng.choice((0, 1, 4096, 100_000)))


def segment_fifo(system: StormSystem, rng: Random) -> None:
    """A pipe has the segment's name."""
    with contextlib.suppress(OSError):
        _free(system.segment)
        os.mkfifo(system.segment)


def segment_folder(system: StormSystem, rng: Random) -> None:
    """A folder has the segment's name, empty or not."""
    with contextlib.suppress(OSError):
        _free(system.segment)
        system.segment.mkdir()
        if rng.random() < 0.5:
            (system.segment / "file").touch()


def segment_removed(system: StormSystem, rng: Random) -> None:
    """The weights are removed."""
    _free(system.segment)


def segment_overwritten(system: StormSystem, rng: Random) -> None:
    """Random bytes go over the header, the live words or a slot."""
    with contextlib.suppress(OSError), open(system.segment, "r+b") as file:
        file.seek(rng.choice((0, 128, 192, 256, 4096, 8192)))
        file.write(rng.randbytes(rng.choice((8, 64, 2048))))


def announcement_damaged(system: StormSystem, rng: Random) -> None:
    """What the tracker announced is removed, cut off, or a pipe."""
    path = announcement_path(system.segment.name)
    damage = rng.randrange(3)
    with contextlib.suppress(OSError):
        if damage == 0:
            os.truncate(path, 7)
        else:
            _free(path)
        if damage == 1:
            os.mkfifo(path)


EVENTS = (segment_truncated, segment_fifo, segment_folder, segment_removed, segment_overwritten,
          announcement_damaged)
