"""SOURCE on the command line: how it is read, told by options and by parameters of the nodes."""

from __future__ import annotations

import argparse
import dataclasses

from ..core.config.files import load_config
from ..core.config.sections import SlamConfig, is_for_nodes
from ..core.errors import ConfigError
from ..io.source import ReadOptions
from ..ros.config import OF_RECORDINGS, OF_TOPICS, NodeConfig

ROLES = ("color", "depth", "info")
#: How the names of parameters begin that change nothing where no node runs, by what runs instead.
_OF_NODES = ("mapper.autosave_s", "relocalizer.queue")
_OF_QUERIES = ("relocalizer.min_confidence_rgb", "relocalizer.pose_sigma_")
_UNUSED = {
    "run --every-frame": (
        *_OF_NODES, *_OF_QUERIES, "tracker.frame_budget_ms", "tracker.frame_deadline_ms",
        "mapper.budget_ms"),
    "run --realtime": (*_OF_NODES, *_OF_QUERIES),
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
    config = load_config(args.config, NodeConfig).with_overrides(args.assignments)
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


def choice_text(choice: dict[str, str]) -> str:
    """Tell which topics of a bag were chosen, and why, in one line."""
    topics = ", ".join(f"{role} {choice[role]}" for role in ROLES if role in choice)
    return f"{topics} ({choice['reason']})"


def source_lines(choice: dict[str, str]) -> list[str]:
    """Return the line of a report that tells what was chosen in a source, if anything was."""
    return [f"  topics    {choice_text(choice)}"] if choice else []
