"""Head weights as one self-describing blob: what shared memory carries and a map stores."""

from __future__ import annotations

import json
from dataclasses import dataclass

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import MapError

#: What writer and readers of the shared-memory segment must agree on.
PAYLOAD_SCHEMA = "ace_slam_ros/head/1"


@dataclass(frozen=True)
class HeadInfo:
    """What a blob says of itself.

    Attributes:
        map_id: which map the weights belong to.
        encoder_hash: the encoder they were learned with.
        head: type of head; readers go by it.
        keyframes: how many keyframes taught them.
        next_keyframe: larger than every keyframe id the map has seen.
    """

    map_id: str
    encoder_hash: str
    head: str
    keyframes: int
    next_keyframe: int


def pack_head(tensors: dict[str, Tensor], info: HeadInfo) -> bytes:
    """Return a safetensors blob of the weights with `info` as metadata."""
    return bytes(save(tensors, {
        "map_id": info.map_id, "encoder_hash": info.encoder_hash, "head": info.head,
        "keyframes": str(info.keyframes), "next_keyframe": str(info.next_keyframe)}))


def read_info(blob: bytes) -> HeadInfo:
    """Read the metadata of a blob.

    Raises:
        MapError: it is not a head blob.
    """
    try:
        length = int.from_bytes(blob[:8], "little")
        meta = json.loads(blob[8:8 + length])["__metadata__"]
        return HeadInfo(meta["map_id"], meta["encoder_hash"], meta["head"],
                        int(meta["keyframes"]), int(meta["next_keyframe"]))
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
