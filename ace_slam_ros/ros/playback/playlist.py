"""What the player sends: a bag's messages as recorded bytes, a TUM folder's made on the fly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage

from ...core.errors import DataError
from ...io.bags.file import CAMERA_INFO, COMPRESSED, IMAGE, TF, TYPES
from ...io.bags.opening import open_bag
from ...io.bags.source import BagSource
from ...io.calibration import info_of_stream, is_rectified
from ...io.images import encode_jpeg
from ...io.open_source import open_source
from ...io.pairs import PairSource
from ..messages.conversions import byte_array, camera_to_msg, image_to_msg, make_header

if TYPE_CHECKING:
    from ...io.pairs import RawFrame
    from ...io.source import ReadOptions

COLOR, DEPTH, INFO, GROUNDTRUTH = "rgb/image", "depth/image", "rgb/camera_info", "groundtruth"
DEPTH_INFO = "depth/camera_info"
#: TF is played from so long before the first image: it must be known by then.
_LEAD_NS = 1_000_000_000
_OPTICAL_FRAME = "camera_color_optical_frame"


@dataclass(frozen=True)
class Item:
    """One message: when it was recorded, our topic name, CDR bytes or a message object."""

    time_ns: int
    topic: str
    data: Any


class Playlist(Protocol):
    """A recorded sequence as messages for the nodes.

    Attributes:
        types: our topic name -> message type such as "sensor_msgs/msg/Image".
        color_transport, depth_transport: as the parameters `ros.color_transport` and
            `ros.depth_transport` name them.
        pairs: synchronized image pairs in it.
        duration_s: from the first to the last pair.
        choice: which topics of a bag are played, by role; empty for a folder.
        device_names: what tells the camera, see `Source`.
    """

    types: dict[str, str]
    color_transport: str
    depth_transport: str
    pairs: int
    duration_s: float
    choice: dict[str, str]
    device_names: tuple[str, ...]

    def __iter__(self) -> Iterator[Item]:
        """Yield the messages in order of time; may be repeated."""


def open_playlist(
    path: Path, color_transport: str = "raw", options: ReadOptions | None = None
) -> Playlist:
    """Open a TUM folder or a rosbag2 for playing.

    Args:
        path: the sequence.
        color_transport: of a TUM folder, raw or compressed; a bag is sent as it was recorded.
        options: topics of a bag by name, and how its images are paired.

    Raises:
        DataError: nothing that can be played lies there.
    """
    source = open_source(path, options=options)
    if isinstance(source, BagSource):
        return BagPlaylist(source)
    if isinstance(source, PairSource):
        return TumPlaylist(source, color_transport)
    raise DataError(f"{path}: only TUM folders and rosbag2 can be played")


class BagPlaylist:
    """The camera's topics of a bag under our names, bytes as recorded, with TF.

    Our names do not tell that images are rectified: then camera_info is made to say it. Poses and
    TF long before or after the images are left out: a player that loops would wait for them.
    """

    def __init__(self, source: BagSource) -> None:
        self._path, self.choice = source.path, source.choice
        self.device_names = source.device_names
        self.pairs, self.duration_s = len(source), _duration_s(source.stamps_ns)
        topics, types = source.topics, source.types
        assert topics.depth is not None  # `open_source` refuses a bag without depth
        self.color_transport = "compressed" if types[topics.color] == COMPRESSED else "raw"
        self.depth_transport = "compressedDepth" if types[topics.depth] == COMPRESSED else "raw"
        first_ns, last_ns = source.recorded_ns
        self._window_ns = (first_ns - _LEAD_NS, last_ns + 1)
        self._names = {
            topics.color: with_transport(COLOR, self.color_transport),
            topics.depth: with_transport(DEPTH, self.depth_transport),
            topics.info: INFO,
        }
        self._images_of = {topics.info: topics.color}  # calibration -> its images
        if topics.depth_info:
            self._names[topics.depth_info] = DEPTH_INFO
            self._images_of[topics.depth_info] = topics.depth
        if topics.groundtruth:
            self._names[topics.groundtruth] = GROUNDTRUTH
        self._names.update({topic: topic for topic, kind in types.items() if kind == TF})
        self.types = {ours: types[theirs] for theirs, ours in self._names.items()}

    def __iter__(self) -> Iterator[Item]:
        """Yield the messages in order of recording; of an earlier calibration the last one."""
        early: dict[str, bytes] = {}
        with open_bag(self._path) as bag:
            for topic, recorded_ns, raw in bag.messages(self._names):
                if topic in self._images_of:
                    raw = _info_of_stream(raw, self._images_of[topic])
                time_ns = self._played_ns(topic, recorded_ns)
                if time_ns is None:
                    if topic in self._images_of and recorded_ns < self._window_ns[0]:
                        early[topic] = raw
                    continue
                for info, calibration in early.items():
                    yield Item(time_ns, self._names[info], calibration)
                early.clear()
                yield Item(time_ns, self._names[topic], raw)

    def _played_ns(self, topic: str, time_ns: int) -> int | None:
        """When a message is to be played; None = never. What is static holds at any time."""
        first_ns, last_ns = self._window_ns
        if topic.endswith("tf_static"):
            return min(max(time_ns, first_ns), last_ns)
        return time_ns if first_ns <= time_ns <= last_ns else None


class TumPlaylist:
    """A TUM folder as messages: color decoded (raw) or as its files, depth in meters."""

    def __init__(self, source: PairSource, color_transport: str) -> None:
        self._source, self.choice = source, source.choice
        self.device_names = source.device_names
        self.pairs, self.duration_s = len(source), _duration_s(source.stamps_ns)
        self.color_transport, self.depth_transport = color_transport, "raw"
        self.types = {
            INFO: CAMERA_INFO,
            with_transport(COLOR, color_transport):
                COMPRESSED if color_transport == "compressed" else IMAGE,
            DEPTH: IMAGE,
        }

    def __iter__(self) -> Iterator[Item]:
        """Yield calibration, color and depth of each usable pair in order of their stamps."""
        camera = self._source.raw_frames_camera
        for raw in self._source.raw_frames():
            depth_m = raw.depth_m()
            assert depth_m is not None  # `open_source` leaves out frames without depth
            # Meters keep the 0.2 mm steps of TUM files, which millimeters would round away.
            depth = image_to_msg(depth_m, raw.depth_stamp_ns, _OPTICAL_FRAME)
            info = camera_to_msg(camera, raw.stamp_ns, _OPTICAL_FRAME)
            items = [
                Item(raw.stamp_ns, INFO, info), self._color(raw),
                Item(raw.depth_stamp_ns, DEPTH, depth),
            ]
            yield from sorted(items, key=lambda item: item.time_ns)

    def _color(self, raw: RawFrame) -> Item:
        topic = with_transport(COLOR, self.color_transport)
        if self.color_transport == "compressed":
            header = make_header(raw.stamp_ns, _OPTICAL_FRAME)
            kept = isinstance(raw.color, bytes)  # files are not decoded until asked
            data = byte_array(raw.color if isinstance(raw.color, bytes)
                              else encode_jpeg(raw.color, 95))
            return Item(raw.stamp_ns, topic, CompressedImage(
                header=header, format=raw.color_format if kept else "jpeg", data=data))
        message = image_to_msg(raw.image(), raw.stamp_ns, _OPTICAL_FRAME)
        return Item(raw.stamp_ns, topic, message)


def with_transport(topic: str, transport: str) -> str:
    """Return the name of a topic's image_transport variant."""
    return topic if transport == "raw" else f"{topic}/{transport}"


def _info_of_stream(raw: bytes, images: str) -> bytes:
    """Return the calibration of the images on a topic, whose name is lost when it is played."""
    if not is_rectified(images):
        return raw
    info = info_of_stream(TYPES.deserialize_cdr(raw, CAMERA_INFO), images)
    return bytes(TYPES.serialize_cdr(info, CAMERA_INFO))


def _duration_s(stamps_ns: npt.NDArray[np.int64]) -> float:
    return float(stamps_ns[-1] - stamps_ns[0]) * 1e-9
