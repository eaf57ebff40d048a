"""Replays a bag or TUM folder with its timing, for the nodes of this package.

`python -m ace_slam_ros.ros.playback.player SOURCE [--rate 1] [--clock] [--loop N]
[--namespace NS]`.
Messages of a bag are published as the bytes that were recorded: nothing is decoded, so the player
costs next to nothing while it competes with the nodes for the processor.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from ...core.config.sections import SLOP_S
from ...core.errors import AceSlamError
from ...io.source import ReadOptions
from ..process.run_node import leave
from ..process.signals import stop_event
from ..qos import reliable_qos, sensor_qos
from .playlist import GROUNDTRUTH, Item, Playlist, open_playlist
from .readiness import NotReadyError, wait_until_active

log = logging.getLogger(__name__)

_SENSOR_QOS = sensor_qos(5)
_OTHER_QOS = reliable_qos(100)
_STATIC_QOS = QoSProfile(
    depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_CLOCK_PERIOD_S = 0.01


class PlayError(AceSlamError):
    """The sequence cannot be played as asked."""


class Player:
    """Publishes the items of a playlist at their time.

    Args:
        node: rclpy node that owns the publishers.
        playlist: what to play; topics whose message package is missing are left out.
        rate: 2.0 plays twice as fast.
        clock: publish /clock at least every 10 ms with the time of recording.
        stop: ends `play` when set.
    """

    def __init__(
        self, node: Any, playlist: Playlist, *, rate: float, clock: bool, stop: threading.Event
    ) -> None:
        self._node, self._rate, self._stop = node, rate, stop
        self._publishers: dict[str, Any] = {}
        self._awaited: dict[str, Any] = {}
        for topic, kind in playlist.types.items():
            message_type = _message_type(kind)
            if message_type is None:
                log.warning("%s is left out: %s is not installed", topic, kind)
                continue
            publisher = node.create_publisher(message_type, topic, _qos(topic))
            self._publishers[topic] = publisher
            if _qos(topic) is _SENSOR_QOS:
                self._awaited[publisher.topic_name] = publisher
        self._clock = _clock_publisher(node) if clock else None
        self.sent: Counter[str] = Counter()
        self.late_ms: list[float] = []
        self.wall_s = 0.0

    def wait_for_subscribers(self, timeout_s: float, count: int = 1) -> None:
        """Wait until `count` listen to every camera topic, with compatible QoS; then for one.

        Raises:
            PlayError: nobody did within `timeout_s`; the topics are named.
        """
        deadline_s = time.monotonic() + timeout_s
        while min(p.get_subscription_count() for p in self._awaited.values()) < count:
            if time.monotonic() > deadline_s:
                missing = [n for n, p in self._awaited.items() if not p.get_subscription_count()]
                if not missing:
                    return
                raise PlayError(
                    f"nobody subscribed to {', '.join(missing)} within {timeout_s:g} s: "
                    f"{self._why_nobody(missing)}, or give --wait 0")
            if self._stop.wait(0.05):
                return

    def _why_nobody(self, missing: Sequence[str]) -> str:
        picky = [f"{i.node_namespace.rstrip('/')}/{i.node_name}" for topic in missing
                 for i in self._node.get_subscriptions_info_by_topic(topic)]
        if picky:
            return (f"{', '.join(sorted(set(picky)))} ask for RELIABLE, images are sent best "
                    "effort: remove their qos_overrides")
        return "start the nodes (`ace-slam up`), check --namespace and ROS_DOMAIN_ID"

    def play(self, items: Iterable[Item], first_ns: int | None = None) -> None:
        """Publish items at absolute deadlines, so that delays do not add up."""
        begin_s: float | None = None
        for item in items:
            now_s = time.monotonic()
            if begin_s is None:
                begin_s, first_ns = now_s, item.time_ns if first_ns is None else first_ns
            assert first_ns is not None
            due_s = begin_s + (item.time_ns - first_ns) * 1e-9 / self._rate
            if self._wait_until(due_s, item.time_ns):
                break
            publisher = self._publishers.get(item.topic)
            if publisher is None:
                continue
            publisher.publish(item.data)
            self.sent[item.topic] += 1
            self.late_ms.append(max(time.monotonic() - due_s, 0.0) * 1e3)
        if begin_s is not None:
            self.wall_s += time.monotonic() - begin_s

    def _wait_until(self, due_s: float, time_ns: int) -> bool:
        """Sleep until `due_s`, ticking /clock on the way; True when asked to stop."""
        while True:
            left_s = due_s - time.monotonic()
            if self._clock is not None:
                self._clock(time_ns - int(max(left_s, 0.0) * self._rate * 1e9))
            if left_s <= 0.0:
                return self._stop.is_set()
            if self._stop.wait(min(left_s, _CLOCK_PERIOD_S) if self._clock else left_s):
                return True

    def report(self) -> dict[str, Any]:
        """Return what was sent and how late: counts per topic, wall time, lateness in ms."""
        late = np.array(self.late_ms or [0.0])
        return {
            "messages": sum(self.sent.values()), "topics": dict(self.sent),
            "wall_s": round(self.wall_s, 3), "stopped": self._stop.is_set(),
            "late_ms": {
                "p50": round(float(np.percentile(late, 50)), 2),
                "p95": round(float(np.percentile(late, 95)), 2),
                "max": round(float(late.max()), 2),
            },
        }


def repeated(playlist: Playlist, times: int, stop: threading.Event) -> Iterator[Iterable[Item]]:
    """Yield the playlist `times` times, 0 = until stopped."""
    done = 0
    while not stop.is_set() and (times == 0 or done < times):
        yield playlist
        done += 1


def while_parent_lives(
    items: Iterable[Item], parent_pid: int, stop: threading.Event
) -> Iterator[Item]:
    """Yield items until this process is no longer a child of `parent_pid`, then set `stop`.

    0 = do not watch.
    """
    for item in items:
        if parent_pid and os.getppid() != parent_pid:
            stop.set()
            return
        yield item


def _message_type(kind: str) -> Any | None:
    package, _, name = kind.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError:
        return None


def _qos(topic: str) -> QoSProfile:
    if topic.endswith("tf_static"):
        return _STATIC_QOS
    return _OTHER_QOS if topic.endswith("/tf") or topic == GROUNDTRUTH else _SENSOR_QOS


def _clock_publisher(node: Any) -> Any:
    try:
        from rosgraph_msgs.msg import Clock
    except ImportError:
        raise PlayError("--clock needs rosgraph_msgs: install it, or play without") from None
    publisher = node.create_publisher(Clock, "/clock", _SENSOR_QOS)
    message = Clock()

    def tick(time_ns: int) -> None:
        message.clock.sec, message.clock.nanosec = divmod(time_ns, 1_000_000_000)
        publisher.publish(message)

    return tick


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="player", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path, help="bag or TUM folder")
    parser.add_argument("--rate", type=float, default=1.0, help="2 plays twice as fast")
    parser.add_argument("--clock", action="store_true", help="publish /clock")
    parser.add_argument("--loop", type=int, default=1, metavar="N", help="times to play; 0 = ever")
    parser.add_argument("--start-delay", type=float, default=0.5, metavar="S",
                        help="seconds between the first subscriber and the first message")
    parser.add_argument("--namespace", default="")
    parser.add_argument("--transport", choices=("raw", "compressed"), default="raw",
                        help="color of a TUM folder; a bag is sent as recorded")
    parser.add_argument("--wait", type=float, default=60.0, metavar="S",
                        help="wait this long for nodes and for subscribers; 0 = do not")
    parser.add_argument("--nodes", default="", metavar="NAMES",
                        help="wait until these managed nodes (a,b,c) are active")
    parser.add_argument("--subscribers", type=int, default=1, metavar="N",
                        help="wait until so many listen to each image topic")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as json")
    for role in ("color", "depth", "info"):
        parser.add_argument(f"--{role}", metavar="TOPIC", help=f"{role} topic of a bag")
    parser.add_argument("--slop-s", type=float, default=SLOP_S, metavar="S",
                        help="largest stamp gap of an image pair")
    parser.add_argument("--stamps", choices=("header", "arrival"), default="header",
                        help="by which images are paired")
    parser.add_argument("--depth-unit-m", type=float, default=0.0, metavar="M",
                        help="meters per unit of a folder's depth; 0 = as it says")
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this process does")
    args, ros = parser.parse_known_args(argv)
    if ros and ros[0] != "--ros-args":  # launch appends those; everything else is a mistake
        parser.error(f"unrecognized arguments: {' '.join(ros)}")
    if not args.rate > 0.0 or args.loop < 0:
        parser.error("--rate must be positive and --loop at least 0")
    args.ros = ros
    return args


def options_of(args: argparse.Namespace) -> ReadOptions:
    """Return how the source is read."""
    return ReadOptions(**{f.name: getattr(args, f.name) for f in dataclasses.fields(ReadOptions)})


def _play(args: argparse.Namespace, stop: threading.Event) -> None:
    playlist = open_playlist(args.source.expanduser(), args.transport, options_of(args))
    node = rclpy.create_node("player", namespace=args.namespace.strip("/"))
    player = Player(node, playlist, rate=args.rate, clock=args.clock, stop=stop)
    names = [name for name in args.nodes.split(",") if name]
    if names and args.wait > 0.0:
        wait_until_active(node, names, args.wait, stop)
    if args.wait > 0.0:
        player.wait_for_subscribers(args.wait, args.subscribers)
    log.info("playing %d pairs, %.1f s, rate %g", playlist.pairs, playlist.duration_s, args.rate)
    stop.wait(args.start_delay)
    for items in repeated(playlist, args.loop, stop):
        player.play(while_parent_lives(items, args.parent_pid, stop))
    stop.wait(0.3)  # the last message is still on its way
    report = player.report()
    log.info(
        "played %d messages in %.1f s, late p50 %.1f, p95 %.1f, max %.1f ms", report["messages"],
        report["wall_s"], *(report["late_ms"][k] for k in ("p50", "p95", "max")))
    if args.report:
        args.report.write_text(json.dumps(report) + "\n")


def run_player(argv: Sequence[str] | None = None) -> int:
    """Play; exit code 0 done or told to stop, 1 nobody listens, 2 bad input."""
    args = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with stop_event() as stop:
        rclpy.init(args=args.ros or None, signal_handler_options=SignalHandlerOptions.NO)
        try:
            _play(args, stop)
            return 0
        except (PlayError, NotReadyError) as error:
            log.error("player: %s", error)
            return 1
        except AceSlamError as error:
            log.error("player: %s", error)
            return 2
        except ExternalShutdownException:
            return 1
        finally:
            rclpy.try_shutdown()


def main() -> NoReturn:
    """Run the player; a second Ctrl-C while Python ends would make its exit code a failure."""
    leave(run_player())


if __name__ == "__main__":
    main()
