"""Loop edges: keyframes that may show one place, and the proof that they do.

The head holds every keyframe's own samples, so that relocalizing a keyframe in it proves nothing.
Proof is a direct alignment of two keyframes in both directions, which may not contradict what is
known of the way between them: in a corridor whose doors repeat, two images of different places
align perfectly, but no tracker drifts from door to door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.edge import Edge, EdgeKind
from ..geometry.se3 import invert_pose, pose_error
from ..geometry.views import view_distances
from .keyframe_alignment import Alignment, align, align_both_ways

if TYPE_CHECKING:
    from ..config.sections import SolverConfig
    from ..data.keyframe import Keyframe
    from ..geometry.arrays import Float64Array
    from .keyframe_buffer import KeyframeBuffer
    from .keyframe_surface import ViewCache

#: Keyframes fewer ids apart are joined by tracking; aligning them tells nothing new.
SUCCESSIVE = 10
#: Views farther apart than this (translation over depth plus 1.5 x radians) share too little.
LARGEST_VIEW_DISTANCE = 1.0
#: What a tracker that was never lost may have drifted: a floor, and shares of the way.
_DRIFT_FLOOR_M, _DRIFT_SHARE = 0.05, 0.02
_DRIFT_FLOOR_RAD, _DRIFT_RAD_PER_M = np.deg2rad(2.0), np.deg2rad(0.3)
#: Verifications of one keyframe, in all.
_TRIES = 4
#: Share of the features that must agree, each way: below, matches of things that repeat bias it.
_LEAST_INLIERS = 0.3
#: What all matches of an alignment share and no covariance of theirs tells: color and depth are
#: not of one instant, lines not of one exposure, depth is bent. Hand-held structured light: two
#: centimeters and a degree between views a third of a meter apart.
_SHARED_M, _SHARED_PER_M, _SHARED_RAD = 0.01, 0.02, np.deg2rad(0.7)
#: Points near a surface that must lie on it, share: else something is in the way.
_LEAST_ON_SURFACE = 0.7


class LoopFinder:
    """Looks for loop edges, each pair of keyframes once and each keyframe a few times."""

    def __init__(self, buffer: KeyframeBuffer, views: ViewCache, solver: SolverConfig,
                 seed: int) -> None:
        self._buffer, self._views = buffer, views
        self._solver, self._seed = solver, seed
        self._tested: set[tuple[int, int]] = set()
        self._tries: dict[int, int] = {}
        self._traveled_m: dict[int, float] = {}
        self._way_m = 0.0
        self.open: dict[int, None] = {}  # ordered: runs must repeat

    def add(self, identifier: int, step_m: float, known: bool = False) -> None:
        """Take up a keyframe.

        Args:
            identifier: a keyframe in the buffer.
            step_m: way from the keyframe before it.
            known: it comes with its edges, from a saved map.
        """
        self._way_m += step_m
        self._traveled_m[identifier] = self._way_m
        self._tries[identifier] = 0
        if not known:
            self.open[identifier] = None

    def forget(self, identifier: int) -> None:
        """Drop a keyframe."""
        self.open.pop(identifier, None)
        self._tries.pop(identifier, None)
        self._traveled_m.pop(identifier, None)
        self._tested = {pair for pair in self._tested if identifier not in pair}

    def reopen(self, everything: bool = False) -> None:
        """Look again at keyframes: the poses have changed.

        Args:
            everything: also those that nothing was near to; a submap has come beside them.
        """
        least = 0 if everything else 1
        self.open = {i: None for i, tries in self._tries.items()
                     if least <= tries < _TRIES} | self.open

    def search(self, identifier: int) -> Edge | None:
        """Verify the best untested candidate of an open keyframe; closes it when there is none."""
        candidates = self._candidates(identifier)
        if not candidates:
            del self.open[identifier]
            return None
        other = candidates[0]
        self._tested.add((min(identifier, other), max(identifier, other)))
        self._tries[identifier] += 1
        if self._tries[identifier] >= _TRIES:
            del self.open[identifier]
        return self.verify(other, identifier)

    def _candidates(self, identifier: int) -> list[int]:
        """Return untested keyframes that may see the same, the most similar view first."""
        others = [i for i in self._buffer.of_submap(self._buffer.submap(identifier))
                  if abs(i - identifier) >= SUCCESSIVE
                  and (min(i, identifier), max(i, identifier)) not in self._tested]
        if not others:
            return []
        T = self._buffer.pose(identifier)
        poses = np.stack([self._buffer.pose(i) for i in others])
        gap_m = np.linalg.norm(poses[:, :3, 3] - T[:3, 3], axis=1)
        drift_m = _DRIFT_SHARE / 2 * np.array([self.way_between_m(i, identifier) for i in others])
        distance = view_distances(
            poses, T, self._buffer.keyframe(identifier).median_depth_m, drift_m)
        order = np.lexsort((gap_m, distance))
        return [others[n] for n in order if distance[n] < LARGEST_VIEW_DISTANCE]

    def way_between_m(self, a: int, b: int) -> float:
        """Way of the camera between two keyframes, meters."""
        return abs(self._traveled_m[a] - self._traveled_m[b])

    def verify(self, a: int, b: int) -> Edge | None:
        """Return the loop edge between two keyframes, None when it cannot be proved."""
        edge = self.prove(a, b)
        if edge is None:
            return None
        believed = invert_pose(self._buffer.pose(a)) @ self._buffer.pose(b)
        return edge if within_drift(edge.T_a_b, believed, self.way_between_m(a, b)) else None

    def prove(self, a: int, b: int, least_inliers: float = _LEAST_INLIERS) -> Edge | None:
        """Return the edge between two keyframes that look alike, wherever they were believed.

        Args:
            a, b: keyframes in the buffer.
            least_inliers: share of the features that must agree, each way.
        """
        found = align_both_ways(
            self._views.get(self._buffer.keyframe(a)), self._views.get(self._buffer.keyframe(b)),
            self._solver, self._views.sensor, self._seed)
        if (found is None or found.inlier_ratio < least_inliers
                or found.surface_ratio < _LEAST_ON_SURFACE):
            return None
        return _edge(a, b, found, EdgeKind.LOOP)

    def align_successive(self, a: int, b: Keyframe) -> Edge | None:
        """Return the edge from a keyframe in the buffer to a new one, None if there is none."""
        found = align(self._views.get(self._buffer.keyframe(a)), self._views.get(b),
                      self._solver, self._views.sensor, self._seed)
        return None if found is None else _edge(a, b.id, found, EdgeKind.ALIGNED)


def _edge(a: int, b: int, found: Alignment, kind: EdgeKind) -> Edge:
    sigma_m = _SHARED_M + _SHARED_PER_M * float(np.linalg.norm(found.T_a_b[:3, 3]))
    shared = np.diag(np.repeat([sigma_m, _SHARED_RAD], 3) ** 2)
    return Edge(a, b, found.T_a_b, found.covariance_66 + shared, kind)


def within_drift(T_measured: Float64Array, T_believed: Float64Array, way_m: float) -> bool:
    """Tell whether drift over a way explains that a measurement differs from what was believed."""
    gap_m, gap_rad = pose_error(T_measured, T_believed)
    return (gap_m < _DRIFT_FLOOR_M + _DRIFT_SHARE * way_m
            and gap_rad < _DRIFT_FLOOR_RAD + _DRIFT_RAD_PER_M * way_m)
