"""Judges the TF tree: the camera's mount, odometry against the images, frames with two parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError
from ..ros.inputs.extrinsic import check_optical
from .findings import Finding, good, note, problem

if TYPE_CHECKING:
    from ..ros.config import NodeConfig
    from ..ros.tf.interface import Transforms
    from .topic_listener import Heard


class ParentsHeard:
    """Remembers which parents each frame was given."""

    def __init__(self) -> None:
        self.of: defaultdict[str, set[str]] = defaultdict(set)

    def heard(self, message: Any, static: bool) -> None:
        """Take note of one transform."""
        self.of[message.child_frame_id].add(message.header.frame_id)

    def sent(self, messages: Iterable[Any]) -> None:
        """The doctor sends none."""


def transform_findings(
    config: NodeConfig, color: Heard, transforms: Transforms, parents: ParentsHeard
) -> list[Finding]:
    """Judge the robot's transforms as the images need them."""
    frame = next(iter(color.frames), "")
    found = two_parents(parents)
    if not frame:
        return found
    found += odometry(config, color, transforms)
    return found if config.ros.camera_extrinsic else [
        *found, *mount(config, frame, color, transforms)]


def two_parents(parents: ParentsHeard) -> list[Finding]:
    """Find frames that jump between two places, because two nodes place them."""
    return [
        problem(f"TF {child}", f"has {len(names)} parents: {', '.join(sorted(names))}; it jumps "
                "between two places", "stop one of the broadcasters; ros.odom_frame and "
                "ros.base_frame name the robot's own frames")
        for child, names in parents.of.items() if len(names) > 1]


def odometry(config: NodeConfig, color: Heard, transforms: Transforms) -> list[Finding]:
    """Compare the times of odometry and images."""
    ros = config.ros
    newest_ns = transforms.newest_ns(ros.odom_frame, ros.base_frame) if ros.odom_frame else None
    if not newest_ns:
        return []
    late_s = (color.stamps_ns[-1] - newest_ns) * 1e-9
    name = f"{ros.odom_frame} -> {ros.base_frame}"
    if abs(late_s) > ros.odom_tolerance_s:
        return [problem(
            "odometry", f"TF {name} is {abs(late_s):.2f} s "
            f"{'behind' if late_s > 0.0 else 'ahead of'} the images, ros.odom_tolerance_s is "
            f"{ros.odom_tolerance_s:g} s: map -> {ros.odom_frame} is not sent",
            "synchronize the clocks of camera and odometry (chrony)")]
    return [good("odometry", f"TF {name} is {late_s:.2f} s behind the images")]


def mount(
    config: NodeConfig, frame: str, color: Heard, transforms: Transforms
) -> list[Finding]:
    """Check where the camera sits on the robot."""
    ros = config.ros
    found = transforms.lookup(ros.base_frame, frame, color.stamps_ns[-1])
    if found is None and len(color.stamps_ns) > 10:  # TF may lag behind the newest image
        found = transforms.lookup(ros.base_frame, frame, color.stamps_ns[-10])
    if found is None:
        return [note(
            "camera mount", f"TF does not know {ros.base_frame} -> {frame}: poses will be of the "
            "camera's body frame", "start robot_state_publisher, or --set "
            "ros.camera_extrinsic='x y z qx qy qz qw'")]
    try:
        check_optical(frame, found)
    except DataError as error:
        return [problem("camera mount", str(error), "let the driver stamp images with its "
                        "..._optical_frame, or --set ros.camera_extrinsic=...")]
    x, y, z = found[:3, 3]
    return [good("camera mount", f"{ros.base_frame} -> {frame}: {x:.2f} {y:.2f} {z:.2f} m")]
