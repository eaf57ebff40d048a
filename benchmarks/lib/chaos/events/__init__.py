"""What a storm is made of: each event is a function of the system and a source of chance."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ..system import StormSystem
from . import kills, machine, orders, peers, pictures, segment

Event = Callable[[StormSystem, Random], None]

#: family -> its events.
FAMILIES: dict[str, tuple[Event, ...]] = {
    "kills": kills.EVENTS, "orders": orders.EVENTS, "peers": peers.EVENTS,
    "pictures": pictures.EVENTS, "segment": segment.EVENTS, "machine": machine.EVENTS}


def all_events() -> list[Event]:
    """Return the events of all families."""
    return [event for events in FAMILIES.values() for event in events]
