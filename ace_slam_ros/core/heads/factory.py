"""Make heads by their type: learners from the configuration, frozen heads from a blob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..config.fields import add_choice
from ..errors import MapError
from .affine.head import HEAD_TYPE as AFFINE
from .affine.head import AffineHead
from .affine.learner import AffineLearner
from .neural.learner import HOMMLP, TRIMLP, GradientHead, GradientLearner
from .payload import HeadInfo, unpack_head

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.poses import SubmapPose
    from ..encoders.base import Encoder
    from .base import HeadLearner, SceneHead

#: Room for the description of the tensors in a blob.
_DESCRIPTION_BYTES = 64 << 10
#: Id, pose and submap of a keyframe, which travel with the weights.
_KEYFRAME_BYTES = 8 + 12 * 4 + 1
_LEAST_CAPACITY_BYTES = 4 << 20


@dataclass(frozen=True)
class HeadKind:
    """How the heads of one type are made.

    Attributes:
        make_learner: returns an empty learner.
        make_head: returns the frozen head of exported weights, by name; raises `MapError` when
            they do not fit.
        weights_bytes: of the largest weights that a learner exports.
    """

    make_learner: Callable[[SlamConfig, Encoder], HeadLearner]
    make_head: Callable[[dict[str, Tensor], Encoder, SlamConfig], SceneHead]
    weights_bytes: Callable[[SlamConfig, Encoder], int]


_registered: dict[str, HeadKind] = {}


def register_head(head_type: str, kind: HeadKind) -> None:
    """Offer a head of one's own as `head.type`, in every process that calls this.

    Args:
        head_type: for the parameter, and for the maps that are made with it.
        kind: how learners and frozen heads are made.

    Raises:
        MapError: a head of this package has the name.
    """
    if head_type in (AFFINE, TRIMLP, HOMMLP):
        raise MapError(f"head type '{head_type}' is one of ace_slam_ros: choose another name")
    _registered[head_type] = kind
    add_choice("head.type", head_type)


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
    if head_type == AFFINE:
        return AffineLearner(config.head, config.sensor, encoder.codebook, encoder.device)
    if head_type in (TRIMLP, HOMMLP):
        return GradientLearner(head_type, config.head, config.sensor, config.seed,
                               encoder.dimension, encoder.device)
    if head_type in _registered:
        return _registered[head_type].make_learner(config, encoder)
    raise _unknown(head_type)


@dataclass(frozen=True)
class LoadedHead:
    """A frozen head, and what came with its weights; see `HeadBlob`."""

    head: SceneHead
    info: HeadInfo
    keyframe_poses: dict[int, SubmapPose]


def load_head(blob: bytes, encoder: Encoder, config: SlamConfig) -> LoadedHead:
    """Return the head of a blob; its type is the one the blob names, not the configured one.

    Raises:
        MapError: damaged, of another encoder, or of an unknown type.
    """
    unpacked = unpack_head(blob)
    info, tensors = unpacked.info, unpacked.tensors
    if info.encoder_hash != encoder.hash:
        raise MapError(
            f"the map was made with encoder {info.encoder_hash}, this one is {encoder.hash}: "
            "use the same encoder weights, or map again")
    head: SceneHead
    if info.head in (TRIMLP, HOMMLP):
        head = GradientHead(info.head, tensors, encoder.device)
    elif info.head == AFFINE:
        head = AffineHead(tensors, encoder.codebook, encoder.device, config.head.neighbors)
    elif info.head in _registered:
        head = _registered[info.head].make_head(tensors, encoder, config)
    else:
        raise _unknown(info.head)
    return LoadedHead(head, info, unpacked.keyframe_poses)


def head_capacity_bytes(config: SlamConfig, encoder: Encoder) -> int:
    """Return the bytes of the largest blob any learner of this configuration exports.

    Of registered heads the configured one counts. At least 4 MB, for maps that were made with
    other settings of the head.
    """
    head = config.head
    words = len(encoder.codebook.words_KD)
    experts = min(words * head.experts_per_word, head.max_experts)
    affine = words + experts * (3 * head.inputs + 11)
    width = head.hidden_width
    outputs = max(head.grid_votes, 3 * head.grid_cells**2)
    network = 2 * (encoder.dimension + 1 + (head.hidden_layers - 1) * (width + 1)) * width + (
        2 * (width + 1) * outputs)
    beside = _DESCRIPTION_BYTES + config.keyframe.max_count * _KEYFRAME_BYTES
    kind = _registered.get(head.type)
    other = 0 if kind is None else kind.weights_bytes(config, encoder)
    return max(_LEAST_CAPACITY_BYTES, *(size + beside for size in (affine, network, other)))


def _unknown(head_type: str) -> MapError:
    return MapError(f"head type '{head_type}' is unknown here: update ace_slam_ros, or import the "
                    "module that registers it")
