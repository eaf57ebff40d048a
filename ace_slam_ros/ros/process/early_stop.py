"""What a stop means for a node that is not ready: it ends at once, and says what is lost."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Exit code of a mapper that was to save its map and has not.
UNSAVED = 1
#: `[node:]name:=value` behind `-p`.
_PARAMETER = re.compile(r"(?:(?P<node>[^:=]+):)?(?P<name>[^:=]+):=(?P<value>.*)", re.DOTALL)


def end_at_once(name: str, command: list[str]) -> None:
    """Let a stop signal end this process, which has nothing to close yet, without a traceback.

    Args:
        name: of the node; only the mapper saves.
        command: its command line.
    """
    lost = lost_by_early_stop(name, command)

    def end(number: int, _: object) -> None:
        if lost:
            os.write(2, f"{lost}\n".encode(errors="replace"))
        os._exit(UNSAVED if lost else 0)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def lost_while_loading(save_on_exit: bool, mode: str, map_dir: str) -> str:
    """What to say of a mapper that is stopped before it is ready; empty = nothing is lost."""
    if not (save_on_exit and map_dir) or mode == "localization":
        return ""
    return (f"stopped while it was still loading: nothing was mapped and nothing is saved to "
            f"{map_dir} (ros.save_on_exit); wait until the mapper is active before you stop")


def lost_by_early_stop(name: str, command: list[str]) -> str:
    """The same for a process that has not made its node yet, told by its command line.

    Read without ROS: a stop may come before rclpy is loaded, and means the same then.

    Args:
        name: of the node; only the mapper saves.
        command: its command line.
    """
    if name != "mapper":
        return ""
    renamed = [text.partition("__node:=")[2] for text in command if "__node:=" in text]
    given = dict(_parameters(renamed[-1] if renamed else name, command))
    return lost_while_loading(given.get("ros.save_on_exit") is True, str(given.get("mode", "")),
                              str(given.get("ros.map_dir") or ""))


def _parameters(node: str, command: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of what a command line gives a node; what comes last counts."""
    import yaml

    for flag, text in zip(command, command[1:], strict=False):
        try:
            if flag == "--params-file":
                yield from _of_file(node, yaml.safe_load(Path(text).read_text()))
            elif flag in ("-p", "--param") and (found := _PARAMETER.fullmatch(text)):
                if _is_for(node, found["node"] or node):
                    yield found["name"], yaml.safe_load(found["value"])
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # rclpy will refuse it, and say why


def _of_file(node: str, tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a parameter file gives a node, whose names may be nested like folders."""
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if key == "ros__parameters":
            if _is_for(node, above):
                yield from _flat(below)
        else:
            yield from _of_file(node, below, f"{above}/{key}")


def _is_for(node: str, pattern: str) -> bool:
    """Tell whether a node name of a parameter file means this node, in whatever namespace."""
    return pattern.rpartition("/")[2] in (node, "*", "**")


def _flat(tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
