"""Opens files of shared memory, where anybody may have put anything under any name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..core.errors import SegmentError

#: Never wait for the other end of a pipe, never follow a link that somebody laid there.
_CAREFUL = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def open_own_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file of this user; never waits.

    Raises:
        FileNotFoundError: nothing has that name.
        SegmentError: it is a pipe, a folder, a link, or belongs to another user.
    """
    fix = "stop the nodes, remove it and start them again, as one user"
    try:
        descriptor = os.open(path, flags | _CAREFUL)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SegmentError(f"cannot open {path} ({error.strerror}): {fix}") from error
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    what = (f"belongs to user {found.st_uid}" if stat.S_ISREG(found.st_mode)
            else "is a folder, a pipe or a device, not a file")
    raise SegmentError(f"{path} {what}: {fix}")
