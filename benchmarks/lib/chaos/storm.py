"""The storm: a seeded order of events, pauses in which everything must work, and the bill."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ace_slam_ros.core.errors import AceSlamError
from ace_slam_ros.core.maps.map_folder import load_map
from ace_slam_ros.ros.process.node_group import NODES

from .events import Event
from .system import HangError, StormSystem
from .verdict import growth_percent, judge_poses, without_pose_s

#: Events between two pauses.
EVENTS_IN_A_ROW = 6
_ANSWER_WITHIN_S = 30.0
_SAMPLE_S = 5.0
#: A node's memory counts when it has run so long: it has what it needs by then.
_SETTLED_S = 20.0


@dataclass
class Bill:
    """What a storm did and what it cost.

    Attributes:
        seed, minutes: of the storm. events: how often each came.
        pauses: times in which everything was found to work.
        hangs: what did not work again, and after which events.
        maps_lost: maps that were gone, or changed without an order.
        memory: node -> (seconds, 10^6 bytes) of processes that had settled.
    """

    seed: int
    minutes: float
    events: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    hangs: list[str] = field(default_factory=list)
    maps_lost: list[str] = field(default_factory=list)
    memory: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {name: [] for name in NODES})


class Storm:
    """Lets events come over a system.

    Args:
        system: that runs.
        events: of which each comes once before any comes again.
        seed: of their order, their times and all that they choose.
        say: told what happens.
    """

    def __init__(
        self, system: StormSystem, events: Sequence[Event], seed: int,
        say: Callable[[str], None] = print,
    ) -> None:
        self.system, self._say = system, say
        self._rng = Random(seed)
        self._events = self._shuffled(events)
        self.bill = Bill(seed, 0.0)
        self._since_pause: list[str] = []
        self._map_id = ""
        self.begin_s = self._sampled_s = time.monotonic()

    def _shuffled(self, events: Sequence[Event]) -> Iterator[Event]:
        while True:
            yield from self._rng.sample(list(events), len(events))

    def run(self, seconds: float) -> Bill:
        """Let it rage, with pauses; the last one comes after that time."""
        self.pause()
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.rage(EVENTS_IN_A_ROW, end_s)
            self.pause()
        self.bill.minutes = (time.monotonic() - self.begin_s) / 60.0
        return self.bill

    def rage(self, events: int, until_s: float = math.inf) -> None:
        """Let so many events come, fewer when the time is over (monotonic seconds)."""
        for _ in range(events):
            self._one()
            if time.monotonic() > until_s:
                break

    def _one(self) -> None:
        event = next(self._events)
        self.bill.events[event.__name__] += 1
        self._since_pause.append(event.__name__)
        self._say(f"{time.monotonic() - self.begin_s:7.1f} s  {event.__name__}")
        event(self.system, self._rng)
        self._wait(self._rng.uniform(0.0, 2.0))

    def _wait(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._sample()
            time.sleep(0.05)

    def _sample(self) -> None:
        now_s = time.monotonic()
        if now_s - self._sampled_s < _SAMPLE_S:
            return
        self._sampled_s = now_s
        for name, used_mb in self.system.memory_mb().items():
            if now_s - self.system.group.children[name].started_s > _SETTLED_S:
                self.bill.memory[name].append((now_s - self.begin_s, used_mb))

    def pause(self) -> None:
        """Let everything work again, and see what is left of the maps."""
        begin_s, ordered = time.monotonic(), bool(self.system.orders)
        if not self.bill.pauses and not self.bill.hangs:
            self.system.start()
        try:
            map_id = self.system.works()
        except HangError as error:
            self.bill.hangs.append(f"{error} after {', '.join(self._since_pause)}")
            self._say(f"          HANG: {self.bill.hangs[-1]}")
            self.system.orders.append(time.monotonic())  # nobody knows which map it is
        else:
            if self._map_id not in ("", map_id) and not ordered:
                self._lost(f"map {self._map_id} became {map_id}")
            self._map_id = map_id
            self.bill.pauses += 1
            self._say(f"          works after {time.monotonic() - begin_s:.1f} s, map {map_id}")
            self.system.orders.clear()
        self._look_at_maps()
        self._since_pause.clear()
        self._wait(1.0)

    def _lost(self, what: str) -> None:
        self.bill.maps_lost.append(f"{what} after {', '.join(self._since_pause)}")
        self._say(f"          LOST: {self.bill.maps_lost[-1]}")

    def _look_at_maps(self) -> None:
        """Load every map that was ever saved under its own name."""
        for folder in self.system.maps.glob("*"):
            if folder.name.startswith(".") or folder.name == "shared":
                continue
            try:
                manifest = load_map(folder).manifest
            except AceSlamError as error:
                self._lost(f"saved map {folder.name}: {error}")
                continue
            if ".backup-" not in folder.name and manifest.map_id != folder.name:
                self._lost(f"saved map {folder.name} is now {manifest.map_id}")


def figures(storm: Storm, warm_s: float) -> dict[str, Any]:
    """Return what a storm cost; to be called while the system still runs.

    Args:
        storm: after its run.
        warm_s: memory counts from then on, in seconds since the begin.
    """
    system, bill = storm.system, storm.bill
    witness, camera = system.witness, system.camera
    truth = [shot.T_world_cam for shot in camera.shots]
    poses = judge_poses(witness.poses, witness.statuses, camera.sent, truth)
    gaps = without_pose_s(
        witness.statuses, system.excuses.all_spans(), camera.sent, truth)
    unanswered = system.clients.unanswered(_ANSWER_WITHIN_S)
    begin_s = storm.begin_s
    return {
        "seed": bill.seed, "minutes": round(bill.minutes, 2), "events": dict(bill.events),
        "pauses": bill.pauses, "hangs": bill.hangs, "maps_lost": bill.maps_lost,
        "poses": poses.count, "error_max_m": round(max(poses.errors_m, default=0.0), 4),
        "wrong_poses": [(round(t - begin_s, 2), m, round(e, 3)) for t, m, e in poses.wrong],
        "poses_of_no_frame": poses.unknown,
        "without_pose": [(round(a - begin_s, 2), round(b - a, 2), why) for a, b, why in gaps],
        "without_pose_s": round(sum(b - a for a, b, _ in gaps), 2),
        "calls": system.clients.counts(),
        "unanswered": [(c.service, round(c.asked_s - begin_s, 2)) for c in unanswered],
        "unexpected": system.unexpected(),
        "back": {n: [{"wall_s": round(b.wall_s, 2), "cpu_s": round(b.cpu_s, 2)} for b in found]
                 for n, found in system.backs.items()},
        "memory_growth_percent": {
            n: round(growth_percent(found, warm_s), 2) for n, found in bill.memory.items()},
        "memory_mb": {n: found[-1][1] if found else None for n, found in bill.memory.items()}}
