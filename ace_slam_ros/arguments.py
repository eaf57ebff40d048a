"""Arguments that commands of `ace-slam` share."""

from __future__ import annotations

import argparse
from pathlib import Path

#: What a recording may be.
SOURCE_HELP = (
    "TUM-layout folder (rgb.txt, depth.txt, camera.yaml), public data set as it is, or bag "
    "(folder; .mcap, .db3, .bag)")
LIVE_SOURCE_HELP = f"{SOURCE_HELP}; or realsense[:SERIAL], the camera itself"


def add_seconds(parser: argparse.ArgumentParser) -> None:
    """Declare the option that ends a live camera."""
    parser.add_argument(
        "--seconds", type=positive, metavar="N",
        help="of a live camera: end after N seconds (default: Ctrl-C ends it)")


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names the family of the camera."""
    parser.add_argument(
        "--preset", metavar="CAMERA",
        help="noise and range of d435, d455, l515, azure_kinect, oak_d, kinect_v1, d405 or none "
        "(default: as the names of driver, topics and frames tell); short for --set sensor.preset")


def add_view(parser: argparse.ArgumentParser) -> None:
    """Declare the options that show what happens."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--view", nargs="?", const="", metavar="FILE.rrd",
        help="show image, predicted coordinates, trajectory, map and state in a window, or record "
        "them to a file (--view=FILE.rrd); needs rerun-sdk")
    either.add_argument(
        "--web", dest="view", action="store_const", const="web",
        help="show the same in a browser of this machine, at the address that is told")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names the folder for results."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="folder for results (default: out/NAME, with a number where there are some already)")


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Declare the options that name topics of a bag."""
    group = parser.add_argument_group(
        "topics of a bag", "chosen by what they hold, unless they are named")
    for role, what in (("color", "color images"), ("depth", "depth images"),
                       ("info", "camera_info of the color images")):
        group.add_argument(f"--{role}", metavar="TOPIC", help=f"topic with the {what}")


def positive(text: str) -> float:
    """Return a positive number that was typed."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value
