"""How the tracker tells the mapper which map it is in, where nobody else can say it.

Keyframes come over DDS, where anybody may publish them. Which map they may begin is therefore
told beside the weights segment, in a file that only processes of this user on this machine can
write: a keyframe of a map that the tracker did not announce changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.errors import SegmentError
from ...weights_ipc.layout import segment_path
from ...weights_ipc.own_file import open_own_file

#: An announcement is shorter than this, in bytes; a map's name too.
_LARGEST_BYTES = 8192
#: So many maps that were left are named.
_LEFT = 16


@dataclass(frozen=True)
class Announcement:
    """What the tracker says of its maps.

    Attributes:
        map_id: the map it is in.
        begun: the map it began last by itself, at its start or when it was reset; empty = none.
        left: the maps it was in before, the newest last.
    """

    map_id: str
    begun: str = ""
    left: tuple[str, ...] = ()


def announcement_path(segment: str) -> Path:
    """File in which the tracker of a weights segment announces its maps."""
    return segment_path(f"{segment}.tracker")


def read_announcement(segment: str) -> Announcement | None:
    """Return what the tracker announced; None when it said nothing, or nothing that can be read.

    A file that is not ours is treated as none: the tracker puts its own in its place.
    """
    try:
        with open(open_own_file(announcement_path(segment)), "rb") as file:
            tree = json.loads(file.read(_LARGEST_BYTES))
        return Announcement(
            str(tree["map_id"]), str(tree["begun"]), tuple(str(n) for n in tree["left"]))
    except (OSError, SegmentError, ValueError, KeyError, TypeError, RecursionError):
        return None


class Announcer:
    """The tracker's end.

    Args:
        segment: name of the weights segment.
    """

    def __init__(self, segment: str) -> None:
        self._segment, self._path = segment, announcement_path(segment)
        self._said = Announcement("")

    def say(self, map_id: str, begun: str) -> None:
        """Announce the map the tracker is in and the one it began last, when either is new."""
        before = self._said
        if (map_id, begun) == (before.map_id, before.begun):
            return
        left = before.left
        if before.map_id and before.map_id != map_id:
            left = (*(name for name in left if name != before.map_id), before.map_id)
        self._said = Announcement(map_id, begun, left[-_LEFT:])
        self._write()

    def keep(self) -> None:
        """Say it again when somebody removed or changed the file."""
        if self._said.map_id and read_announcement(self._segment) != self._said:
            self._write()

    def _write(self) -> None:
        """Replace the file in one step; a full disk shows as keyframes that are refused."""
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
            with open(os.open(fresh, flags, 0o600), "w") as file:
                file.write(json.dumps(asdict(self._said)))
            if self._path.is_dir() and not self._path.is_symlink():
                self._path.rmdir()
            fresh.replace(self._path)

    def close(self) -> None:
        """Take the announcement back."""
        with contextlib.suppress(OSError):
            self._path.unlink()
