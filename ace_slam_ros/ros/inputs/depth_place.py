"""From where live depth images are taken, and how they come into the color image."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from ...core.errors import DataError
from ...core.geometry.frame_names import frame_name
from ...io.calibration import info_of_stream, known_camera
from ...io.registration import Registration, View, frames_apart, registration_of
from ..messages.conversions import frame_from_msgs
from ..qos import sensor_qos
from ..tf.factory import make_transforms

if TYPE_CHECKING:
    from ...core.config.sections import SensorConfig
    from ...core.data.frame import Frame
    from ..tf.interface import Transforms
    from .synchronizer import ImagePair


class DepthPlace:
    """Judges each pair by the rule of recordings, see `registration_of`.

    One message of `depth/camera_info` is enough; then its subscription is dropped. Where color
    and depth are in different frames, pairs wait `WAIT_S` for it and for TF.

    Args:
        node: whose names count.
        transforms: know the way between the cameras.

    Attributes:
        said: what is said of the last pair; empty when depth is registered as it comes.
    """

    WAIT_S = 3.0

    def __init__(self, node: Node, transforms: Transforms) -> None:
        self._node, self._transforms = node, transforms
        self._depth_topic = node.resolve_topic_name("depth/image")
        self._info: Any = None
        self._since_s: float | None = None
        self._settled: tuple[Any, Registration | None] | None = None
        self.said = ""
        self._subscription: Any = node.create_subscription(
            CameraInfo, "depth/camera_info", self._take, sensor_qos())

    def _take(self, msg: CameraInfo) -> None:
        self._info = info_of_stream(msg, self._depth_topic)
        self._settled = None
        self.close()

    def of(self, pair: ImagePair) -> Registration | None:
        """Return how the depth of a pair comes into its color image; None = as it is.

        Raises:
            DataError: it may become known yet.
        """
        color, depth = (frame_name(m.header.frame_id) for m in (pair.color, pair.depth))
        size = _size(pair.depth)
        asked = color, depth, size, self._info is None
        if self._settled is not None and self._settled[0] == asked:
            return self._settled[1]
        found, said = self._judge(pair, color, depth, size)
        if found is not None or not said:
            self._settled = asked, found
        if said and said != self.said:
            self._node.get_logger().warning(said)
        self.said = said
        return found

    def _judge(
        self, pair: ImagePair, color: str, depth: str, size: tuple[int, int]
    ) -> tuple[Registration | None, str]:
        T_color_depth = None
        if color != depth:
            T_color_depth = self._transforms.lookup(color, depth, pair.stamp_ns)
        own = None if self._info is None else known_camera(self._info, size)
        found = registration_of(
            View(color, known_camera(pair.info, _size(pair.color))), View(depth, own),
            T_color_depth)
        if found[0] is None and found[1] and (own is None or T_color_depth is None):
            now_s = time.monotonic()
            self._since_s = now_s if self._since_s is None else self._since_s
            if now_s - self._since_s < self.WAIT_S:
                raise DataError(f"waiting for TF {color} -> {depth} and depth/camera_info: depth "
                                "is of another camera")
        return found

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None


class DepthPlaceOnDemand:
    """A `DepthPlace` that listens to TF only from the first pair on that needs it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._made: tuple[DepthPlace, Transforms] | None = None

    def look_at(self, pair: ImagePair) -> None:
        """Start to listen if a pair's depth is of another camera; in the executor's thread."""
        if self._made is None and frames_apart(
                pair.color.header.frame_id, pair.depth.header.frame_id):
            transforms = make_transforms(self._node)
            self._made = DepthPlace(self._node, transforms), transforms

    def of(self, pair: ImagePair) -> Registration | None:
        """Return how the depth of a pair comes into its color image, see `DepthPlace.of`."""
        return None if self._made is None else self._made[0].of(pair)

    @property
    def said(self) -> str:
        """What is said of the last pair."""
        return "" if self._made is None else self._made[0].said

    def close(self) -> None:
        """Stop listening."""
        if self._made is not None:
            for part in self._made:
                part.close()
            self._made = None


def frame_of(
    pair: ImagePair, place: DepthPlace | DepthPlaceOnDemand, sensor: SensorConfig, *,
    require_depth: bool = True, gray: bool = False,
) -> Frame:
    """Decode a pair of the camera, with its depth moved into its color image where it must be.

    Every node that looks at pairs takes this way; the options are those of `frame_from_msgs`.

    Raises:
        DataError: it cannot be decoded, or it may become known yet where its depth is.
    """
    return frame_from_msgs(
        pair.color, pair.depth, pair.info, require_depth=require_depth, gray=gray,
        depth_unit_m=sensor.depth_unit_m, registration=place.of(pair))


def _size(image: Any) -> tuple[int, int]:
    """Width and height of an image; zeros of a compressed one, whose message does not say."""
    return getattr(image, "width", 0), getattr(image, "height", 0)
