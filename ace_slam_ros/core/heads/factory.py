"""Make heads by their type: learners from the configuration, frozen heads from a blob."""

from __future__ import annotations

from ..config import SlamConfig
from ..encoder import Encoder
from ..errors import MapError
from .affine import AffineHead, AffineLearner
from .payload import HeadInfo, read_info, unpack_tensors
from .protocol import HeadLearner, SceneHead

#: Room for the description of the tensors in a blob.
_DESCRIPTION_BYTES = 64 << 10
_LEAST_CAPACITY_BYTES = 4 << 20


def make_learner(
    config: SlamConfig, encoder: Encoder, head_type: str | None = None
) -> HeadLearner:
    """Return an empty learner.

    Args:
        config: head, sensor and seed are used.
        encoder: whose descriptors are learned.
        head_type: instead of `head.type`, to continue a map of another kind.

    Raises:
        MapError: the type is unknown.
    """
    head_type = head_type or config.head.type
    if head_type == "affine":
        return AffineLearner(config.head, config.sensor, encoder.codebook, encoder.device)
    raise _unknown(head_type)


def load_head(
    blob: bytes, encoder: Encoder, config: SlamConfig
) -> tuple[SceneHead, HeadInfo]:
    """Return the head of a blob; its type is the one the blob names, not the configured one.

    Raises:
        MapError: damaged, of another encoder, or of an unknown type.
    """
    info = read_info(blob)
    if info.encoder_hash != encoder.hash:
        raise MapError(
            f"the map was made with encoder {info.encoder_hash}, this one is {encoder.hash}: "
            "use the same encoder weights, or map again")
    if info.head == "affine":
        return AffineHead(unpack_tensors(blob), encoder.codebook, encoder.device,
                          config.head.neighbours), info
    raise _unknown(info.head)


def head_capacity_bytes(config: SlamConfig, encoder: Encoder) -> int:
    """Return the bytes of the largest blob any learner of this configuration exports.

    At least 4 MB, for maps that were made with other settings of the head.
    """
    expert = 3 * config.head.inputs + 10
    words = len(encoder.codebook.words_KD)
    affine = words * (1 + config.head.experts_per_word * expert)
    return max(_LEAST_CAPACITY_BYTES, affine + _DESCRIPTION_BYTES)


def _unknown(head_type: str) -> MapError:
    return MapError(f"head type '{head_type}' is unknown here: update ace_slam_ros")
