"""`ace-slam up`: the three nodes without `ros2 launch`, optionally with a bag playing."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import AceSlamError
from .process.node_group import NodeGroup, print_line, with_namespace
from .process.signals import stop_event

if TYPE_CHECKING:
    from .config import NodeConfig


class RosMissingError(AceSlamError):
    """This Python has no ROS 2."""


def require_ros() -> None:
    """Raise RosMissingError unless rclpy and the package's own messages can be imported."""
    if importlib.util.find_spec("rclpy") is None:
        raise RosMissingError(
            "rclpy is not installed: run `make setup` and use .venv/bin/ace-slam, or source "
            "/opt/ros/$ROS_DISTRO/setup.bash first")
    if importlib.util.find_spec("ace_slam_ros.msg") is None:
        raise RosMissingError(
            "the messages of ace_slam_ros are not built: run `make setup`, or `colcon build` and "
            "source install/setup.bash")


def for_source(config: NodeConfig, source: Path) -> NodeConfig:
    """Return `config` with the transports in which the player sends `source`."""
    from .playback.playlist import open_playlist

    playlist = open_playlist(source, depth_unit_m=config.sensor.depth_unit_m)
    return config.with_values({
        "ros.color_transport": playlist.color_transport,
        "ros.depth_transport": playlist.depth_transport,
    })


def player_command(
    source: Path, *, namespace: str = "", rate: float = 1.0, clock: bool = False,
    report: Path | None = None, depth_unit_m: float = 0.0,
) -> list[str]:
    """Return the command that plays `source` for the nodes below `namespace`."""
    command = [sys.executable, "-m", "ace_slam_ros.ros.playback.player", str(source),
               "--rate", str(rate), "--depth-unit", str(depth_unit_m)]
    command += ["--namespace", namespace, "--parent-pid", str(os.getpid())]
    command += ["--clock"] if clock else []
    return command + (["--report", str(report)] if report else [])


def run_up(
    config: NodeConfig, *, namespace: str = "", bag: Path | None = None, rate: float = 1.0,
    clock: bool = False, respawn: bool = True, log_level: str = "info", view: str | None = None,
    ros_own: dict[str, Any] | None = None,
) -> int:
    """Run the nodes until the bag has ended, a signal comes, or a node keeps failing.

    `view` shows them, see `viewer.rerun_view.open_view`; the nodes go on when its window is
    closed.
    `ros_own` see `NodeGroup`.

    Returns:
        Exit code: 0, or that of the player.

    Raises:
        AceSlamError: ROS is missing, the bag cannot be played, or a node keeps ending.
    """
    require_ros()
    if bag is not None:
        bag = bag.expanduser().resolve()
        config = for_source(config, bag)
    group = NodeGroup(
        config, namespace=namespace, respawn=respawn, log_level=log_level,
        use_sim_time=clock and bag is not None, ros_own=ros_own)
    with stop_event() as stop, group:
        player = None
        if view is not None:
            from .nodes.viewer import viewer_command

            group.run("view", viewer_command(view, group.params, with_namespace(namespace)))
        if bag is not None:
            player = group.run(
                "player", player_command(
                    bag, namespace=namespace, rate=rate, clock=clock,
                    depth_unit_m=config.sensor.depth_unit_m))
        while not stop.wait(0.1):
            group.check()
            if player is not None and player.poll() is not None:
                stop.wait(1.0)  # let the last frames through
                break
        print_line("up", "stopping")
    return 0 if player is None or stop.is_set() else max(player.returncode, 0)
