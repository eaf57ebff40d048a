"""Make heads by their type: learners from the configuration, frozen heads from a blob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config.fields import add_choice
from ..errors import MapError
from .aceg.head import HEAD_TYPE as ACEG
from .aceg.head import KEYS, AcegHead
from .affine.head import HEAD_TYPE as AFFINE
from .affine.head import AffineHead
from .combined import PLUS, CombinedHead, CombinedLearner, split
from .neural import HOMMLP, TRIMLP
from .payload import HeadInfo, unpack_head

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.poses import SubmapPose
    from ..encoders.base import Encoder
    from .base import HeadLearner, SceneHead
    from .payload import Arrays
#: Room for the description of the tensors in a blob.
_DESCRIPTION_BYTES = 64 << 10
#: Id, pose and submap of a keyframe, which travel with the weights.
_KEYFRAME_BYTES = 8 + 12 * 4 + 1
_LEAST_CAPACITY_BYTES = 4 << 20


@dataclass(frozen=True)
class HeadKind:
    """How the heads of one type are made; what needs torch is imported when it is made.

    Attributes:
        make_learner: returns an empty learner.
        make_head: returns the frozen head of exported weights, by name; raises `MapError` when
            they do not fit.
        weights_bytes: of the largest weights that a learner exports.
    """

    make_learner: Callable[[SlamConfig, Encoder], HeadLearner]
    make_head: Callable[[Arrays, Encoder, SlamConfig], SceneHead]
    weights_bytes: Callable[[SlamConfig, Encoder], int]


def _affine_learner(config: SlamConfig, encoder: Encoder) -> HeadLearner:
    from .affine.learner import AffineLearner

    return AffineLearner(config.head, config.sensor, encoder.codebook, encoder.device)


def _affine_head(arrays: Arrays, encoder: Encoder, config: SlamConfig) -> SceneHead:
    return AffineHead(arrays, encoder.codebook, config.head.neighbors)


def _affine_bytes(config: SlamConfig, encoder: Encoder) -> int:
    words = len(encoder.codebook.words_KD)
    experts = min(words * config.head.experts_per_word, config.head.max_experts)
    return words + experts * (3 * config.head.inputs + 11)


def _aceg_learner(config: SlamConfig, encoder: Encoder) -> HeadLearner:
    from .aceg.learner import AcegLearner
    from .aceg.regressor import regressor_for

    return AcegLearner(config.head, config.sensor, regressor_for(encoder))


def _aceg_head(arrays: Arrays, encoder: Encoder, config: SlamConfig) -> SceneHead:
    from .aceg.regressor import regressor_for

    return AcegHead(arrays, regressor_for(encoder))


def _aceg_bytes(config: SlamConfig, encoder: Encoder) -> int:
    return config.head.tokens * (KEYS + 9)


def _network_kind(head_type: str) -> HeadKind:
    def make_learner(config: SlamConfig, encoder: Encoder) -> HeadLearner:
        from .neural.learner import GradientLearner

        return GradientLearner(head_type, config.head, config.sensor, config.seed,
                               encoder.dimension, encoder.device)

    def make_head(arrays: Arrays, encoder: Encoder, config: SlamConfig) -> SceneHead:
        from .neural.learner import GradientHead

        return GradientHead(head_type, arrays, encoder.device)

    return HeadKind(make_learner, make_head, _network_bytes)


def _network_bytes(config: SlamConfig, encoder: Encoder) -> int:
    head = config.head
    width, outputs = head.hidden_width, max(head.grid_votes, 3 * head.grid_cells**2)
    trunk = (encoder.dimension + 1 + (head.hidden_layers - 1) * (width + 1)) * width
    return 2 * trunk + 2 * (width + 1) * outputs


def _combined_kind(kinds: dict[str, HeadKind]) -> HeadKind:
    def make_head(arrays: Arrays, encoder: Encoder, config: SlamConfig) -> SceneHead:
        parts = split(arrays, tuple(kinds))
        return CombinedHead({name: kind.make_head(parts[name], encoder, config)
                             for name, kind in kinds.items()})

    return HeadKind(
        lambda config, encoder: CombinedLearner(
            {name: kind.make_learner(config, encoder) for name, kind in kinds.items()}),
        make_head,
        lambda config, encoder: sum(k.weights_bytes(config, encoder) for k in kinds.values()))


_SINGLE: dict[str, HeadKind] = {
    AFFINE: HeadKind(_affine_learner, _affine_head, _affine_bytes),
    ACEG: HeadKind(_aceg_learner, _aceg_head, _aceg_bytes),
    TRIMLP: _network_kind(TRIMLP), HOMMLP: _network_kind(HOMMLP)}
_OURS = _SINGLE | {PLUS.join(names): _combined_kind({name: _SINGLE[name] for name in names})
                   for names in ((AFFINE, ACEG),)}
_kinds = dict(_OURS)


def register_head(head_type: str, kind: HeadKind) -> None:
    """Offer a head of one's own as `head.type`, in every process that calls this.

    Args:
        head_type: for the parameter, and for the maps that are made with it.
        kind: how learners and frozen heads are made.

    Raises:
        MapError: a head of this package has the name.
    """
    if head_type in _OURS:
        raise MapError(f"head type '{head_type}' is one of ace_slam_ros: choose another name")
    _kinds[head_type] = kind
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
    return _kind(head_type or config.head.type).make_learner(config, encoder)


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
    info = unpacked.info
    if info.encoder_hash != encoder.hash:
        raise MapError(
            f"the map was made with encoder {info.encoder_hash}, this one is {encoder.hash}: "
            "use the same encoder weights, or map again")
    head = _kind(info.head).make_head(unpacked.arrays, encoder, config)
    return LoadedHead(head, info, unpacked.keyframe_poses)


def head_capacity_bytes(config: SlamConfig, encoder: Encoder) -> int:
    """Return the bytes of the largest blob any learner of this configuration exports.

    At least 4 MB, for maps that were made with other settings of the head.
    """
    largest = max(kind.weights_bytes(config, encoder) for name, kind in _kinds.items()
                  if name in _OURS or name == config.head.type)
    beside = _DESCRIPTION_BYTES + config.keyframe.max_count * _KEYFRAME_BYTES
    return max(_LEAST_CAPACITY_BYTES, largest + beside)


def _kind(head_type: str) -> HeadKind:
    if head_type not in _kinds:
        raise MapError(f"head type '{head_type}' is unknown here: update ace_slam_ros, or import "
                       "the module that registers it")
    return _kinds[head_type]
