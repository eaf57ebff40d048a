"""Recordings of realsense-viewer and rs-record, shown as what the ROS driver would have recorded.

They are ROS 1 bags with topics of their own, without frames or TF. Source: librealsense,
src/media/ros.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.geometry.se3 import invert_pose, pose_from_quaternion, quaternion_from_pose
from ..realsense.factory_calibration import ros_lens_model
from .file import CAMERA_INFO, IMAGE, TF, TYPES, decode

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from .file import BagFile

TF_STATIC = "/tf_static"
_TOPIC = re.compile(
    r"/(device_\d+)/(sensor_\d+)/([A-Za-z]+)_(\d+)/(image/data|info/camera_info|tf/\d+)")
_OURS = {"image/data": "image_raw", "info/camera_info": "camera_info"}
_INFO, _KEY_VALUE = re.compile(r"/device_\d+/info"), "diagnostic_msgs/msg/KeyValue"
_MILLIMETER = 0.001


def is_recording(types: Collection[str]) -> bool:
    """Tell whether a bag with these topics comes from librealsense."""
    return any(_TOPIC.fullmatch(topic) for topic in types)


class RecorderBag:
    """A recording of librealsense with the interface of `BagFile`.

    Topics are `/device_0/color/image_raw`, `.../camera_info`, `/device_0/depth/image_raw` and so
    on; images have the optical frame of their stream; `/tf_static` holds the factory calibration.
    Depth in millimeters stays so, of other units it becomes meters.
    """

    def __init__(self, bag: BagFile) -> None:
        self.path, self._bag = bag.path, bag
        self.types, self.counts = {TF_STATIC: TF}, Counter({TF_STATIC: 1})
        self._theirs: dict[str, str] = {}
        self._frames: dict[str, str] = {}
        transforms: list[tuple[str, str]] = []
        for topic, kind in bag.types.items():
            if (found := _TOPIC.fullmatch(topic)) is None:
                continue
            device, _, stream, number, what = found.groups()
            name = stream.lower().replace("infrared", "infra") + (number if number != "0" else "")
            frame = f"{device}_{name}_optical_frame"
            if what.startswith("tf/"):
                transforms.append((topic, frame))
                continue
            ours = f"/{device}/{name}/{_OURS[what]}"
            self.types[ours], self.counts[ours] = kind, bag.counts[topic]
            self._theirs[ours], self._frames[ours] = topic, frame
        self._ours = {theirs: ours for ours, theirs in self._theirs.items()}
        self._tf = _tf_message(bag, transforms)
        self._units_m: dict[str, float] = {}

    @property
    def device_names(self) -> tuple[str, ...]:
        """What the library called the cameras."""
        topics = [topic for topic, kind in self._bag.types.items()
                  if _INFO.fullmatch(topic) and kind == _KEY_VALUE]
        if not topics:
            return ()
        told = [decode(raw, _KEY_VALUE) for _, _, raw in self._bag.messages(topics)]
        return tuple(str(item.value) for item in told if item.key == "Name")

    def messages(
        self, topics: Collection[str | None], start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield messages as `BagFile` does; transforms come first, whatever the time is."""
        wanted = [self._theirs[topic] for topic in topics if topic in self._theirs]
        untold = TF_STATIC in topics
        for topic, time_ns, raw in self._bag.messages(
                wanted or [*self._ours], start_ns, stop_ns):
            if untold:
                yield TF_STATIC, time_ns, self._tf
                untold = False
            if not wanted:
                return
            yield self._ours[topic], time_ns, self._edited(self._ours[topic], raw)

    def _edited(self, topic: str, raw: bytes) -> bytes:
        """Return a message as the ROS driver would have sent it."""
        kind = self.types[topic]
        message = decode(raw, kind)
        message.header.frame_id = self._frames[topic]
        if kind == CAMERA_INFO:
            message.distortion_model = ros_lens_model(message.distortion_model)
            message.r = np.eye(3).ravel()
            message.p = np.hstack([message.k.reshape(3, 3), np.zeros((3, 1))]).ravel()
        elif kind == IMAGE and "/depth/" in topic:
            message.encoding = "16UC1"
            if not np.isclose(unit_m := self._unit_m(topic), _MILLIMETER, rtol=1e-3):
                _to_meters(message, unit_m)
        return bytes(TYPES.serialize_cdr(message, kind))

    def _unit_m(self, topic: str) -> float:
        """Meters per unit of a depth topic."""
        if topic not in self._units_m:
            sensor = self._theirs[topic].split("/")[1:3]
            option = f"/{'/'.join(sensor)}/option/Depth_Units/value"
            kind, self._units_m[topic] = self._bag.types.get(option), _MILLIMETER
            if kind == "std_msgs/msg/Float32":
                for _, _, raw in self._bag.messages([option]):
                    self._units_m[topic] = float(decode(raw, kind).data)
                    break
        return self._units_m[topic]


def _to_meters(message: Any, unit_m: float) -> None:
    """Turn a depth image, in place, into 32FC1."""
    rows = message.data.reshape(message.height, message.step)[:, :2 * message.width]
    stored = np.ascontiguousarray(rows).view("<u2")
    depth_m = (stored * np.float64(unit_m)).astype("<f4")
    message.encoding, message.step = "32FC1", 4 * message.width
    message.data = depth_m.reshape(-1).view(np.uint8)


def _tf_message(bag: BagFile, transforms: list[tuple[str, str]]) -> bytes:
    """Return the message of all transforms: from a reference, one per group, to each stream.

    What is recorded takes points of the reference to the stream.
    """
    items = []
    for topic, frame in transforms:
        device, reference = topic.split("/")[1], topic.rpartition("/")[2]
        for _, _, raw in bag.messages([topic]):
            told = decode(raw, "geometry_msgs/msg/Transform")
            t, q = told.translation, told.rotation
            T_stream_reference = pose_from_quaternion(
                np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w]))
            items.append(_stamped(
                f"{device}_reference_{reference}", frame, invert_pose(T_stream_reference)))
            break
    return bytes(TYPES.serialize_cdr(TYPES.types[TF](transforms=items), TF))


def _stamped(parent: str, child: str, T_parent_child: Float64Array) -> Any:
    """Return a TransformStamped."""
    x, y, z = (float(v) for v in T_parent_child[:3, 3])
    qx, qy, qz, qw = (float(v) for v in quaternion_from_pose(T_parent_child))
    make = TYPES.types
    return make["geometry_msgs/msg/TransformStamped"](
        header=make["std_msgs/msg/Header"](
            stamp=make["builtin_interfaces/msg/Time"](sec=0, nanosec=0), frame_id=parent),
        child_frame_id=child,
        transform=make["geometry_msgs/msg/Transform"](
            translation=make["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
            rotation=make["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw)))
