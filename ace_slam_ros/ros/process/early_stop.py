"""A stop before a node's process has loaded anything: it ends at once, and says what is lost."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

#: Exit code of a mapper that was to save its map and has not.
UNSAVED = 1
_IN_ARGUMENT = re.compile(r"(^|\.)save_on_exit:=\s*true\s*$", re.IGNORECASE)
_IN_FILE = re.compile(r"save_on_exit['\"]?:\s*true\b", re.IGNORECASE)


def end_at_once(name: str, command: list[str]) -> None:
    """Let a stop signal end this process, which has nothing to close yet, without a traceback.

    Args:
        name: of the node; only the mapper saves.
        command: its command line.
    """
    def end(number: int, _: object) -> None:
        if name != "mapper" or not asks_to_save(command):
            os._exit(0)
        os.write(2, b"stopped before the mapper was loaded: nothing was mapped and nothing is "
                    b"saved (ros.save_on_exit); wait until it is active before you stop\n")
        os._exit(UNSAVED)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def asks_to_save(command: list[str]) -> bool:
    """Tell from a command line, read without ROS, whether a map is to be saved at the end."""
    if any(_IN_ARGUMENT.search(argument) for argument in command):
        return True
    files = [Path(value) for flag, value in zip(command, command[1:], strict=False)
             if flag == "--params-file"]
    return any(path.is_file() and _IN_FILE.search(path.read_text(errors="replace"))
               for path in files)
