"""What a bag holds on its topics, as far as the first messages tell."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...core.errors import DataError
from ...core.geometry.frame_names import frame_name
from ..calibration import info_of_stream
from ..depth import decode_compressed_depth
from ..images import decode_compressed_image
from .file import CAMERA_INFO, COMPRESSED, IMAGE, POSE, decode, header_stamp_ns

if TYPE_CHECKING:
    from .opening import AnyBag

_SUFFIXES = ("/compressed", "/compressedDepth")
#: So many stamps of each image topic, or those of so long, tell whether two topics go together.
_STAMPS, _LOOK_NS = 10, 2_000_000_000


@dataclass(frozen=True)
class Stream:
    """One topic.

    Attributes:
        topic, kind: its name and message type.
        count: number of messages.
        encoding: of an Image; the format of a CompressedImage; empty = not known.
        size: (width, height) of an image or a calibration; (0, 0) = not known.
        frame_id: of the first message.
        stamps_ns: of a few messages, of a time in which all image topics have some.
        info: the first message of a calibration, undistorted by nobody yet.
    """

    topic: str
    kind: str
    count: int = 1
    encoding: str = ""
    size: tuple[int, int] = (0, 0)
    frame_id: str = ""
    stamps_ns: tuple[int, ...] = ()
    info: Any = None

    @property
    def base(self) -> str:
        """The topic without the suffix of its transport."""
        return base_topic(self.topic)

    @property
    def is_image(self) -> bool:
        """Tell whether it holds images."""
        return self.kind in (IMAGE, COMPRESSED)

    def pinhole(self, image_topic: str) -> tuple[float, ...] | None:
        """Return (fx, fy, cx, cy) of the images on a topic; None where they are not told."""
        if self.info is None:
            return None
        k = info_of_stream(copy(self.info), image_topic).k
        return (k[0], k[4], k[2], k[5]) if len(k) == 9 and k[0] > 0 else None


def base_topic(topic: str) -> str:
    """Return a topic without the suffix of its transport."""
    for suffix in _SUFFIXES:
        topic = topic.removesuffix(suffix)
    return topic


def survey(bag: AnyBag) -> dict[str, Stream]:
    """List the topics, and look at the first messages of those that could matter.

    Raises:
        DataError: the bag is damaged.
    """
    found: dict[str, Stream] = {}
    began_ns: dict[str, int] = {}
    for topic, kind in bag.types.items():
        found[topic] = Stream(topic, kind, bag.counts[topic])
        if kind not in (IMAGE, COMPRESSED, CAMERA_INFO, POSE):
            continue
        for _, time_ns, raw in bag.messages([topic]):
            found[topic] = _described(found[topic], raw)
            began_ns[topic] = time_ns
            break
    images = [topic for topic, stream in found.items() if stream.is_image]
    stamps = _stamps(bag, images, max((began_ns.get(t, 0) for t in images), default=0))
    return {t: replace(s, stamps_ns=tuple(stamps.get(t, ()))) for t, s in found.items()}


def _stamps(bag: AnyBag, topics: Collection[str], start_ns: int) -> dict[str, list[int]]:
    stamps: dict[str, list[int]] = {topic: [] for topic in topics}
    for topic, time_ns, raw in bag.messages(topics, start_ns, start_ns + _LOOK_NS):
        stamps[topic].append(header_stamp_ns(raw, time_ns))
        if min(map(len, stamps.values())) >= _STAMPS:
            break
    return stamps


def _described(stream: Stream, raw: bytes) -> Stream:
    """Return a stream with what a message of it says; a damaged message says nothing."""
    try:
        message = decode(raw, stream.kind)
        stream = replace(stream, frame_id=frame_name(message.header.frame_id))
        if stream.kind == IMAGE:
            return replace(
                stream, encoding=message.encoding, size=(message.width, message.height))
        if stream.kind == CAMERA_INFO:
            return replace(stream, size=_delivered(message), info=message)
        if stream.kind == COMPRESSED:
            stream = replace(stream, encoding=message.format)
            if "compresseddepth" in f"{message.format} {stream.topic}".lower():
                shape = decode_compressed_depth(message.data, message.format)[0].shape
            else:
                shape = decode_compressed_image(message.data, message.format).shape
            return replace(stream, size=(shape[1], shape[0]))
    except DataError:
        pass
    return stream


def _delivered(info: Any) -> tuple[int, int]:
    """Return the size of the images that a CameraInfo describes: cropped, then binned."""
    width, height = (info.roi.width or info.width), (info.roi.height or info.height)
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)
