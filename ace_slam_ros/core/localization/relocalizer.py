"""The relocalizer: where is this image, without any prior?"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.submaps import MAIN_SUBMAP, only_submap
from ..encoders.extraction import extract_features
from ..heads.factory import load_head
from .rgb import solve_rgb
from .rgbd import solve_rgbd

if TYPE_CHECKING:
    from ..config.sections import RelocalizerConfig, SlamConfig
    from ..data.frame import Frame
    from ..encoders.base import Encoder
    from ..geometry.arrays import Float64Array
    from ..heads.base import SceneHead


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


@dataclass(frozen=True)
class Relocalization:
    """Answer to one query.

    Attributes:
        success: the pose can be used.
        reason: OK, or why not.
        message: one sentence for people.
        T_map_cam: (4, 4) pose, also given when only its confidence is low; else None.
        covariance_66: map frame, x y z then rotation; None without pose.
        inlier_ratio: confidence, share of features that agree.
        inlier_count: their number.
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
    weights_version: int
    latency_ms: float


class Relocalizer:
    """Answers queries against the newest head weights."""

    def __init__(self, config: SlamConfig, encoder: Encoder) -> None:
        self._config, self._encoder = config, encoder
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

    def locate(self, frame: Frame, min_confidence: float | None = None) -> Relocalization:
        """Solve the camera pose of one frame; RGB only when `frame.depth_m` is None.

        Args:
            frame: rectified image, with or without depth.
            min_confidence: least share of features that agree beyond chance for a success,
                default from the configuration. Less than `solver.min_confidence` is no pose.
        """
        started = time.perf_counter()
        limit = min_confidence or (
            self._config.relocalizer.min_confidence_rgb if frame.depth_m is None else 0.0)
        if self._head is None:
            return self._answer(started, RelocalizationReason.NO_MAP,
                                "no head weights yet: map first, or load a map")
        features = extract_features(
            self._encoder, frame, self._config.features, self._config.sensor)
        predictions = self._head.predict(features.descriptors_ND)
        predictions = only_submap(predictions, MAIN_SUBMAP)  # elsewhere a pose would say nothing
        if frame.depth_m is None:
            pose = solve_rgb(features, predictions, frame.camera, self._config.solver,
                             self._config.seed)
        else:
            pose = solve_rgbd(
                features, predictions, self._config.solver, self._config.sensor,
                np.random.default_rng(self._config.seed), self._config.relocalizer.hypotheses)
        if pose is None:
            return self._answer(started, RelocalizationReason.NO_SOLUTION,
                                "no pose explains the image: unknown place, blur, or no depth")
        success = pose.confidence >= limit
        return Relocalization(
            success,
            RelocalizationReason.OK if success else RelocalizationReason.LOW_CONFIDENCE,
            "" if success else f"confidence {pose.confidence:.2f} is below {limit:.2f}",
            pose.T_map_cam, pose.covariance_66 + _unseen_66(self._config.relocalizer),
            pose.inlier_ratio, pose.inlier_count, self._version,
            (time.perf_counter() - started) * 1e3)

    def _answer(
        self, started: float, reason: RelocalizationReason, message: str
    ) -> Relocalization:
        return Relocalization(False, reason, message, None, None, 0.0, 0, self._version,
                              (time.perf_counter() - started) * 1e3)


def _unseen_66(config: RelocalizerConfig) -> Float64Array:
    """Covariance (6, 6) of what the residuals of one frame do not show."""
    sigma = [config.pose_sigma_m] * 3 + [np.deg2rad(config.pose_sigma_deg)] * 3
    return np.diag(np.square(sigma))
