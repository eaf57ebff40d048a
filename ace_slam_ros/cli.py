"""The `ace-slam` command: run, relocalize, synth, convert, up, demo, doctor, dump-config.

Every subcommand imports what it needs itself: `--help` answers at once, and nothing but `up` and
`demo` needs ROS.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import __version__
from .arguments import (
    LIVE_SOURCE_HELP,
    SOURCE_HELP,
    add_out,
    add_preset,
    add_seconds,
    add_topics,
    add_view,
    positive,
)
from .core.errors import AceSlamError
from .core.runtime.library_threads import calm_library_threads

calm_library_threads()  # before a subcommand imports numpy

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done; 1 a check failed or something unexpected happened; 2 bad usage or input;
        130 interrupted.
    """
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=(args.log_level or "warning").upper(), stream=sys.stderr,
        format="%(levelname)s %(name)s: %(message)s")
    from .apps.reporting import complain

    try:
        return int(args.command(args))
    except AceSlamError as error:
        complain([str(error)])
        return BAD_INPUT
    except KeyboardInterrupt:
        complain(["interrupted"])
        return INTERRUPTED
    except BrokenPipeError:  # `ace-slam dump-config | head` is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # the last line of defense: one line, details on request
        logging.getLogger(__name__).debug("unexpected failure", exc_info=True)
        complain([
            f"unexpected {type(error).__name__}: {error} (--log-level debug shows where)"])
        return FAILED


def _parser() -> argparse.ArgumentParser:
    from .apps.map_tools.command import add_map_commands

    parser = argparse.ArgumentParser(
        prog="ace-slam", description="Live scene-coordinate-regression SLAM for RGB-D cameras.")
    parser.add_argument("--version", action="version", version=f"ace-slam {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"),
        help="least severe messages shown (default: warning, of the nodes: info)")
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config", type=Path, metavar="FILE", help="parameters, as `ace-slam dump-config` prints")
    configured.add_argument(
        "--set", action="append", default=[], metavar="A.B=V", dest="assignments",
        help="set one parameter; may be repeated")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Any, help: str, *parents: Any) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=help, description=help[0].upper() + help[1:] + ".",
            parents=[common, *parents])
        sub.set_defaults(command=command)
        return sub

    _add_offline(add, configured)
    add_map_commands(add)
    _add_live(add, configured)
    _add_doctor(add, configured)
    dump = add("dump-config", _dump_config, "print every parameter with its meaning", configured)
    dump.add_argument(
        "--preset", metavar="NAME", help="print config/NAME.yaml: slam, localization, realsense, "
        "ace_slam_paper; or the defaults with the noise of a camera (d435 ...)")
    dump.add_argument(
        "--markdown", action="store_true", help="print the table of docs/parameters.md")
    return parser


def _add_offline(add: Any, configured: argparse.ArgumentParser) -> None:
    """Declare the subcommands that need no ROS."""
    run = add("run", _run, "map and track a recording or a live camera, without ROS", configured)
    run.add_argument("source", type=Path, metavar="SOURCE", help=LIVE_SOURCE_HELP)
    pace = run.add_mutually_exclusive_group()
    pace.add_argument(
        "--realtime", action="store_true",
        help="deliver frames at their recorded rate; late ones are skipped")
    pace.add_argument(
        "--every-frame", action="store_true",
        help="wait for every frame; reproducible bit for bit (default)")
    run.add_argument(
        "--rate", type=positive, metavar="R", help="with --realtime: play R times as fast")
    run.add_argument("--map", type=Path, metavar="DIR", help="start from this saved map")
    add_seconds(run)
    add_preset(run)
    add_out(run)
    add_view(run)
    add_topics(run)

    query = add(
        "relocalize", _relocalize, "localize every frame of a sequence in a saved map, no prior",
        configured)
    query.add_argument("map", type=Path, metavar="MAP", help="folder written by `ace-slam run`")
    query.add_argument("source", type=Path, metavar="SOURCE", help=LIVE_SOURCE_HELP)
    query.add_argument("--rgb-only", action="store_true", help="ignore the depth of the queries")
    add_seconds(query)
    add_preset(query)
    add_out(query)
    add_topics(query)

    synth = add("synth", _synth, "render an RGB-D sequence with exact ground truth")
    synth.add_argument("out", type=Path, metavar="OUT", help="TUM-layout folder to write")
    synth.add_argument(
        "--world", default="room", choices=("room", "corridor", "loop", "dynamic", "lighting"))
    synth.add_argument(
        "--motion", default="calm", choices=("calm", "fast"), help="fast: half a meter per "
        "second, swings of up to 150 degrees per second, blurred by exposures of 1/60 s")
    synth.add_argument("--seed", type=int, default=0, help="same seed, same pictures")
    synth.add_argument("--frames", type=int, metavar="N", help="default: the world's full length")

    convert = add(
        "convert", _convert, "convert a TUM folder to a rosbag2, or a bag to a TUM folder")
    convert.add_argument("source", type=Path, metavar="SOURCE", help=SOURCE_HELP)
    convert.add_argument(
        "out", type=Path, metavar="OUT", help="folder to make: a rosbag2 when SOURCE is "
        "a TUM folder, a TUM folder when it is a bag")
    convert.add_argument(
        "--storage", choices=("mcap", "sqlite3"), help="of the bag (default: mcap)")
    convert.add_argument(
        "--transport", choices=("raw", "compressed"), help="of images in the bag (default: raw)")
    convert.add_argument(
        "--depth-encoding", choices=("auto", "16UC1", "32FC1"),
        help="of the bag (default: auto, millimeters where that is exact, else meters)")
    convert.add_argument(
        "--stamps", choices=("header", "arrival"), default="header",
        help="of a bag's images; arrival: times of recording, where headers hold no good ones")
    convert.add_argument("--start", type=float, metavar="S", help="leave out what comes earlier")
    convert.add_argument("--stop", type=float, metavar="S", help="leave out what comes later")
    add_topics(convert)


def _add_live(add: Any, configured: argparse.ArgumentParser) -> None:
    """Declare the subcommands that start ROS nodes."""
    up = add("up", _up, "start the three ROS nodes without `ros2 launch`", configured)
    up.add_argument(
        "--bag", type=Path, metavar="SOURCE", help=f"play this and end: {SOURCE_HELP}")
    up.add_argument("--rate", type=positive, help="speed of --bag (default: 1)")
    up.add_argument("--clock", action="store_true", help="--bag publishes /clock")
    up.add_argument("--namespace", default="", metavar="NS", help="of all nodes and topics")
    up.add_argument("--mode", choices=("mapping", "localization"), help="default: the parameter's")
    up.add_argument("--map", type=Path, metavar="DIR", help="map folder to load and save")
    up.add_argument(
        "--respawn", action=argparse.BooleanOptionalAction, default=True,
        help="restart a node that ends")
    add_preset(up)
    add_view(up)
    add_topics(up)

    demo = add("demo", _demo, "replay a sequence into the three live nodes and check the result")
    demo.add_argument(
        "source", type=Path, nargs="?", metavar="SOURCE",
        help=f"{SOURCE_HELP}; default: a synthetic room, rendered on first use")
    demo.add_argument("--out", type=Path, metavar="DIR", default=Path("out/demo"))
    demo.add_argument("--seed", type=int, default=0, help="of the places to relocalize at")
    add_topics(demo)


def _add_doctor(add: Any, configured: argparse.ArgumentParser) -> None:
    """Declare the subcommand that says what is wrong."""
    doctor = add(
        "doctor", _doctor, "check installation, machine, image loss and the running system",
        configured)
    doctor.add_argument("--namespace", default="", metavar="NS", help="of the nodes")
    for stream, topic in (("color", "rgb/image"), ("depth", "depth/image"),
                          ("info", "rgb/camera_info")):
        doctor.add_argument(
            f"--{stream}", metavar="TOPIC", help=f"the camera's topic (default: {topic})")
    doctor.add_argument(
        "--seconds", type=positive, default=3.0, help="to send and to listen (default: 3)")
    doctor.add_argument(
        "--loopback", action=argparse.BooleanOptionalAction, default=True,
        help="measure how many images of another process arrive")
    doctor.add_argument(
        "--live", action=argparse.BooleanOptionalAction, default=None,
        help="look at camera and nodes (default: when there are any)")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")


def _node_config(args: argparse.Namespace) -> Any:
    """Return the parameters of the nodes."""
    from .apps.sources import assigned
    from .core.config.files import load_config
    from .ros.config import NodeConfig

    return load_config(args.config, NodeConfig).with_overrides(assigned(args))


def _run(args: argparse.Namespace) -> int:
    from .apps.reporting import prepare_out_folder, run_rows, say, table
    from .apps.results import free_folder, next_lines, results_line
    from .apps.sources import camera_lines, open_for_run, source_lines

    _check_view(args)
    source, config, realtime = open_for_run(args)
    out = prepare_out_folder(args.out or free_folder(source.name))
    say(*source_lines(source.choice), *camera_lines(config, source), results_line(out))
    from .apps.run import run_sequence  # after the cheap checks: it imports torch
    from .viewer.web import page_for

    with page_for(args.view, say, stays=True) as view:
        summary = run_sequence(
            source, config, out, realtime=realtime, rate=args.rate or 1.0, map_dir=args.map,
            progress=_watched(), view=view)
        mapped = not config.localization_only
        say(table(run_rows(summary.to_dict())), f"  results in {out}",
            *next_lines(out / "map" if mapped else args.map, args.source, mapped=mapped))
        return _ended(source)


def _ended(source: Any) -> int:
    """Return the exit code of a command that has read a source to its end, and say of trouble."""
    from .apps.reporting import complain

    trouble = getattr(source, "trouble", "")
    if trouble:
        complain([f"{trouble}; what came before is saved"])
    return FAILED if trouble else DONE


def _check_view(args: argparse.Namespace) -> None:
    if args.view is not None:
        from .viewer.target import check_target

        check_target(args.view)


def _relocalize(args: argparse.Namespace) -> int:
    from .apps.reporting import prepare_out_folder, relocalize_rows, say, table
    from .apps.results import free_folder, next_lines, results_line
    from .apps.sources import camera_lines, open_for_queries, source_lines

    source, config = open_for_queries(args)
    out = prepare_out_folder(args.out or free_folder(f"{source.name}_relocalized"))
    say(*source_lines(source.choice), *camera_lines(config, source), results_line(out))
    from .apps.relocalize import relocalize_sequence

    summary = relocalize_sequence(
        args.map, source, config, out, rgb_only=args.rgb_only, progress=_watched())
    say(table(relocalize_rows(summary.to_dict())), f"  results in {out}",
        *next_lines(args.map, args.source, mapped=False))
    return _ended(source)


def _synth(args: argparse.Namespace) -> int:
    from .apps.reporting import say
    from .synth.sequence import write_sequence

    write_sequence(args.out, args.world, args.seed, args.frames, _watched(), args.motion)
    say(f"{args.out}: world {args.world}, seed {args.seed}, {args.motion} motion")
    return DONE


def _convert(args: argparse.Namespace) -> int:
    from .apps.reporting import say
    from .apps.sources import named_topics, source_lines
    from .io.convert import convert

    report = convert(
        args.source, args.out, storage=args.storage, transport=args.transport,
        depth_encoding=args.depth_encoding, start_s=args.start, stop_s=args.stop,
        options=replace(named_topics(args), stamps=args.stamps), progress=_watched())
    skipped = "".join(f", skipped {n} x {reason}" for reason, n in report.skipped.items())
    exact = "exact" if report.depth_exact else "rounded"
    say(*source_lines(report.choice),
        f"{report.out}: {report.kind}, {report.frames} pairs{skipped}, depth "
        f"{report.depth_encoding} ({exact}), {report.groundtruth_poses} ground-truth poses")
    return DONE


def _up(args: argparse.Namespace) -> int:
    from .apps.reporting import say
    from .apps.results import lines_after_up
    from .apps.sources import as_nodes_read, check_up_options, named_topics
    from .core.config.files import load_ros_own
    from .ros.up import run_up
    from .viewer.web import page_for

    check_up_options(args)
    _check_view(args)
    values: dict[str, Any] = {}
    if args.mode:
        values["mode"] = args.mode
    if args.map:
        values["ros.map_dir"] = str(args.map.expanduser().resolve())
    config = _node_config(args).with_values(values)
    with page_for(args.view, say) as view:
        code = run_up(
            config, namespace=args.namespace, bag=args.bag,
            options=as_nodes_read(named_topics(args), config),
            rate=args.rate or 1.0, clock=args.clock, respawn=args.respawn,
            log_level=args.log_level or "info", view=view, ros_own=load_ros_own(args.config))
    say(*lines_after_up(config.ros.map_dir, args.bag, mapped=not config.localization_only))
    return code


def _demo(args: argparse.Namespace) -> int:
    from .apps.sources import named_topics
    from .demo.command import run_demo

    return run_demo(
        args.source, args.out, seed=args.seed, log_level=args.log_level or "info",
        options=named_topics(args))


def _doctor(args: argparse.Namespace) -> int:
    import importlib.util

    environment = dict(os.environ)  # importing the nodes' package changes it
    from .apps.reporting import say
    from .doctor.findings import format_findings, has_problem, note, summary
    from .doctor.machine import environment_figures, installation, machine

    config = _node_config(args)
    figures = environment_figures(config, environment)
    findings = [*installation(config), *machine(config)]
    if importlib.util.find_spec("rclpy") and importlib.util.find_spec("ace_slam_ros.msg"):
        from .doctor.live import check_ros

        topics = {s: getattr(args, s) for s in ("color", "depth", "info") if getattr(args, s)}
        findings += check_ros(
            config, environment, figures, namespace=args.namespace, topics=topics,
            seconds=args.seconds, loopback=args.loopback, live=args.live)
    else:
        findings.append(note("live checks", "need ROS 2 and are left out"))
    if args.json:
        import json

        say(json.dumps(summary(findings, figures), indent=1))
    else:
        say(*format_findings(findings))
    return FAILED if has_problem(findings) else DONE


def _dump_config(args: argparse.Namespace) -> int:
    from .apps.reporting import say
    from .core.config.fields import dump_yaml
    from .ros.presets import preset_yaml

    if (args.preset or args.markdown) and (args.config or args.assignments):
        raise AceSlamError(
            "--preset and --markdown print a file as it ships: leave out --config and --set")
    if args.markdown:
        from .ros.parameter_table import parameter_table

        text = parameter_table()
    else:
        text = preset_yaml(args.preset) if args.preset else dump_yaml(_node_config(args))
    say(text.rstrip())
    return DONE


def _watched() -> bool:
    """Tell whether somebody sees a progress bar."""
    return sys.stderr.isatty()


if __name__ == "__main__":
    sys.exit(main())
