"""Which topics of a bag hold color, depth, calibration and ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.errors import DataError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POSE = "geometry_msgs/msg/PoseStamped"

#: Topics that `BagWriter` writes; compressed transports append their suffix.
COLOR_TOPIC = "/camera/color/image_raw"
DEPTH_TOPIC = "/camera/depth/image_raw"
INFO_TOPIC = "/camera/color/camera_info"
GROUNDTRUTH_TOPIC = "/groundtruth"

_SUFFIXES = ("/compressed", "/compressedDepth")
_NOT_COLOR = ("infra", "/ir/", "mask", "confidence", "disparity", "theora")


@dataclass(frozen=True)
class Topics:
    """The chosen topic names; None = the bag holds none."""

    color: str
    depth: str | None
    info: str
    groundtruth: str | None


def choose_topics(types: Mapping[str, str], wanted: Mapping[str, str | None]) -> Topics:
    """Choose topics by type and name.

    Args:
        types: topic name -> message type, of topics that hold messages.
        wanted: names given by the caller for color, depth, info and groundtruth.

    Raises:
        DataError: no color or calibration topic, or a wanted one is absent; topics are listed.
    """
    for role, name in wanted.items():
        if name and name not in types:
            raise DataError(f"no messages on the {role} topic {name}; {_listing(types)}")
    images = [t for t, kind in types.items() if kind in (IMAGE, COMPRESSED)]
    colors = [t for t in images if not _is_depth(t) and not any(w in t for w in _NOT_COLOR)]
    color = wanted.get("color") or min(colors, key=_color_rank, default=None)
    if color is None:
        raise DataError(f"no color image topic; {_listing(types)}")
    depths = [t for t in images if _is_depth(t) and t != color]
    depth = wanted.get("depth") or min(depths, key=_depth_rank, default=None)
    info = wanted.get("info") or _info_of(color, types)
    if info is None:
        raise DataError(
            f"no camera_info for {color}: record {_parent(color)}/camera_info too; "
            f"{_listing(types)}"
        )
    truths = [t for t, kind in types.items() if kind == POSE and _is_truth(t)]
    truth = wanted.get("groundtruth") or min(truths, key=lambda t: (len(t), t), default=None)
    return Topics(color, depth, info, truth)


def no_depth_message(types: Mapping[str, str]) -> str:
    """Say that a bag lacks depth and what to record."""
    return (
        "no depth image topic: record depth registered to color (RealSense: "
        f"align_depth.enable:=true), or name the topic; {_listing(types)}"
    )


def _listing(types: Mapping[str, str]) -> str:
    names = (f"{name} ({kind.rsplit('/', 1)[-1]})" for name, kind in sorted(types.items()))
    return "topics found: " + (", ".join(names) or "none")


def _base(topic: str) -> str:
    for suffix in _SUFFIXES:
        topic = topic.removesuffix(suffix)
    return topic


def _parent(topic: str) -> str:
    return _base(topic).rpartition("/")[0]


def _is_depth(topic: str) -> bool:
    # `aligned_depth_to_color` names both, and is depth.
    return "depth" in topic.lower()


def _is_truth(topic: str) -> bool:
    return "groundtruth" in topic.lower().replace("_", "")


def _color_rank(topic: str) -> tuple[bool, bool, bool, int, str]:
    """Order color topics: a color name, unrectified, uncompressed, short."""
    name = topic.lower()
    named = "color" in name or "rgb" in name or "colour" in name
    return (not named, "rect" in name, topic != _base(topic), len(topic), topic)


def _depth_rank(topic: str) -> tuple[bool, bool, bool, int, str]:
    """Order depth topics: registered to color, unrectified, uncompressed, short."""
    name = topic.lower()
    registered = "aligned" in name or "registered" in name
    return (not registered, "rect" in name, topic != _base(topic), len(topic), topic)


def _info_of(color: str, types: Mapping[str, str]) -> str | None:
    infos = [t for t, kind in types.items() if kind == CAMERA_INFO]
    sibling = f"{_parent(color)}/camera_info"
    if sibling in infos:
        return sibling
    # Another stream's calibration would be silently wrong, so only a lone one is taken.
    others = [t for t in infos if not _is_depth(t) and not any(w in t for w in _NOT_COLOR)]
    return others[0] if len(others) == 1 else None
