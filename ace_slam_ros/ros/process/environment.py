"""Environment variables of a node process, set before torch and rclpy load."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ...core.runtime.library_threads import calm_library_threads

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def find_config(name: str) -> Path | None:
    """Find a file of `config/`: in a source tree, an ament prefix or a Python prefix."""
    above = Path(__file__).resolve().parents
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    # After `pip install --user`, PREFIX/lib/pythonX.Y/site-packages is not in Python's prefix.
    prefixes += [*above[6:7], Path(sys.prefix)]
    folders = [
        above[3] / "config",
        *(prefix / "share" / "ace_slam_ros" / "config" for prefix in prefixes),
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    return None


def prepare_environment() -> None:
    """Set what the user has not set: calm library threads and the FastDDS image profile.

    FastDDS loses images with its default shared-memory segment.
    """
    calm_library_threads()
    profile = find_config("fastdds.xml")
    if profile is not None and not any(name in os.environ for name in PROFILE_VARIABLES):
        os.environ[PROFILE_VARIABLES[0]] = str(profile)


def prepare_node_environment() -> None:
    """Let a node of this package have a small segment where the profile is ours.

    The 32 MB of `fastdds.xml` are for who sends images. A profile of the user stays.
    """
    ours, small = find_config("fastdds.xml"), find_config("fastdds_nodes.xml")
    if ours is None or small is None:
        return
    for name in PROFILE_VARIABLES:
        path = Path(os.environ.get(name, ""))
        with contextlib.suppress(OSError):
            if path.is_file() and path.read_bytes() == ours.read_bytes():
                os.environ[name] = str(small)
