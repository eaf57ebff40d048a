"""Head weights as one self-describing blob: what shared memory carries and a map stores."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import MapError
from ..geometry.arrays import Float64Array

#: What writer and readers of the shared-memory segment must agree on.
PAYLOAD_SCHEMA = "ace_slam_ros/head/1"
_POSE_IDS, _POSES = "keyframe_ids", "keyframe_poses"


@dataclass(frozen=True)
class HeadInfo:
    """What a blob says of itself.

    Attributes:
        map_id: which map the weights belong to.
        encoder_hash: the encoder they were learned with.
        head: type of head; readers go by it.
        keyframes: how many keyframes taught them.
        next_keyframe: larger than every keyframe id the map has seen.
        corrections: how often the mapper corrected keyframe poses; `unpack_poses` has them.
        segments: numbers of the segments that are not joined to the map, see `core.segments`.
    """

    map_id: str
    encoder_hash: str
    head: str
    keyframes: int
    next_keyframe: int
    corrections: int = 0
    segments: tuple[int, ...] = ()


def pack_head(tensors: dict[str, Tensor], info: HeadInfo) -> bytes:
    """Return a safetensors blob of the weights with `info` as metadata."""
    return bytes(save(tensors, {
        "map_id": info.map_id, "encoder_hash": info.encoder_hash, "head": info.head,
        "keyframes": str(info.keyframes), "next_keyframe": str(info.next_keyframe),
        "corrections": str(info.corrections),
        "segments": " ".join(map(str, info.segments))}))


def read_info(blob: bytes) -> HeadInfo:
    """Read the metadata of a blob.

    Raises:
        MapError: it is not a head blob.
    """
    try:
        length = int.from_bytes(blob[:8], "little")
        meta = json.loads(blob[8:8 + length])["__metadata__"]
        return HeadInfo(meta["map_id"], meta["encoder_hash"], meta["head"],
                        int(meta["keyframes"]), int(meta["next_keyframe"]),
                        int(meta.get("corrections", 0)),
                        tuple(int(n) for n in meta.get("segments", "").split()))
    except (ValueError, KeyError, TypeError) as error:
        raise MapError(
            f"not head weights of ace_slam_ros ({error}): save the map again") from error


def unpack_tensors(blob: bytes) -> dict[str, Tensor]:
    """Return the weights of a blob by name.

    Raises:
        MapError: it is damaged.
    """
    try:
        return load(blob)
    except SafetensorError as error:
        raise MapError(f"head weights are damaged ({error}): save the map again") from error


def pack_poses(poses: dict[int, Float64Array]) -> dict[str, Tensor]:
    """Return keyframe poses (id -> T_map_cam) as tensors to go with the weights; none if empty.

    A tracker moves its own keyframes with them, so that it and the head stay in one map.
    """
    if not poses:
        return {}
    stacked = np.stack(list(poses.values()))[:, :3].astype(np.float32)
    return {_POSE_IDS: torch.tensor(list(poses), dtype=torch.int64),
            _POSES: torch.from_numpy(stacked)}


def unpack_poses(blob: bytes) -> dict[int, Float64Array]:
    """Return the keyframe poses that came with the weights of a blob.

    Raises:
        MapError: it is damaged.
    """
    tensors = unpack_tensors(blob)
    if _POSES not in tensors:
        return {}
    last_row = np.array([[0.0, 0.0, 0.0, 1.0]])
    return {int(i): np.concatenate([T.numpy().astype(np.float64), last_row])
            for i, T in zip(tensors[_POSE_IDS], tensors[_POSES], strict=True)}
