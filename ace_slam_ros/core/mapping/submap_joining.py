"""Where a submap of the map belongs: found by relocalizing its keyframes in the other submaps.

Between submaps nothing limits what a look-alike place may pretend: no way was measured there, by
which drift could be told from error. So a join needs more proof than a loop: two keyframes with
different views, each aligned directly with a keyframe of the other submap, that agree within
drift; and each of them seen in one place of that submap alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.features import Features
from ..data.submaps import SubmapMotion, only_submap
from ..geometry.se3 import exp_se3, invert_pose, log_se3
from ..geometry.views import view_distances
from ..localization.rgbd import solve_rgbd
from ..localization.rivals import without_place
from .loop_closure import LARGEST_VIEW_DISTANCE, LoopFinder, within_drift

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.edge import Edge
    from ..data.keyframe import Keyframe
    from ..data.poses import PoseEstimate
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array, Float64Array
    from .keyframe_buffer import KeyframeBuffer

log = logging.getLogger(__name__)

#: Keyframes of another submap that one is aligned with.
_TRIES = 2
#: Share of the features that must agree, each way. What places have in common that look alike
#: (doors, lamps, floor) is up to two fifths of a view (five rendered corridors), the rest is
#: their own.
_LEAST_INLIERS = 0.5
#: Two views this far apart (translation over depth plus 1.5 x radians) are two witnesses: a fifth
#: of the depth, or eight degrees.
_LEAST_APART = 0.2
#: A second place where half as many features agree is as good as the first.
_LOOK_ALIKE = 0.5


@dataclass(frozen=True)
class SubmapJoin:
    """A submap whose place is known.

    Attributes:
        submap: the one that moves.
        motion: its motion into the other one.
        edges: the proof, as edges of the pose graph.
    """

    submap: int
    motion: SubmapMotion
    edges: list[Edge]


class SubmapJoiner:
    """Tries each new keyframe in all submaps but its own."""

    def __init__(self, config: SlamConfig, buffer: KeyframeBuffer, loops: LoopFinder) -> None:
        self._config, self._buffer, self._loops = config, buffer, loops
        self._open: dict[int, None] = {}
        self._proven: list[Edge] = []

    @property
    def wants_work(self) -> bool:
        """Whether there are keyframes to try."""
        return bool(self._open)

    def add(self, identifier: int) -> None:
        """Take up a new keyframe, when there are other submaps than its own."""
        if len(self._buffer.submaps) > 1:
            self._open[identifier] = None

    def forget(self, identifier: int) -> None:
        """Drop a keyframe."""
        self._open.pop(identifier, None)
        self._proven = [e for e in self._proven if identifier not in (e.a, e.b)]

    def search(self, predict: Callable[[Float32Array], Predictions]) -> SubmapJoin | None:
        """Try the oldest open keyframe; `predict` are the scene coordinates of all submaps."""
        identifier = next(iter(self._open))
        del self._open[identifier]
        keyframe = self._buffer.keyframe(identifier)
        others = [n for n in self._buffer.submaps if n != self._buffer.submap(identifier)]
        predictions = predict(keyframe.descriptors_ND) if others else None
        for other in others:
            assert predictions is not None
            found = self._locate(keyframe, only_submap(predictions, other))
            if found is None:
                continue
            for candidate in self._nearest(other, keyframe, found.T_map_cam):
                edge = self._loops.prove(candidate, identifier, _LEAST_INLIERS)
                join = None if edge is None else self._agreed(edge)
                if join is not None:
                    return join
        return None

    def _locate(self, keyframe: Keyframe, predictions: Predictions) -> PoseEstimate | None:
        """Relocalize a keyframe in one submap; None where it fits nowhere, or in two places."""
        features = Features(keyframe.descriptors_ND, keyframe.pixels_N2, keyframe.points_cam_N3)

        def solve(part: Predictions) -> PoseEstimate | None:
            return solve_rgbd(
                features, part, self._config.solver, self._config.sensor,
                np.random.default_rng(self._config.seed), self._config.relocalizer.hypotheses)

        found = solve(predictions)
        if found is None:
            return None
        second = solve(without_place(features, predictions, found.T_map_cam))
        if second is not None and second.inlier_count > _LOOK_ALIKE * found.inlier_count:
            log.info("keyframe %d fits two places of another submap", keyframe.id)
            return None
        return found

    def _nearest(self, submap: int, keyframe: Keyframe, T_map_cam: Float64Array) -> list[int]:
        """Return the keyframes of a submap with the most similar views to one at a pose."""
        members = self._buffer.of_submap(submap)
        poses = np.stack([self._buffer.pose(i) for i in members])
        distance = view_distances(poses, T_map_cam, keyframe.median_depth_m)
        return [members[n] for n in np.argsort(distance, kind="stable")[:_TRIES]
                if distance[n] < LARGEST_VIEW_DISTANCE]

    def _agreed(self, edge: Edge) -> SubmapJoin | None:
        """Return the join that an edge and an earlier one prove together."""
        if self._buffer.submap(edge.a) > self._buffer.submap(edge.b):
            edge = edge.reversed()
        pair = (self._buffer.submap(edge.a), self._buffer.submap(edge.b))
        join = None
        T_44 = self._motion(edge)
        for other in self._proven:
            if (self._buffer.submap(other.a), self._buffer.submap(other.b)) != pair:
                continue
            believed = invert_pose(self._buffer.pose(other.a)) @ T_44 @ self._buffer.pose(other.b)
            way_m = self._loops.way_between_m(edge.b, other.b)
            if self._apart(edge.b, other.b) and within_drift(other.T_a_b, believed, way_m):
                middle = exp_se3(0.5 * log_se3(self._motion(other) @ invert_pose(T_44)))
                join = SubmapJoin(
                    pair[1], SubmapMotion(middle @ T_44, pair[0]), [other, edge])
                break
        self._proven.append(edge)
        return join

    def _motion(self, edge: Edge) -> Float64Array:
        """Motion (4, 4) of the submap of b that makes an edge true."""
        return self._buffer.pose(edge.a) @ edge.T_a_b @ invert_pose(self._buffer.pose(edge.b))

    def _apart(self, a: int, b: int) -> bool:
        """Whether two keyframes of one submap show different things."""
        distance = view_distances(
            self._buffer.pose(a)[None], self._buffer.pose(b),
            self._buffer.keyframe(b).median_depth_m)
        return bool(distance[0] > _LEAST_APART)
