"""The relocalizer: where is this image, without any prior?"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.depth.sparse import explain_missing_depth
from ..data.scene_mask import SceneMask
from ..geometry.se3 import pose_error, pose_errors_in_map
from ..heads.factory import load_head
from .flatness import is_flat
from .probability import Evidence
from .rivals import rivals
from .views.search import Look, ViewSearch

if TYPE_CHECKING:
    from ..config.sections import RelocalizerConfig, SlamConfig
    from ..data.frame import Frame
    from ..data.poses import PoseEstimate
    from ..encoders.base import Encoder
    from ..geometry.arrays import Float64Array
    from ..heads.base import SceneHead

#: Larger images take seconds and gigabytes, and show nothing that is not seen in smaller ones.
_MOST_PIXELS = 1920 * 1080
#: 99 % of the chi-square distribution with six degrees of freedom.
_HINT_CHI2 = 16.8
#: Added to what a hint claims: meters and radians, as in filters that are too sure of themselves.
_LEAST_HINT_SIGMA = np.array([0.05] * 3 + [np.deg2rad(2.0)] * 3)


class RelocalizationReason(enum.IntEnum):
    """Same values as the constants of Relocalize.srv."""

    OK = 0
    NO_MAP = 1
    NO_IMAGE = 2
    BAD_REQUEST = 3
    LOW_CONFIDENCE = 4
    NO_SOLUTION = 5
    BUSY = 6
    ERROR = 7
    AMBIGUOUS = 8


@dataclass(frozen=True)
class Relocalization:
    """Answer to one query.

    Attributes:
        success: the pose can be used.
        reason: OK, or why not.
        message: one sentence for people.
        T_map_cam: (4, 4) pose, also given when its confidence is low or it has a rival; else None.
        covariance_66: map frame, x y z then rotation; None without pose.
        inlier_ratio: confidence, share of features that agree.
        inlier_count: their number.
        probability: that the pose is within 10 cm and 5 degrees of the truth, of either where
            drift drew a place twice; 0 without pose.
        views: of the image that were tried.
        weights_version: of the head used.
        latency_ms: time spent.
    """

    success: bool
    reason: RelocalizationReason
    message: str
    T_map_cam: Float64Array | None
    covariance_66: Float64Array | None
    inlier_ratio: float
    inlier_count: int
    probability: float
    views: int
    weights_version: int
    latency_ms: float


@dataclass(frozen=True)
class PoseHint:
    """Where a caller believes the camera to be; it only chooses among places that look alike.

    Attributes:
        T_map_cam: (4, 4) pose.
        covariance_66: map frame, x y z then rotation.
    """

    T_map_cam: Float64Array
    covariance_66: Float64Array

    def allows(self, T_map_cam: Float64Array) -> bool:
        """Tell whether a pose is as near as 99 of 100 right ones are."""
        gap_6 = pose_errors_in_map(T_map_cam[None], self.T_map_cam[None])[0]
        covariance_66 = self.covariance_66 + np.diag(_LEAST_HINT_SIGMA**2)
        return bool(gap_6 @ np.linalg.solve(covariance_66, gap_6) < _HINT_CHI2)


class Relocalizer:
    """Answers queries against the newest head weights."""

    def __init__(self, config: SlamConfig, encoder: Encoder) -> None:
        self._config, self._encoder = config, encoder
        self._search = ViewSearch(config, encoder)
        self._mask = SceneMask(config.sensor.mask)
        self._head: SceneHead | None = None
        self._version = 0
        self.map_id = ""

    def set_head(self, payload: bytes, version: int) -> None:
        """Take over head weights.

        Raises:
            MapError: they are damaged or belong to another encoder.
        """
        loaded = load_head(payload, self._encoder, self._config)
        self._head, self._version, self.map_id = loaded.head, version, loaded.info.map_id

    def locate(
        self, frame: Frame, min_confidence: float | None = None, hint: PoseHint | None = None
    ) -> Relocalization:
        """Solve the camera pose of one frame; RGB only when `frame.depth_m` is None.

        Args:
            frame: rectified image, with or without depth; one of more than 1920x1080 pixels is
                halved until it has less.
            min_confidence: least share of features that agree beyond chance for a success,
                default from the configuration. Less than `solver.min_confidence` is no pose.
            hint: where the camera may be, to choose between places that look alike.

        Raises:
            DataError: `sensor.mask` is of another shape.
        """
        started = time.perf_counter()
        frame = self._mask.of(frame)
        if self._head is None:
            return self._refusal(started, RelocalizationReason.NO_MAP,
                                 "no head weights yet: map first, or load a map")
        frame = frame.reduced(_MOST_PIXELS)
        look, views = self._search.best(frame, self._head)
        if look is None:
            why = "" if frame.depth_m is None else explain_missing_depth(
                frame.depth_m, self._config.sensor)
            return self._refusal(
                started, RelocalizationReason.NO_SOLUTION, "no pose explains the image: "
                f"{why or 'unknown place, blur, or no depth'}", views)
        rival = self._search.rival(frame, look)
        evidence = Evidence.of(
            look.pose, rival, frame.depth_m is not None, self._head.head_type)
        pose, reason, message = self._verdict(look, rival, evidence, min_confidence, hint)
        return Relocalization(
            reason is RelocalizationReason.OK, reason, message, pose.T_map_cam,
            pose.covariance_66 + _unseen_66(self._config.relocalizer), pose.inlier_ratio,
            pose.inlier_count, evidence.probability, views, self._version,
            (time.perf_counter() - started) * 1e3)

    def _verdict(
        self, look: Look, rival: PoseEstimate | None, evidence: Evidence,
        min_confidence: float | None, hint: PoseHint | None,
    ) -> tuple[PoseEstimate, RelocalizationReason, str]:
        """Choose between a pose and its rival, and say whether the one chosen may be used."""
        pose, limits, has_depth = look.pose, self._config.relocalizer, evidence.has_depth

        def hinted(candidate: PoseEstimate) -> bool:
            return hint is not None and hint.allows(candidate.T_map_cam)

        if rival is not None and rivals(pose, rival):
            allowed = [p for p in (pose, rival) if hinted(p)]
            if len(allowed) != 1:
                apart_m, apart_rad = pose_error(pose.T_map_cam, rival.T_map_cam)
                return pose, RelocalizationReason.AMBIGUOUS, (
                    f"another place, {apart_m:.1f} m and {np.degrees(apart_rad):.0f} deg away, "
                    f"explains {100 * evidence.rival_share:.0f} % as much: ask again from "
                    "elsewhere, or with a prior")
            pose = allowed[0]
        if not hinted(pose):
            least = limits.min_probability if has_depth else limits.min_probability_rgb
            if evidence.probability < least:
                likely = (f"this one is only {100 * evidence.probability:.0f} % likely: ask again "
                          "from elsewhere, or with a prior")
                if evidence.is_contested:
                    return pose, RelocalizationReason.AMBIGUOUS, (
                        f"another place explains {100 * evidence.rival_share:.0f} % as much, so "
                        + likely)
                if evidence.spread is not None:
                    return pose, RelocalizationReason.LOW_CONFIDENCE, (
                        "little agrees, or not closely, as where a place only looks alike, so "
                        + likely)
            if is_flat(pose, look.features, self._config.sensor):
                return pose, RelocalizationReason.LOW_CONFIDENCE, (
                    "the little that agrees lies in one plane, and walls look alike: ask again "
                    "from elsewhere, or with a prior")
        limit = min_confidence or (0.0 if has_depth else limits.min_confidence_rgb)
        if pose.confidence < limit:
            return pose, RelocalizationReason.LOW_CONFIDENCE, (
                f"confidence {pose.confidence:.2f} is below {limit:.2f}")
        return pose, RelocalizationReason.OK, ""

    def _refusal(
        self, started: float, reason: RelocalizationReason, message: str, views: int = 0
    ) -> Relocalization:
        return Relocalization(
            False, reason, message, None, None, 0.0, 0, 0.0, views, self._version,
            (time.perf_counter() - started) * 1e3)


def _unseen_66(config: RelocalizerConfig) -> Float64Array:
    """Covariance (6, 6) of what the residuals of one frame do not show."""
    sigma = [config.pose_sigma_m] * 3 + [np.deg2rad(config.pose_sigma_deg)] * 3
    return np.diag(np.square(sigma))
