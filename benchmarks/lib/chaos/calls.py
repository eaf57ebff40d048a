"""Clients of the services, and a ledger of what they asked and what was answered."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.srv import ChangeState, GetState
from std_srvs.srv import SetBool, Trigger

from ace_slam_ros.ros.process.node_group import NODES
from ace_slam_ros.ros.qos import service_qos
from ace_slam_ros.srv import LoadMap, Relocalize, SaveMap

#: service -> (its type, the node that answers).
SERVICES: dict[str, tuple[Any, str]] = {
    "reset": (Trigger, "tracker"), "pause": (SetBool, "tracker"),
    "save_map": (SaveMap, "mapper"), "load_map": (LoadMap, "mapper"),
    "relocalize": (Relocalize, "relocalizer"),
    **{f"{node}/change_state": (ChangeState, node) for node in NODES},
    **{f"{node}/get_state": (GetState, node) for node in NODES}}


@dataclass
class Call:
    """One request; `answered_s` is None while there is no answer."""

    service: str
    server: str
    asked_s: float
    future: Any
    answered_s: float | None = None

    @property
    def answer(self) -> Any:
        """The answer, None without one."""
        return self.future.result() if self.future.done() else None


@dataclass
class Outage:
    """A time in which a server could not answer; `gone`: its process was not there at all."""

    server: str
    gone: bool
    begin_s: float
    end_s: float = math.inf

    def concerns(self, call: Call) -> bool:
        """Whether it is an excuse for a call without an answer."""
        return call.server == self.server and (self.gone or not call.service.endswith("_state"))


class Clients:
    """Some clients that take turns.

    Args:
        nodes: rclpy nodes, one of each client; somebody spins them.

    Attributes:
        calls: all that were sent.
        outages: when a server could not answer.
    """

    def __init__(self, nodes: Iterable[Any]) -> None:
        self.calls: list[Call] = []
        self.outages: list[Outage] = []
        self._clients = [{name: node.create_client(kind, name, qos_profile=service_qos())
                          for name, (kind, _) in SERVICES.items()} for node in nodes]
        self._turns = itertools.cycle(self._clients)

    def send(self, service: str, request: Any = None) -> Call:
        """Ask without waiting; the next client's turn."""
        kind, server = SERVICES[service]
        future = next(self._turns)[service].call_async(kind.Request() if request is None
                                                       else request)
        call = Call(service, server, time.monotonic(), future)

        def answered(_: Any) -> None:
            call.answered_s = time.monotonic()

        future.add_done_callback(answered)
        self.calls.append(call)
        return call

    def ask(self, service: str, request: Any = None, patience_s: float = 10.0) -> Any:
        """Ask and return the answer; None when there is none in time, or nobody to answer."""
        ready_s = time.monotonic() + patience_s
        while not self._clients[0][service].service_is_ready():
            if time.monotonic() > ready_s:
                return None
            time.sleep(0.02)
        call = self.send(service, request)
        while not call.future.done() and time.monotonic() < ready_s:
            time.sleep(0.01)
        return call.answer

    def server_down(self, name: str, gone: bool = True) -> None:
        """Note that a server cannot answer from now on, nor what it was asked before.

        Args:
            name: node that serves.
            gone: its process is; else it is unconfigured, and answers about its state alone.
        """
        self.outages.append(Outage(name, gone, time.monotonic()))

    def server_up(self, name: str) -> None:
        """Note that a server answers again."""
        for outage in self.outages:
            if outage.server == name and outage.end_s == math.inf:
                outage.end_s = time.monotonic()

    def unanswered(self, patience_s: float) -> list[Call]:
        """Calls without an answer in time whose server was there all the while."""
        now_s = time.monotonic()
        found = []
        for call in self.calls:
            end_s = call.answered_s if call.answered_s is not None else now_s
            if end_s - call.asked_s > patience_s and not self._excused(call, patience_s):
                found.append(call)
        return found

    def _excused(self, call: Call, patience_s: float) -> bool:
        return any(outage.concerns(call) and outage.begin_s <= call.asked_s + patience_s
                   and outage.end_s >= call.asked_s for outage in self.outages)

    def counts(self) -> dict[str, int]:
        """How often each service was called."""
        return dict(Counter(call.service for call in self.calls))
