"""Looks for the pose of one image in several views of it, the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...data.submaps import MAIN_SUBMAP, only_submap
from ...encoders.extraction import extract_features
from ..rgb import solve_rgb
from ..rgbd import solve_rgbd
from ..rivals import is_drawn_twice, without_place
from .query_views import ORBITS_RAD, ROLLS_RAD, QueryView, orbited, rolled

if TYPE_CHECKING:
    from ...config.sections import SlamConfig
    from ...data.features import Features
    from ...data.frame import Frame
    from ...data.poses import PoseEstimate
    from ...data.predictions import Predictions
    from ...encoders.base import Encoder
    from ...heads.base import SceneHead

#: Confidence at which no further view is tried: right poses reach it from half a step of the rolls
#: away, wrong ones only where whole walls look alike.
SURE = 0.2
#: The same of pixels alone, with which wrong poses come to 0.02.
_SURE_OF_PIXELS = 0.12
#: Least confidence of a pose from another view than the upright one: there are many of them, and
#: each is one more chance to find something that looks alike.
_LEAST_TURNED = 0.08
#: Other views are first glanced at: their middle, with half of the features, and a share of the
#: tries.
_GLANCE = 4
_LEAST_FEATURES = 100


@dataclass(frozen=True)
class Look:
    """A pose that a view gave, and what it was solved from.

    Attributes:
        pose: of the real camera.
        features, predictions: of the view, in the frame of the real camera.
    """

    pose: PoseEstimate
    features: Features
    predictions: Predictions


class ViewSearch:
    """Describes and solves views of a query until one is sure.

    Args:
        config: parameters.
        encoder: the frozen encoder.
    """

    def __init__(self, config: SlamConfig, encoder: Encoder) -> None:
        self._config, self._encoder = config, encoder

    def best(self, frame: Frame, head: SceneHead) -> tuple[Look | None, int]:
        """Return the most confident look at a frame, if any gives a pose, and the views tried."""
        sure = _SURE_OF_PIXELS if frame.depth_m is None else SURE
        best, views = self._look(frame, None, head), 1
        if best is not None and best.pose.confidence >= sure:
            return best, views
        chosen = None
        for other in _others(frame):
            view = other(True)
            if view is None:
                continue
            views += 1
            found = self._look(frame, view, head, glance=True)
            if found is None or found.pose.confidence < _LEAST_TURNED:
                continue
            if best is None or found.pose.confidence > best.pose.confidence:
                best, chosen = found, other
            if found.pose.confidence >= sure:
                # a step off, the middle of a view may be sure where the whole is not
                whole = self._look(frame, other(False), head)
                if whole is not None and whole.pose.confidence >= sure:
                    return whole, views
        if chosen is None:
            return best, views
        return self._look(frame, chosen(False), head) or best, views  # whole, with all features

    def rival(self, frame: Frame, look: Look) -> PoseEstimate | None:
        """Return the best pose in another place that a look's view allows as well.

        A place that drift drew twice is one place: what else there is, is looked for behind both.
        """
        camera = frame.camera if frame.depth_m is None else None
        others = without_place(look.features, look.predictions, look.pose.T_map_cam, camera)
        rival = self._solve(frame, look.features, others)
        if rival is not None and is_drawn_twice(look.pose, rival):
            others = without_place(look.features, others, rival.T_map_cam, camera)
            rival = self._solve(frame, look.features, others)
        return rival

    def _look(
        self, frame: Frame, view: QueryView | None, head: SceneHead, glance: bool = False
    ) -> Look | None:
        """Look at a frame, or at a view of it; at a glance with fewer features and tries."""
        config = self._config
        wanted = config.features
        if glance:
            wanted = replace(wanted, count=max(wanted.count // 2, _LEAST_FEATURES))
        features = extract_features(
            self._encoder, frame if view is None else view.frame, wanted, config.sensor)
        if view is not None:
            features = view.in_camera(features, frame.camera)
        # elsewhere than in the main submap a pose would say nothing
        predictions = only_submap(head.predict(features.descriptors_ND), MAIN_SUBMAP)
        pose = self._solve(frame, features, predictions, _GLANCE if glance else 1)
        return None if pose is None else Look(pose, features, predictions)

    def _solve(
        self, frame: Frame, features: Features, predictions: Predictions, part: int = 1
    ) -> PoseEstimate | None:
        """Solve the pose; with depth, from one `part`-th of the usual number of tries."""
        config = self._config
        if frame.depth_m is None:
            return solve_rgb(features, predictions, frame.camera, config.solver, config.seed)
        return solve_rgbd(
            features, predictions, config.solver, config.sensor,
            np.random.default_rng(config.seed), max(config.relocalizer.hypotheses // part, 8))


def _others(frame: Frame) -> Iterator[Callable[[bool], QueryView | None]]:
    """Yield other views of a frame than the frame itself: of their middle, or whole."""
    for angle in ROLLS_RAD:
        if angle != 0.0:
            yield partial(rolled, frame, angle)
    if frame.depth_m is not None:
        for yaw, pitch in ORBITS_RAD:
            yield partial(orbited, frame, yaw, pitch)
