"""SOURCE on the command line: how it is read, told by options and by parameters of the nodes."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from ..core.config.cameras import for_camera
from ..core.config.files import load_config
from ..core.config.sections import SlamConfig, is_for_nodes
from ..core.errors import ConfigError
from ..io.open_source import open_camera, open_source
from ..io.realsense.devices import wanted_serial
from ..io.source import ReadOptions
from ..ros.config import OF_RECORDINGS, OF_TOPICS, NodeConfig

if TYPE_CHECKING:
    from ..io.source import Source

ROLES = ("color", "depth", "info")
#: How the names of parameters begin that change nothing where no node runs, by what runs instead.
_OF_NODES = ("mapper.autosave_s", "relocalizer.queue")
_OF_QUERIES = ("relocalizer.min_confidence_rgb", "relocalizer.pose_sigma_")
_LIVE = "run realsense"
_UNUSED = {
    "run --every-frame": (
        *_OF_NODES, *_OF_QUERIES, "tracker.frame_budget_ms", "tracker.frame_deadline_ms",
        "mapper.budget_ms"),
    "run --realtime": (*_OF_NODES, *_OF_QUERIES),
    _LIVE: (*_OF_NODES, *_OF_QUERIES, *OF_RECORDINGS),
    "relocalize": (*_OF_NODES, "mode", "tracker.", "keyframe.", "mapper."),
}


def named_topics(args: argparse.Namespace) -> ReadOptions:
    """Return how a source is read by a command that only names topics."""
    return ReadOptions(args.color, args.depth, args.info)


def as_nodes_read(named: ReadOptions, config: NodeConfig) -> ReadOptions:
    """Return how a source is read that is stamped, paired and measured as by the nodes."""
    return dataclasses.replace(
        named, slop_s=config.ros.slop_s, stamps=config.ros.stamps,
        depth_unit_m=config.sensor.depth_unit_m)


def offline_config(args: argparse.Namespace, what: str) -> tuple[SlamConfig, ReadOptions]:
    """Return the parameters of a command without nodes, and how its source is read.

    Args:
        args: the command line.
        what: which command, a key of `_UNUSED`.

    A file of parameters may hold those of the nodes, because one file serves all commands.

    Raises:
        ConfigError: a parameter is unknown or refused, or set for nothing.
    """
    _refuse_unused(args.assignments, what)
    config = load_config(args.config, NodeConfig).with_overrides(assigned(args))
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(SlamConfig)}
    return SlamConfig(**fields), as_nodes_read(named_topics(args), config)


def check_up_options(args: argparse.Namespace) -> None:
    """Refuse options of `ace-slam up` that would change nothing.

    Raises:
        ConfigError: one is set.
    """
    if args.bag is None:
        given = [f"--{role}" for role in ROLES if getattr(args, role)]
        given += ["--clock"] * args.clock + ["--rate"] * (args.rate is not None)
        if given:
            raise ConfigError(f"{', '.join(given)}: only with --bag, which plays a recording")
        return
    for name in OF_TOPICS:
        if any(text.partition("=")[0].strip() == name for text in args.assignments):
            raise ConfigError(f"{name}: --bag decides it, by what was recorded: leave it out")


def _refuse_unused(assignments: list[str], what: str) -> None:
    """Refuse what is set on the command line and changes nothing there."""
    for text in assignments:
        name = text.partition("=")[0].strip()
        of_nodes = is_for_nodes(name) and name not in OF_RECORDINGS
        if of_nodes or name.startswith(_UNUSED[what]):
            raise ConfigError(f"{name} changes nothing in `ace-slam {what}`: leave it out")


def open_for_run(
    args: argparse.Namespace
) -> tuple[Source, SlamConfig, bool]:
    """Return source and parameters of `ace-slam run`, and whether frames come in real time.

    A live camera always does.

    Raises:
        AceSlamError: the source or a parameter is refused, or an option would change nothing.
    """
    serial = wanted_serial(args.source)
    if serial is None:
        _refuse_seconds(args)
        if args.rate is not None and not args.realtime:
            raise ConfigError("--rate needs --realtime: frames that are waited for have no rate")
        what = "run --realtime" if args.realtime else "run --every-frame"
        config, options = offline_config(args, what)
        return open_source(args.source, options=options), config, args.realtime
    given = ["--every-frame"] * args.every_frame + ["--rate"] * (args.rate is not None)
    if given:
        raise ConfigError(f"{', '.join(given)}: a live camera waits for nobody: leave it out")
    config, options = offline_config(args, _LIVE)
    return open_camera(serial, options=options, seconds=args.seconds), config, True


def open_for_queries(args: argparse.Namespace) -> tuple[Source, SlamConfig]:
    """Return source and parameters of `ace-slam relocalize`.

    Raises:
        AceSlamError: the source or a parameter is refused, or an option would change nothing.
    """
    config, options = offline_config(args, "relocalize")
    serial, needs_depth = wanted_serial(args.source), not args.rgb_only
    if serial is not None:
        return open_camera(serial, require_depth=needs_depth, options=options,
                           seconds=args.seconds), config
    _refuse_seconds(args)
    return open_source(args.source, require_depth=needs_depth, options=options), config


def _refuse_seconds(args: argparse.Namespace) -> None:
    if args.seconds is not None:
        raise ConfigError("--seconds is for a live camera: a recording ends by itself")


def assigned(args: argparse.Namespace) -> list[str]:
    """Return the parameters that the command line sets, as `name=value`."""
    preset = getattr(args, "preset", None)
    return [*args.assignments, *([f"sensor.preset={preset}"] if preset else [])]


def camera_lines(config: SlamConfig, source: Source) -> list[str]:
    """Return the line of a report that tells whose noise and range count, and why."""
    return [f"  sensor    {for_camera(config, source.device_names)[1]}"]


def choice_text(choice: dict[str, str]) -> str:
    """Tell which topics of a bag were chosen, and why, in one line."""
    topics = ", ".join(f"{role} {choice[role]}" for role in ROLES if role in choice)
    return f"{topics} ({choice['reason']})"


def source_lines(choice: dict[str, str]) -> list[str]:
    """Return the line of a report that tells what was chosen in a source, if anything was."""
    if "camera" in choice:
        return [f"  camera    {choice['camera']}: {choice['reason']}",
                "            Ctrl-C ends it"]
    return [f"  topics    {choice_text(choice)}"] if choice else []
