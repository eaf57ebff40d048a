"""A clean copy of this checkout, for tests that build it."""

import os
import shutil
import subprocess
from pathlib import Path


def copy_sources(repository: Path, target: Path) -> None:
    """Copy what git tracks or would track; without git, everything but build products."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository, capture_output=True, check=False) if shutil.which("git") else None
    if listed is None or listed.returncode != 0:
        ignored = shutil.ignore_patterns(".*", "build", "install", "log", "out", "__pycache__")
        shutil.copytree(repository, target, ignore=ignored)
        return
    for name in os.fsdecode(listed.stdout).split("\0"):
        if name and (repository / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, target / name)
