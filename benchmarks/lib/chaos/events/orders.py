"""Services called in any order, by several clients: new maps, saved maps, pauses, lifecycles."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from lifecycle_msgs.msg import Transition
from std_srvs.srv import SetBool

from ace_slam_ros.ros.process.node_group import NODES
from ace_slam_ros.srv import LoadMap, SaveMap

from ..system import StormSystem


def reset(system: StormSystem, rng: Random) -> None:
    """A new map begins."""
    system.orders.append(time.monotonic())
    system.excuses.now(2.0)
    system.clients.ask("reset")


def save(system: StormSystem, rng: Random) -> None:
    """Save over whatever map lies in one folder."""
    system.clients.ask("save_map", SaveMap.Request(path=str(system.maps / "shared")))


def save_where_nobody_can(system: StormSystem, rng: Random) -> None:
    """Save to folders that cannot be written, and to none."""
    for path in ("/proc/map", "/", "", "~nobody-of-that-name/map", "/dev/null/map"):
        system.clients.ask("save_map", SaveMap.Request(path=path))


def load(system: StormSystem, rng: Random) -> None:
    """Load one of the maps that were saved."""
    saved = sorted(p for p in system.maps.glob("*") if (p / "manifest.json").is_file())
    if saved:
        _load(system, rng.choice(saved))


def _load(system: StormSystem, path: Path) -> None:
    system.orders.append(time.monotonic())
    with system.excuses.during("load", 3.0):
        system.clients.ask("load_map", LoadMap.Request(path=str(path)), 20.0)


def load_rubbish(system: StormSystem, rng: Random) -> None:
    """Load from folders that hold no map, or one that is damaged."""
    folder = system.folder / "rubbish"
    makers: tuple[Callable[[Path], object], ...] = (
        lambda p: os.mkfifo(p), lambda p: p.write_text("[" * 100_000), lambda p: p.mkdir(),
        lambda p: p.write_bytes(b"\xff\xfe"), lambda p: p.write_text("{}"),
        lambda p: p.symlink_to("/dev/zero"))
    for number, make in enumerate(makers):
        path = folder / str(number)
        if not path.exists():
            path.mkdir(parents=True)
            make(path / "manifest.json")
        system.clients.ask("load_map", LoadMap.Request(path=str(path)))
    for text in ("/dev/zero", "/", "", "/proc/self/mem", str(folder / "none")):
        system.clients.ask("load_map", LoadMap.Request(path=text))


def pause(system: StormSystem, rng: Random) -> None:
    """Pause, and go on at once, later, or when the storm pauses."""
    system.pause(True)
    time.sleep(rng.uniform(0.0, 1.0))
    if rng.random() < 0.7:
        system.pause(False)


def deactivate(system: StormSystem, rng: Random) -> None:
    """Deactivate a node, perhaps unconfigure it; it is active again at once or later."""
    name = rng.choice(NODES)
    system.change_state(name, Transition.TRANSITION_DEACTIVATE)
    if rng.random() < 0.4:
        system.change_state(name, Transition.TRANSITION_CLEANUP)
        if rng.random() < 0.5:
            system.change_state(name, Transition.TRANSITION_CONFIGURE)
    if rng.random() < 0.5:
        system.change_state(name, Transition.TRANSITION_ACTIVATE)


def all_at_once(system: StormSystem, rng: Random) -> None:
    """Reset, save, load, pause and relocalize from several clients, none waits for another."""
    system.orders.append(time.monotonic())
    system.excuses.begin("paused")
    with system.excuses.during("all at once", 4.0):
        shared = str(system.maps / "shared")
        requests = [("reset", None), ("save_map", SaveMap.Request(path=shared)),
                    ("load_map", LoadMap.Request(path=shared)), ("relocalize", None),
                    ("pause", SetBool.Request(data=True)), ("pause", SetBool.Request(data=False))]
        calls = [system.clients.send(*request) for request in rng.sample(requests * 2, 12)]
        deadline_s = time.monotonic() + 20.0
        while not all(c.future.done() for c in calls) and time.monotonic() < deadline_s:
            time.sleep(0.02)
    system.pause(False)


EVENTS = (reset, save, save_where_nobody_can, load, load_rubbish, pause, deactivate, all_at_once)
