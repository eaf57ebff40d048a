"""What a bag tells of the places of its color and depth camera: frame ids, calibration, TF."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import CalibrationError
from ...core.geometry.frame_names import frame_name
from ...core.geometry.se3 import invert_pose, pose_from_quaternion
from ..bag_topics import CAMERA_INFO
from ..calibration import camera_from_message, info_of_stream

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import Float64Array

TF = "tf2_msgs/msg/TFMessage"
#: The header of a message: four bytes of encoding, stamp, length of the frame id.
_LENGTH_AT, _NAME_AT = 12, 16


def depth_info_topic(depth: str, types: Mapping[str, str]) -> str | None:
    """Return the camera_info beside a depth topic, None without one."""
    for suffix in ("/compressed", "/compressedDepth"):
        depth = depth.removesuffix(suffix)
    topic = f"{depth.rpartition('/')[0]}/camera_info"
    return topic if types.get(topic) == CAMERA_INFO else None


def static_topics(types: Mapping[str, str]) -> list[str]:
    """Return the topics of transforms that do not move."""
    return [t for t, kind in types.items() if kind == TF and t.endswith("tf_static")]


def header_frame(raw: bytes) -> str:
    """Return the frame id of the std_msgs/Header that leads a serialized message."""
    if len(raw) < _NAME_AT:
        return ""
    length, = struct.unpack_from("<I" if raw[1] else ">I", raw, _LENGTH_AT)
    return frame_name(bytes(raw[_NAME_AT:_NAME_AT + length]).split(b"\x00")[0].decode(
        "utf-8", "replace"))


def camera_of_depth(info: Any, depth_topic: str, size: tuple[int, int] | None) -> Camera | None:
    """Return the camera of depth images; None when their calibration says nothing."""
    try:
        return camera_from_message(info_of_stream(info, depth_topic), size)
    except CalibrationError:
        return None


def pose_between(messages: Iterable[Any], target: str, source: str) -> Float64Array | None:
    """Return T_target_source (4, 4) from messages of static transforms; None if unconnected."""
    parents: dict[str, tuple[str, Float64Array]] = {}
    for message in messages:
        for item in message.transforms:
            t, q = item.transform.translation, item.transform.rotation
            quaternion = np.array([q.x, q.y, q.z, q.w])
            if np.linalg.norm(quaternion) > 1e-3:
                parents[frame_name(item.child_frame_id)] = (
                    frame_name(item.header.frame_id),
                    pose_from_quaternion(np.array([t.x, t.y, t.z]), quaternion))
    up_target, up_source = _chain(parents, target), _chain(parents, source)
    for frame, T_frame_source in up_source.items():
        if frame in up_target:
            return invert_pose(up_target[frame]) @ T_frame_source
    return None


def _chain(parents: Mapping[str, tuple[str, Float64Array]], frame: str) -> (
    dict[str, Float64Array]
):
    """Return {ancestor: T_ancestor_frame}, nearest first."""
    chain = {frame: np.eye(4)}
    top = frame
    while top in parents and parents[top][0] not in chain:
        parent, T_parent_top = parents[top]
        chain[parent] = T_parent_top @ chain[top]
        top = parent
    return chain
