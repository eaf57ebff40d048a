"""`ace-slam up`: the three nodes without `ros2 launch`, optionally with a bag playing."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.config.cameras import for_camera
from ..core.errors import AceSlamError
from ..io.source import ReadOptions
from .process.node_group import NODES, NodeGroup, print_line, with_namespace
from .process.signals import stop_event

if TYPE_CHECKING:
    from .config import NodeConfig


#: Nodes compile for the machine when they start for the first time, which takes a minute or two.
READY_WITHIN_S = 300.0


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


def for_source(
    config: NodeConfig, source: Path, options: ReadOptions | None = None
) -> NodeConfig:
    """Return `config` with the camera and the transports in which the player sends `source`."""
    from ..apps.sources import choice_text
    from .playback.playlist import open_playlist

    playlist = open_playlist(source, options=options)
    if playlist.choice:
        print_line("up", f"topics: {choice_text(playlist.choice)}")
    sensor = for_camera(config, playlist.device_names)[1]
    print_line("up", str(sensor))
    return config.with_values({
        "ros.color_transport": playlist.color_transport,
        "ros.depth_transport": playlist.depth_transport,
        "sensor.preset": sensor.preset,  # the nodes see other names than were recorded
    })


def player_command(
    source: Path, *, namespace: str = "", rate: float = 1.0, clock: bool = False,
    report: Path | None = None, options: ReadOptions | None = None,
) -> list[str]:
    """Return the command that plays `source` for the nodes below `namespace`."""
    command = [sys.executable, "-m", "ace_slam_ros.ros.playback.player", str(source),
               "--rate", str(rate)]
    command += ["--namespace", namespace, "--parent-pid", str(os.getpid())]
    command += ["--nodes", ",".join(NODES), "--wait", f"{READY_WITHIN_S:g}"]
    command += ["--clock"] if clock else []
    command += option_arguments(options or ReadOptions())
    return command + (["--report", str(report)] if report else [])


def option_arguments(options: ReadOptions) -> list[str]:
    """Return the arguments that make the player read a recording in the same way."""
    return [f"--{item.name.replace('_', '-')}={value}" for item in dataclasses.fields(options)
            if (value := getattr(options, item.name)) is not None]


def run_up(
    config: NodeConfig, *, namespace: str = "", bag: Path | None = None,
    options: ReadOptions | None = None, rate: float = 1.0, clock: bool = False,
    respawn: bool = True, log_level: str = "info", view: str | None = None,
    ros_own: dict[str, Any] | None = None,
) -> int:
    """Run the nodes until the bag has ended, a signal comes, or a node keeps failing.

    `view` shows them, see `viewer.rerun_view.open_view`; the nodes go on when its window is
    closed.
    `options` say how the bag is read; `ros_own` see `NodeGroup`.

    Returns:
        Exit code: 0, or that of the player; 1 when the map was to be saved at the end and is not.

    Raises:
        AceSlamError: ROS is missing, the bag cannot be played, or a node keeps ending.
    """
    require_ros()
    if bag is not None:
        bag = bag.expanduser().resolve()
        config = for_source(config, bag, options)
    group = NodeGroup(
        config, namespace=namespace, respawn=respawn, log_level=log_level,
        use_sim_time=clock and bag is not None, ros_own=ros_own)
    with stop_event() as stop, group:
        player = None
        if view is not None:
            from .nodes.viewer import viewer_command

            group.run("view", viewer_command(view, group.params, with_namespace(namespace)))
        if bag is not None:
            player = group.run("player", player_command(
                bag, namespace=namespace, rate=rate, clock=clock, options=options))
        while not stop.wait(0.1):
            group.check()
            if player is not None and player.poll() is not None:
                stop.wait(1.0)  # let the last frames through
                break
        print_line("up", "stopping")
    if config.ros.save_on_exit and group.last_exit("mapper"):
        print_line("up", "the map was not saved: the mapper's last lines say why")
        return 1
    return 0 if player is None or stop.is_set() else max(player.returncode, 0)
