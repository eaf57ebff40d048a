"""Starts a node by its name: `python -m ace_slam_ros.ros.process.start NODE`.

Nothing here imports torch: that takes seconds, in which the process already joins the graph.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

from ...core.runtime.memory import reuse_image_memory
from .early_stop import end_at_once
from .environment import prepare_node_environment

#: name -> (module in `nodes`, class).
NODES = {
    "tracker": ("tracker", "TrackerNode"),
    "mapper": ("mapper", "MapperNode"),
    "relocalizer": ("relocalizer", "RelocalizerNode"),
}


def start(name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a node until it is told to stop.

    Args:
        name: a key of `NODES`.
        arguments: command line behind the program, default that of this process.
    """
    command = [sys.argv[0], *(sys.argv[1:] if arguments is None else arguments)]
    end_at_once(name, command)  # rclpy alone takes a good part of a second
    from .run_node import leave, run_node

    module, kind = NODES[name]

    def load() -> Any:
        from ..parameters import check_parameters

        check_parameters(name)
        return getattr(import_module(f"..nodes.{module}", __package__), kind)

    reuse_image_memory()
    prepare_node_environment()
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


def player() -> NoReturn:
    """Play a recording; told to stop while it loads, it ends at once, as the nodes do."""
    end_at_once("player", sys.argv)
    from ..playback.player import main

    main()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        sys.exit(f"which node? one of: {', '.join(NODES)}")
    start(sys.argv[1], sys.argv[2:])
