"""Starts a node by its name: `python -m ace_slam_ros.ros.process.start NODE`.

Nothing here imports torch: that takes seconds, in which the process already joins the graph.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

from ...core.runtime.memory import reuse_image_memory
from ...core.runtime.priority import MAPPER_NICENESS, RELOCALIZER_NICENESS, give_way
from .environment import prepare_node_environment
from .run_node import leave, run_node

#: name -> (module in `nodes`, class, niceness: where processors are short, the tracker is first).
NODES = {
    "tracker": ("tracker", "TrackerNode", 0),
    "mapper": ("mapper", "MapperNode", MAPPER_NICENESS),
    "relocalizer": ("relocalizer", "RelocalizerNode", RELOCALIZER_NICENESS),
}


def start(name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a node until it is told to stop.

    Args:
        name: a key of `NODES`.
        arguments: command line behind the program, default that of this process.
    """
    module, kind, niceness = NODES[name]

    def load() -> Any:
        found = getattr(import_module(f"..nodes.{module}", __package__), kind)
        if niceness:  # not before: who is waited for at start shall load as fast as the others
            give_way(niceness)
        return found

    reuse_image_memory()
    prepare_node_environment()
    command = [sys.argv[0], *(sys.argv[1:] if arguments is None else arguments)]
    leave(run_node(load, command, name))


def tracker() -> NoReturn:
    """Run the tracker node."""
    start("tracker")


def mapper() -> NoReturn:
    """Run the mapper node."""
    start("mapper")


def relocalizer() -> NoReturn:
    """Run the relocalizer node."""
    start("relocalizer")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        sys.exit(f"which node? one of: {', '.join(NODES)}")
    start(sys.argv[1], sys.argv[2:])
