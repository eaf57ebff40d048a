"""Which topics of a bag are those of one camera: color, depth, calibration; and ground truth.

Color and depth go together by what they hold: size, frame, calibration, stamps, and the namespaces
they share. Within one camera names decide between its own variants (registered, rectified,
compressed). Two cameras that fit equally well are a question for the user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...core.errors import DataError
from .camera_topics import CameraTopics, shared_namespaces
from .file import CAMERA_INFO, IMAGE, POSE
from .streams import Stream, base_topic

#: Topics that `BagWriter` writes; compressed transports append their suffix.
COLOR_TOPIC = "/camera/color/image_raw"
DEPTH_TOPIC = "/camera/depth/image_raw"
INFO_TOPIC = "/camera/color/camera_info"
GROUNDTRUTH_TOPIC = "/groundtruth"

_NOT_COLOR = ("infra", "/ir/", "mask", "confidence", "disparity", "theora", "segment")
_NOT_DEPTH = (*_NOT_COLOR, "intensity", "thermal", "amplitude")


@dataclass(frozen=True)
class TopicNames:
    """Topics that the user named; None = to be chosen."""

    color: str | None = None
    depth: str | None = None
    info: str | None = None
    groundtruth: str | None = None


@dataclass(frozen=True)
class Topics:
    """The chosen topics.

    Attributes:
        color, depth, info, groundtruth: names; None = the bag holds none.
        reason: why color and depth are taken for one camera.
        depth_info: calibration of the depth images, where they have one of their own.
    """

    color: str
    depth: str | None
    info: str
    groundtruth: str | None
    reason: str = ""
    depth_info: str | None = None

    def __str__(self) -> str:
        """Name them in one line."""
        return (f"color {self.color}, depth {self.depth or 'none'}, info {self.info} "
                f"({self.reason})")

    def to_dict(self) -> dict[str, str]:
        """Return what a summary tells: topic by role, and why."""
        told = {"color": self.color, "depth": self.depth, "info": self.info,
                "groundtruth": self.groundtruth, "reason": self.reason}
        return {role: text for role, text in told.items() if text}


def choose_topics(
    streams: Mapping[str, Stream], wanted: TopicNames | None = None, slop_ns: int = 20_000_000
) -> Topics:
    """Choose the topics of one camera.

    Args:
        streams: what the bag holds, by topic.
        wanted: topics that the user named; the others are chosen to fit them.
        slop_ns: largest stamp gap of a pair.

    Raises:
        DataError: no color or calibration topic, a wanted one is absent, or several cameras fit
            equally well; topics and options are listed.
    """
    wanted = wanted or TopicNames()
    _check_wanted(streams, wanted)
    colors = [streams[wanted.color]] if wanted.color else [
        s for s in streams.values() if _is_color(s) and s.topic != wanted.depth]
    if not colors:
        raise DataError(f"no color image topic; {listing(streams)}")
    depths = [streams[wanted.depth]] if wanted.depth else _depths(streams, wanted.color)
    partners: Sequence[Stream | None] = depths or [None]
    pairs = [
        CameraTopics(
            color, depth, _info_of(color, streams, wanted.info),
            None if depth is None else _info_of(depth, streams, None), slop_ns)
        for color in colors for depth in partners]
    best = _best(pairs)
    if best.info is None:
        raise DataError(
            f"no camera_info for {best.color.topic}: record "
            f"{_info_names(best.color.topic)[0]} too, or name it (--info); {listing(streams)}")
    truths = [s for s in streams.values() if s.kind == POSE and _is_truth(s.topic)]
    truth = max(truths, default=None, key=lambda s: (
        len(shared_namespaces(s.topic, best.color.topic)), s.count, s.topic))
    return Topics(
        best.color.topic, None if best.depth is None else best.depth.topic, best.info.topic,
        wanted.groundtruth or (None if truth is None else truth.topic), best.reason(),
        None if best.depth_info in (None, best.info) else best.depth_info.topic)


def _best(pairs: list[CameraTopics]) -> CameraTopics:
    """Return the pair that fits best; DataError when that is not one camera."""
    pairs = [p for p in pairs if not any(_nearer(q, p) for q in pairs)]
    fit = max(p.fit for p in pairs)
    by_camera: dict[tuple[str, ...], list[CameraTopics]] = {}
    for pair in pairs:
        if pair.fit == fit:
            by_camera.setdefault(pair.shared, []).append(pair)
    equal: list[CameraTopics] = []
    for group in by_camera.values():
        preferred = max(p.preference for p in group)
        equal += [p for p in group if p.preference == preferred]
    if len(equal) > 1:
        options = " | ".join(sorted(p.named() for p in equal))
        raise DataError(f"{len(equal)} cameras fit equally well, choose one: {options}")
    return equal[0]


def _nearer(one: CameraTopics, other: CameraTopics) -> bool:
    """Tell whether `one` has a topic of `other` with a partner nearer to it, and fits as well."""
    if one.depth is None or other.depth is None:
        return False
    common = one.color.base == other.color.base or one.depth.base == other.depth.base
    return common and len(one.shared) > len(other.shared) and one.fit >= other.fit


def _check_wanted(streams: Mapping[str, Stream], wanted: TopicNames) -> None:
    roles: tuple[tuple[Literal["color", "depth", "info", "groundtruth"], str], ...] = (
        ("color", "an image"), ("depth", "an image"), ("info", CAMERA_INFO),
        ("groundtruth", POSE))
    for role, kind in roles:
        name = getattr(wanted, role)
        if name is None:
            continue
        if name not in streams:
            raise DataError(f"no messages on the {role} topic {name}; {listing(streams)}")
        stream = streams[name]
        if not (stream.is_image if kind == "an image" else stream.kind == kind):
            raise DataError(f"the {role} topic {name} is of type {stream.kind}, not {kind}")


def no_depth_message(streams: Mapping[str, Stream]) -> str:
    """Say that a bag lacks depth and what to record."""
    return (
        "no depth image topic: record depth registered to color (RealSense: "
        f"align_depth.enable:=true), or name the topic (--depth); {listing(streams)}"
    )


def listing(streams: Mapping[str, Stream]) -> str:
    """List the topics with what they hold."""
    return "topics found: " + (", ".join(
        f"{name} ({' '.join(_described(streams[name]))})" for name in sorted(streams)) or "none")


def _described(stream: Stream) -> Iterable[str]:
    yield stream.kind.rsplit("/", 1)[-1]
    if stream.is_image and stream.encoding:
        yield stream.encoding.partition(";")[0]
    if stream.size[0]:
        yield f"{stream.size[0]}x{stream.size[1]}"


def _depths(streams: Mapping[str, Stream], color: str | None) -> list[Stream]:
    """Return what holds distances; else what is called so, whose encoding is refused later."""
    images = [s for s in streams.values() if s.is_image and s.topic != color]
    return [s for s in images if _is_depth(s)] or [
        s for s in images if "depth" in s.topic.lower().replace("_to_depth", "")]


def _is_depth(stream: Stream) -> bool:
    """Tell whether a stream holds distances: by its encoding, and by name where that is open."""
    name, encoding = stream.topic.lower(), stream.encoding.lower()
    if not stream.is_image or any(word in name for word in _NOT_DEPTH):
        return False
    if stream.kind == IMAGE and encoding:
        return encoding in ("16uc1", "32fc1") or (encoding == "mono16" and "depth" in name)
    if "compresseddepth" in f"{name} {encoding}" or encoding.startswith("16uc1"):
        return True
    return "depth" in name and "jpeg" not in encoding and "_to_depth" not in name


def _is_color(stream: Stream) -> bool:
    """Tell whether a stream holds pictures; `depth/...` in color is a picture of depth."""
    name = stream.topic.lower().replace("_to_depth", "")
    if not stream.is_image or _is_depth(stream) or "depth" in name:
        return False
    return stream.encoding.lower() not in ("16uc1", "32fc1") and not any(
        word in name for word in _NOT_COLOR)


def _is_truth(topic: str) -> bool:
    return "groundtruth" in topic.lower().replace("_", "")


def _info_names(topic: str) -> tuple[str, ...]:
    """Return the names under which drivers publish the calibration of an image topic."""
    base = base_topic(topic)
    return f"{base.rpartition('/')[0]}/camera_info", f"{base}/camera_info"


def _info_of(
    image: Stream, streams: Mapping[str, Stream], wanted: str | None
) -> Stream | None:
    """Return the calibration of an image topic; None where that is not clear.

    Another stream's calibration would be silently wrong: it must be a sibling, or the only one
    that may be of the frame and the size of the images.
    """
    if wanted is not None:
        return streams[wanted]
    for name in _info_names(image.topic):
        if name in streams and streams[name].kind == CAMERA_INFO:
            return streams[name]
    if _is_depth(image):
        return None
    infos = [s for s in streams.values() if s.kind == CAMERA_INFO and _may_calibrate(s, image)]
    return infos[0] if len(infos) == 1 else None


def _may_calibrate(info: Stream, image: Stream) -> bool:
    name = info.topic.lower()
    frames = {info.frame_id, image.frame_id} - {""}
    sizes = {info.size, image.size} - {(0, 0)}
    return len(frames) < 2 and len(sizes) < 2 and not (
        "depth" in name or any(word in name for word in _NOT_COLOR))
