"""Head weights as one self-describing blob: what shared memory carries and a map stores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..data.poses import SubmapPose
from ..errors import MapError

#: What writer and readers of the shared-memory segment must agree on.
PAYLOAD_SCHEMA = "ace_slam_ros/head/2"
#: Weights by name: arrays, so that who reads them needs no torch.
Arrays = dict[str, npt.NDArray[Any]]
_POSE_IDS, _POSES, _POSE_SUBMAPS = "keyframe_ids", "keyframe_poses", "keyframe_submaps"


@dataclass(frozen=True)
class HeadInfo:
    """What a blob says of itself.

    Attributes:
        map_id: which map the weights belong to.
        encoder_hash: the encoder they were learned with.
        head: type of head; readers go by it.
        keyframes: how many keyframes taught them.
        next_keyframe: larger than every keyframe id the map has seen.
        map_revision: how often the mapper corrected keyframe poses; `HeadBlob.keyframe_poses` are
            those after the last correction.
        submaps: numbers of the submaps that are not joined to the map, see `data.submaps`.
        answers: the newest map begun by the tracker that the writer knew of, see `with_answer`;
            None when the writer does not say.
    """

    map_id: str
    encoder_hash: str
    head: str
    keyframes: int
    next_keyframe: int
    map_revision: int = 0
    submaps: tuple[int, ...] = ()
    answers: str | None = None


@dataclass(frozen=True)
class HeadBlob:
    """A blob, taken apart.

    Attributes:
        info: what it says of itself.
        arrays: the weights by name.
        keyframe_poses: by keyframe id, for a tracker to follow a correction; none without one.
    """

    info: HeadInfo
    arrays: Arrays
    keyframe_poses: dict[int, SubmapPose]


def pack_head(
    arrays: Arrays, info: HeadInfo, poses: dict[int, SubmapPose] | None = None
) -> bytes:
    """Return a safetensors blob of the weights, with `info` as metadata.

    `poses` of the keyframes go with it, so that a tracker can move its own and stays in one map
    with the head.
    """
    return bytes(save(arrays | _pack_poses(poses or {}), {
        "map_id": info.map_id, "encoder_hash": info.encoder_hash, "head": info.head,
        "keyframes": str(info.keyframes), "next_keyframe": str(info.next_keyframe),
        "map_revision": str(info.map_revision),
        "submaps": " ".join(map(str, info.submaps))}))


def with_answer(blob: bytes, begun: str) -> bytes:
    """Return a blob that names the newest map begun by the tracker that its writer knows of.

    A tracker that began a map takes weights of another one only when they answer its own: others
    were written before the mapper knew.

    Raises:
        MapError: it is not a head blob.
    """
    try:
        end = 8 + int.from_bytes(blob[:8], "little")
        header = json.loads(blob[8:end])
        header["__metadata__"] |= {"answers": begun}
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(error) from error
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + blob[end:]


def read_info(blob: bytes) -> HeadInfo:
    """Read only what a blob says of itself.

    Raises:
        MapError: it is not a head blob.
    """
    try:
        meta = read_metadata(blob)
        return HeadInfo(meta["map_id"], meta["encoder_hash"], meta["head"],
                        int(meta["keyframes"]), int(meta["next_keyframe"]),
                        int(meta.get("map_revision", 0)),
                        tuple(int(n) for n in meta.get("submaps", "").split()),
                        meta.get("answers"))
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(error) from error


def read_metadata(blob: bytes) -> dict[str, str]:
    """Return the metadata of a blob as they are written.

    Raises:
        MapError: it is not a head blob.
    """
    try:
        length = int.from_bytes(blob[:8], "little")
        return dict(json.loads(blob[8:8 + length])["__metadata__"])
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(error) from error


def unpack_head(blob: bytes) -> HeadBlob:
    """Take a blob apart.

    Raises:
        MapError: it is damaged, or not a head blob.
    """
    info, arrays = read_info(blob), unpack_arrays(blob)
    if _POSES not in arrays:
        return HeadBlob(info, arrays, {})
    ids, poses = arrays.pop(_POSE_IDS), arrays.pop(_POSES).astype(np.float64)
    submaps = arrays.pop(_POSE_SUBMAPS, np.zeros(len(ids)))
    last_row = np.array([[0.0, 0.0, 0.0, 1.0]])
    return HeadBlob(info, arrays, {
        int(i): SubmapPose(np.concatenate([T, last_row]), submap=int(submap))
        for i, T, submap in zip(ids, poses, submaps, strict=True)})


def unpack_arrays(blob: bytes) -> Arrays:
    """Return all arrays of a blob by name.

    Raises:
        MapError: it is damaged.
    """
    try:
        return load(blob)
    except SafetensorError as error:
        raise MapError(f"head weights are damaged ({error}): save the map again") from error


def _pack_poses(poses: dict[int, SubmapPose]) -> Arrays:
    """Return keyframe poses as arrays to go with the weights; none if empty."""
    if not poses:
        return {}
    stacked = np.stack([pose.T_map_cam for pose in poses.values()])[:, :3].astype(np.float32)
    return {_POSE_IDS: np.array(list(poses), np.int64), _POSES: stacked,
            _POSE_SUBMAPS: np.array([p.submap for p in poses.values()], np.uint8)}


def _foreign(error: Exception) -> MapError:
    return MapError(f"not head weights of ace_slam_ros ({error}): save the map again")
