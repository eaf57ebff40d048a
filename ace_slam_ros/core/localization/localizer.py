"""Describes frames and solves their pose from scene coordinates alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..data.poses import Support
from ..data.submaps import by_submap, only_submap, submaps_sought
from ..encoders.extraction import extract_features, extract_in_steps
from ..runtime.steps import Steps, at_once
from .flatness import is_flat
from .probability import Evidence
from .rgbd import solve_rgbd
from .rivals import without_place

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.camera import Camera
    from ..data.features import Features
    from ..data.frame import Frame
    from ..data.poses import PoseEstimate
    from ..data.predictions import Predictions
    from ..encoders.base import Encoder
    from ..heads.base import SceneHead
    from .device.localizer import DeviceLocalizer
    from .views.query_views import QueryView


class Localizer:
    """Encoder, head and solver, as the tracker uses them.

    Where the encoder lives on a GPU, all three work there as one CUDA graph; frames or heads that
    it cannot take are localized on the CPU.

    Attributes:
        head: the scene head, None before the first.
        submaps: those of its map that are not joined yet.
        support: what spoke for the pose of the last frame that was localized.
    """

    def __init__(
        self, config: SlamConfig, encoder: Encoder, as_a_whole: bool | None = None
    ) -> None:
        """Wait for a head.

        Args:
            config: parameters.
            encoder: the frozen encoder.
            as_a_whole: whether to work the way of a GPU; None = where the encoder is on one.
        """
        self._config, self._encoder = config, encoder
        self._device: DeviceLocalizer | None = None
        if as_a_whole is None:
            as_a_whole = encoder.device.type == "cuda"
        if as_a_whole:
            from .device.localizer import DeviceLocalizer, network_of

            if network := network_of(encoder, config):
                self._device = DeviceLocalizer(config, network)
        self.clear()

    def clear(self) -> None:
        """Forget the map."""
        self.head: SceneHead | None = None
        self.submaps: tuple[int, ...] = ()
        self.support = Support()
        self._evidence: Evidence | None = None
        self._asked: Features | None = None
        self._rng = np.random.default_rng(self._config.seed)
        if self._device is not None:
            self._device.clear()

    def describe(self, frame: Frame) -> Features:
        """Return what the head can tell places by."""
        return at_once(self.describe_in_steps(frame))

    def describe_in_steps(self, frame: Frame) -> Steps[Features]:
        """Do as `describe`, with the pauses of the encoder."""
        if self._device is not None:
            self._device.use_head(self.head)
            if (features := self._device.describe(frame)) is not None:
                yield from ()
                return features
        return (yield from extract_in_steps(
            self._encoder, frame, self._config.features, self._config.sensor))

    def describe_view(self, view: QueryView, camera: Camera) -> Features:
        """Do as `describe` for a view of a frame, in the frame of its own camera."""
        found = extract_features(
            self._encoder, view.frame, self._config.features, self._config.sensor)
        return view.in_camera(found, camera)

    def localize(
        self, features: Features, submap: int, everywhere: bool
    ) -> PoseEstimate | None:
        """Solve the pose; a camera tracked in a submap is sought there, or in all of them."""
        best = self.solve(features, submap, everywhere)
        self.tell(best)
        return best

    def tell(self, pose: PoseEstimate | None, rival: PoseEstimate | None = None) -> None:
        """Note the support of a pose. Of a tracked camera the place is known: it has no rival."""
        self.support, self._evidence = Support(), None
        if pose is not None and self.head is not None:
            self._evidence = Evidence.of(pose, rival, True, self.head.head_type)
            self.support = Support(
                pose.inlier_ratio, pose.inlier_count, self._evidence.probability)

    def rival(self, pose: PoseEstimate) -> PoseEstimate | None:
        """Return the best pose elsewhere in its submap that the features solved last allow."""
        if self.head is None or self._asked is None:
            return None
        predictions = only_submap(
            self.head.predict(self._asked.descriptors_ND), pose.submap)
        rival = solve_rgbd(
            self._asked, without_place(self._asked, predictions, pose.T_map_cam),
            self._config.solver, self._config.sensor, self._rng)
        self.tell(pose, rival)
        return None if rival is None else replace(rival, submap=pose.submap)

    def is_contested(self, least: float) -> bool:
        """Tell whether a pose elsewhere makes the one told last less likely than `least`."""
        found = self._evidence
        return found is not None and found.is_contested and found.probability < least

    def is_flat(self, pose: PoseEstimate) -> bool:
        """Tell whether little agrees with a pose just solved, all of it in one plane."""
        return self._asked is not None and is_flat(pose, self._asked, self._config.sensor)

    def solve(self, features: Features, submap: int, everywhere: bool) -> PoseEstimate | None:
        """Do as `localize`, of which nobody is told the support."""
        self._asked = features
        if self.head is None:
            found = []
        elif (self._device is not None and self._device.use_head(self.head)
                and self._device.fits(features)):
            sought = submaps_sought(submap, self.submaps, everywhere)
            found = [self._device.localize(features, number) for number in sought]
        else:
            found = self._localize_here(features, self.head.predict(features.descriptors_ND),
                                        submap, everywhere)
        return max((raw for raw in found if raw is not None),
                   key=lambda raw: raw.confidence, default=None)

    def _localize_here(
        self, features: Features, predictions: Predictions, submap: int, everywhere: bool
    ) -> list[PoseEstimate | None]:
        """Do as `localize`, on the CPU; returns a pose, or None, for each submap."""
        found: list[PoseEstimate | None] = []
        for number, part in by_submap(predictions, submap, self.submaps, everywhere).items():
            raw = solve_rgbd(
                features, part, self._config.solver, self._config.sensor, self._rng)
            found.append(None if raw is None else replace(raw, submap=number))
        return found
