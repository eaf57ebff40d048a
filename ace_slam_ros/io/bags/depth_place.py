"""What a bag tells of the places of its color and depth camera: frame ids, calibration, TF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.geometry.frame_names import frame_name
from ...core.geometry.se3 import invert_pose, pose_from_quaternion
from ..calibration import info_of_stream, known_camera
from ..registration import Registration, View, registration_of
from .file import TF, decode

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import Float64Array
    from .opening import AnyBag
    from .streams import Stream
    from .topics import Topics


def registration_in(
    bag: AnyBag, streams: Mapping[str, Stream], topics: Topics, color_camera: Camera
) -> tuple[Registration | None, str]:
    """Judge whether the depth of a bag is registered to color, see `registration_of`.

    Raises:
        DataError: the bag is damaged.
    """
    if topics.depth is None:
        return None, ""
    color, depth = streams[topics.color], streams[topics.depth]
    own = None
    if topics.depth_info is not None:
        info = copy(streams[topics.depth_info].info)
        own = None if info is None else known_camera(info_of_stream(info, depth.topic), depth.size)
    static = [t for t, kind in bag.types.items() if kind == TF and t.endswith("tf_static")]
    transforms = [decode(raw, TF) for _, _, raw in bag.messages(static)]
    return registration_of(
        View(color.frame_id, color_camera), View(depth.frame_id, own),
        pose_between(transforms, color.frame_id, depth.frame_id))


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


def _chain(
    parents: Mapping[str, tuple[str, Float64Array]], frame: str
) -> dict[str, Float64Array]:
    """Return {ancestor: T_ancestor_frame}, nearest first."""
    chain = {frame: np.eye(4)}
    top = frame
    while top in parents and parents[top][0] not in chain:
        parent, T_parent_top = parents[top]
        chain[parent] = T_parent_top @ chain[top]
        top = parent
    return chain
