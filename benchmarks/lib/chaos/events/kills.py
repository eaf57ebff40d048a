"""Nodes that die, or stop running for a while."""

from __future__ import annotations

import time
from random import Random

from ace_slam_ros.ros.process.node_group import NODES

from ..system import StormSystem


def kill_tracker(system: StormSystem, rng: Random) -> None:
    """Kill -9 of the tracker."""
    system.kill("tracker")


def kill_mapper(system: StormSystem, rng: Random) -> None:
    """Kill -9 of the mapper: tracking goes on."""
    system.kill("mapper")


def kill_relocalizer(system: StormSystem, rng: Random) -> None:
    """Kill -9 of the relocalizer."""
    system.kill("relocalizer")


def kill_tracker_and_mapper(system: StormSystem, rng: Random) -> None:
    """Kill -9 of both sides of the map; they find together again."""
    for name in rng.sample(("tracker", "mapper"), 2):
        system.kill(name)
        time.sleep(rng.uniform(0.0, 0.5))


def freeze(system: StormSystem, rng: Random) -> None:
    """Stop a node from running for a while (SIGSTOP), as a debugger or a full memory does."""
    name = rng.choice(NODES)
    duration_s = rng.uniform(0.2, 1.5)
    with system.frozen(name):
        if name == "tracker":
            with system.excuses.during("frozen", 1.0):
                time.sleep(duration_s)
        else:
            time.sleep(duration_s)


EVENTS = (kill_tracker, kill_mapper, kill_relocalizer, kill_tracker_and_mapper, freeze)
