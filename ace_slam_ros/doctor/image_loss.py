"""Measures how many image pairs of another process arrive here: the doctor's DDS check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.executors import Executor
from rclpy.node import Node
from sensor_msgs.msg import Image

from ..core.errors import AceSlamError
from ..ros.messages.conversions import stamp_to_ns
from ..ros.process.environment import PROFILE_VARIABLES, find_config
from ..ros.qos import sensor_qos
from .findings import Finding, good, note, problem

_SENDER = Path(__file__).with_name("image_sender.py")
#: What has to arrive, in percent.
LEAST_DELIVERED = 99.0


class LoopbackError(AceSlamError):
    """The measurement could not be made."""


@dataclass(frozen=True)
class Delivery:
    """Result of one measurement.

    Attributes:
        sent, received: image pairs.
        latency_p50_ms, latency_p95_ms: publication to arrival of the later image of a pair.
    """

    sent: int
    received: int
    latency_p50_ms: float
    latency_p95_ms: float

    @property
    def percent(self) -> float:
        """Share of the pairs that arrived."""
        return 100.0 * self.received / max(self.sent, 1)


def measure(
    node: Node, executor: Executor, environment: Mapping[str, str], seconds: float = 3.0,
    width: int = 640, height: int = 480, rate_hz: float = 30.0,
) -> Delivery:
    """Start a sender with `environment` and count what arrives at `node`, which `executor` spins.

    What counts is the sender's side: a driver started from the same shell would lose as much.

    Raises:
        LoopbackError: the sender does not start, or finds no way to this process.
    """
    namespace = f"/doctor_{os.getpid()}_{time.monotonic_ns() % 10**6}"
    arrived: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def receive(stream: int, message: Any) -> None:
        arrived[stream].setdefault(stamp_to_ns(message.header.stamp), time.time_ns())

    subscriptions = [
        node.create_subscription(
            Image, f"{namespace}/{topic}", partial(receive, stream), sensor_qos(5))
        for stream, topic in enumerate(("rgb/image", "depth/image"))]
    sender = subprocess.Popen(
        [sys.executable, str(_SENDER), namespace, str(seconds), str(width), str(height),
         str(rate_hz)],
        env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + seconds + 40.0
        while sender.poll() is None and time.monotonic() < deadline_s:
            executor.spin_once(timeout_sec=0.05)
        if sender.poll() is None:
            raise LoopbackError("the sender of the loopback measurement hangs")
        output, errors = sender.communicate()
        if sender.returncode:
            raise LoopbackError(
                f"the sender of the loopback measurement ends with {sender.returncode}: "
                f"{errors.strip().splitlines()[-1:] or 'no message'}")
    finally:
        sender.kill()
        sender.communicate()
        for subscription in subscriptions:
            node.destroy_subscription(subscription)
    return _delivery(int(json.loads(output.splitlines()[-1])["sent"]), *arrived)


def _delivery(sent: int, color: dict[int, int], depth: dict[int, int]) -> Delivery:
    if not sent:
        raise LoopbackError("two processes on this machine do not find each other")
    pairs = sorted(color.keys() & depth.keys())
    late_ms = [(max(color[s], depth[s]) - s) * 1e-6 for s in pairs] or [float("nan")]
    p50, p95 = (float(v) for v in np.percentile(late_ms, (50, 95)))
    return Delivery(sent, len(pairs), p50, p95)


def check_delivery(
    node: Node, executor: Executor, environment: Mapping[str, str], seconds: float,
    figures: dict[str, Any],
) -> list[Finding]:
    """Measure as the caller's shell is set, and with the shipped profile when that loses images.

    Args:
        node: receives; `executor` spins it.
        environment: of the shell, before this package changed anything.
        figures: gets {"loopback": {"shell": ..., "profile": ...}} in percent.
    """
    named = next((n for n in PROFILE_VARIABLES if environment.get(n)), None)
    profile = find_config("fastdds.xml")
    results = figures.setdefault("loopback", {})
    try:
        shell = measure(node, executor, environment, seconds)
        results["shell"] = _figures(shell)
        text = (f"{shell.percent:.1f} % of {shell.sent} RGB-D pairs (640x480, 30 Hz) of another "
                f"process arrived, median {shell.latency_p50_ms:.0f} ms")
        if shell.percent >= LEAST_DELIVERED:
            return [good("DDS images", text)]
        if named or profile is None:
            return [problem("DDS images", text, _advice(environment, named))]
        better = measure(
            node, executor, {**environment, PROFILE_VARIABLES[0]: str(profile)}, seconds)
        results["profile"] = _figures(better)
    except LoopbackError as error:
        return [problem(
            "DDS images", str(error),
            "unset ROS_AUTOMATIC_DISCOVERY_RANGE ROS_LOCALHOST_ONLY; allow UDP on the loopback "
            "interface; in containers share /dev/shm (--ipc=host) and the network")]
    fix = f"start the camera driver with: export {PROFILE_VARIABLES[0]}={profile}"
    if better.percent >= LEAST_DELIVERED:
        # The nodes and the launch files set it; a driver started from this shell has to.
        return [note("DDS images", f"{text}; with config/fastdds.xml {better.percent:.1f} %",
                     fix)]
    return [problem(
        "DDS images", f"{text}; with config/fastdds.xml {better.percent:.1f} %: the machine is "
        "overloaded, or shared memory is not shared", f"{fix}; {_advice(environment, named)}")]


def _figures(delivery: Delivery) -> dict[str, float]:
    return {
        "sent": delivery.sent, "received": delivery.received,
        "delivered_percent": round(delivery.percent, 2),
        "latency_p50_ms": round(delivery.latency_p50_ms, 2),
        "latency_p95_ms": round(delivery.latency_p95_ms, 2)}


def _advice(environment: Mapping[str, str], named: str | None) -> str:
    middleware = environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if middleware == "rmw_cyclonedds_cpp":
        return ("sudo sysctl -w net.core.rmem_max=8388608 and raise SocketReceiveBufferSize in "
                "CYCLONEDDS_URI, or export RMW_IMPLEMENTATION=rmw_fastrtps_cpp")
    if middleware == "rmw_fastrtps_cpp" and named:
        return (f"compare {environment[named]} ({named}) with config/fastdds.xml of this package: "
                "a shared-memory segment of 32 MB")
    return "close other programs (`top`), lower the camera's rate, then run ace-slam doctor again"
