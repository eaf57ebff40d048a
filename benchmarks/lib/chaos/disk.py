"""A disk of its own for what a system writes, so small that it can be filled."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class SmallDisk:
    """A folder on a small file system where this user may mount one, else an ordinary folder.

    Args:
        path: folder to make.
        megabytes: room on it.

    Attributes:
        is_small: whether it can be filled.
    """

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        path.mkdir()
        self.is_small = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)],
            capture_output=True).returncode == 0

    def close(self) -> None:
        """Take it away."""
        if self.is_small:
            subprocess.run(["umount", "-l", str(self.path)], check=False)
