"""Asks the relocalizer and scores its answers: recall, wrong answers, calibration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.base import Encoder
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.geometry.arrays import Float64Array
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.localization.relocalizer import RelocalizationReason, Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper

from .known_poses import PosedFrame, describe
from .relocalization_queries import Query

NEAR_M, NEAR_DEG = 0.10, 5.0
_BINS = 10


@dataclass(frozen=True)
class Answer:
    """What came back to a query.

    Attributes:
        case, value: of the query.
        known: the map knows the place.
        answered: a pose was given as good.
        right: the pose, good or not, is within 10 cm and 5 degrees of the truth.
        has_pose: there was any pose.
        probability: that it is right, as claimed.
        reason: name of `RelocalizationReason`.
        latency_ms: time of the query.
    """

    case: str
    value: float
    known: bool
    answered: bool
    right: bool
    has_pose: bool
    probability: float
    reason: str
    latency_ms: float

    @property
    def wrong(self) -> bool:
        """Whether it was given as good and is not."""
        return self.answered and not self.right


def make_head(config: SlamConfig, encoder: Encoder, mapped: Sequence[PosedFrame]) -> bytes:
    """Return the head of a map of keyframes at the true poses of views."""
    def extract(frame: Frame) -> Features:
        return extract_features(encoder, frame, config.features, config.sensor)

    mapper = Mapper(config.with_values({"mapper.pose_graph": False}), encoder, map_id="benchmark")
    for number, view in enumerate(describe(mapped, extract)):
        mapper.add_keyframe(view.keyframe(number), "benchmark")
    mapper.work(float("inf"))
    return mapper.export_head()


def make_relocalizer(
    config: SlamConfig, encoder: Encoder, mapped: Sequence[PosedFrame]
) -> Relocalizer:
    """Return a relocalizer in the map of `make_head`."""
    relocalizer = Relocalizer(config, encoder)
    relocalizer.set_head(make_head(config, encoder, mapped), 1)
    return relocalizer


def is_right(query: Query, T_map_cam: Float64Array | None) -> bool:
    """Tell whether a pose is within 10 cm and 5 degrees of that of a query."""
    if query.T_map_cam is None or T_map_cam is None:
        return False
    error_m, error_rad = pose_error(T_map_cam, query.T_map_cam)
    return bool(error_m <= NEAR_M and np.degrees(error_rad) <= NEAR_DEG)


def ask(relocalizer: Relocalizer, queries: Iterable[Query]) -> list[Answer]:
    """Ask one query after the other."""
    answers = []
    for query in queries:
        found = relocalizer.locate(query.frame)
        answers.append(Answer(
            query.case, query.value, query.T_map_cam is not None, found.success,
            is_right(query, found.T_map_cam),
            found.T_map_cam is not None, found.probability,
            RelocalizationReason(found.reason).name, found.latency_ms))
    return answers


def recall(answers: Sequence[Answer]) -> float | None:
    """Share of queries of known places that were answered rightly."""
    asked = [a for a in answers if a.known]
    return sum(a.answered and a.right for a in asked) / len(asked) if asked else None


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the figures of some answers."""
    reasons: dict[str, int] = defaultdict(int)
    for answer in answers:
        reasons[answer.reason] += 1
    return {
        "queries": len(answers), "recall": recall(answers),
        "wrong": sum(a.wrong for a in answers), "reasons": dict(reasons),
        "latency_ms": {f"p{p}": float(np.percentile([a.latency_ms for a in answers], p))
                       for p in (50, 95)} if answers else None}


def by_value(answers: Sequence[Answer]) -> dict[float, dict[str, Any]]:
    """Return the figures of each value of a case."""
    return {value: summary([a for a in answers if a.value == value])
            for value in sorted({a.value for a in answers})}


def calibration(answers: Sequence[Answer]) -> tuple[float | None, list[dict[str, float]]]:
    """Expected calibration error of the probabilities that answers claim, and its bins."""
    posed = [a for a in answers if a.has_pose]
    return calibration_error(np.array([a.probability for a in posed]),
                             np.array([a.right for a in posed]))


def calibration_error(
    claimed: npt.NDArray[Any], right: npt.NDArray[Any]
) -> tuple[float | None, list[dict[str, float]]]:
    """Expected calibration error of claimed probabilities (N,), and the bins it is from.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    if not len(claimed):
        return None, []
    which = np.minimum((claimed * _BINS).astype(int), _BINS - 1)
    bins = [{"claimed": float(claimed[which == b].mean()),
             "right": float(right[which == b].mean()), "queries": int((which == b).sum())}
            for b in range(_BINS) if (which == b).any()]
    error = sum(b["queries"] * abs(b["claimed"] - b["right"]) for b in bins) / len(claimed)
    return error, bins
