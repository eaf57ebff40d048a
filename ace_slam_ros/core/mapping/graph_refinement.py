"""Keyframe poses made better: edges as keyframes come, loops from windows, and the graph's answer.

The closed-form head is replayed by re-targeting: it needs no second look at features, only better
poses. A window therefore re-estimates poses: it aligns its keyframes with others that see the
same, and the pose graph weighs these measurements against the tracker's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from ..data.edge import Edge, EdgeKind, odometry_edge
from ..data.poses import SubmapPose
from ..data.submaps import SubmapMotion
from ..geometry.se3 import invert_pose, pose_error
from .keyframe_sampling import KeyframeSampler
from .keyframe_surface import ViewCache
from .loop_closure import SUCCESSIVE, LoopFinder
from .pose_graph import CHI2_LIMIT, DEGREES_OF_FREEDOM, PoseGraph, graph_available
from .submap_joining import SubmapJoiner

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.keyframe import Keyframe
    from ..geometry.arrays import Float64Array
    from .keyframe_buffer import KeyframeBuffer

log = logging.getLogger(__name__)

#: The graph is solved when so many keyframes are new, or at once when a loop contradicts it.
_KEYFRAMES_PER_SOLUTION = 5
#: A correction must take away this share of the robust error, and move something farther than
#: what alignments err by together. Drift can be taken away; where alignments err, no poses
#: satisfy them all and most of the error stays.
_LEAST_GAIN, _LEAST_MOVE_M, _LEAST_MOVE_RAD = 0.5, 0.03, np.deg2rad(1.5)
#: A correction this large brings new keyframes into each other's reach.
_REOPENING_MOVE_M = 0.05


class GraphRefinement:
    """Keeps the edges of the keyframes in a buffer and proposes corrections of their poses."""

    def __init__(self, config: SlamConfig, buffer: KeyframeBuffer) -> None:
        self._buffer = buffer
        self._enabled = config.mapper.pose_graph
        if self._enabled and not graph_available():
            log.warning("gtsam is not installed: loops are not closed (pip install gtsam)")
            self._enabled = False
        self.graph = PoseGraph()
        self.sampler = KeyframeSampler(config.mapper, config.seed)
        self._finder = LoopFinder(buffer, ViewCache(config.sensor), config.solver, config.seed)
        self.joiner = SubmapJoiner(config, buffer, self._finder)
        self._drawn: list[int] = []
        self._unweighed: list[Edge] = []
        self._new_keyframes = 0

    @property
    def wants_work(self) -> bool:
        """Whether `step` or `correction` may still find something."""
        return self._enabled and bool(self._finder.open or self._unweighed)

    def place(self, keyframe: Keyframe) -> SubmapPose:
        """Return the pose of a new keyframe after the corrections that its tracker missed.

        It moves as the keyframe that it was tracked against did, else as the one nearest to it.
        """
        pose = SubmapPose(keyframe.T_map_cam, submap=keyframe.submap)
        if keyframe.map_revision >= self._buffer.revision:
            return pose
        guide = self._guide(keyframe)
        if guide is None:
            return pose
        then = self._buffer.pose_at(guide, keyframe.map_revision)
        now = self._buffer.pose_at(guide, self._buffer.revision)
        motion = SubmapMotion(now.T_map_cam @ invert_pose(then.T_map_cam), now.submap)
        return motion.apply(pose)

    def _guide(self, keyframe: Keyframe) -> int | None:
        """Id of the keyframe whose motion a new one shares, None when its submap was empty."""
        if keyframe.reference is not None and keyframe.reference[0] in self._buffer:
            return keyframe.reference[0]
        then = {i: self._buffer.pose_at(i, keyframe.map_revision) for i in self._buffer.ids}
        gap_m = {i: pose_error(pose.T_map_cam, keyframe.T_map_cam)[0]
                 for i, pose in then.items() if pose.submap == keyframe.submap}
        return min(gap_m, key=gap_m.__getitem__, default=None)

    def add(self, keyframe: Keyframe) -> None:
        """Join a keyframe, the newest in the buffer, to the others."""
        before = self._before(keyframe.id)
        self._start(keyframe.id, known=False)
        self.joiner.add(keyframe.id)
        if not self._enabled:
            return
        reference = keyframe.reference
        if reference is not None and reference[0] in self._buffer:
            successive = keyframe.id - reference[0] < SUCCESSIVE
            self.graph.add(odometry_edge(
                reference[0], keyframe.id, reference[1],
                EdgeKind.ODOMETRY if successive else EdgeKind.RETURN))
            if successive:
                return
        # The tracker went over to another part of the map: how far it had drifted is known only
        # when the way since the keyframe before this one is measured apart from it.
        if before is not None:
            edge = self._finder.align_successive(before, keyframe)
            if edge is not None:
                self.graph.add(edge)
                self._unweighed.append(edge)

    def restore(self, edges: list[Edge]) -> None:
        """Take up the keyframes of a saved map, which are in the buffer, and their edges."""
        for identifier in self._buffer.ids:
            self._start(identifier, known=True)
        for edge in edges:
            if edge.a in self._buffer and edge.b in self._buffer:
                self.graph.add(edge)

    def joined(self, edges: list[Edge]) -> None:
        """Take up the proven edges by which a submap was moved to its place."""
        if not self._enabled:
            return
        for edge in edges:
            self.graph.add(edge)
        self._unweighed += edges
        self._finder.reopen(everything=True)

    def _start(self, identifier: int, known: bool) -> None:
        before = self._before(identifier)
        step_m = 0.0 if before is None else pose_error(
            self._buffer.pose(before), self._buffer.pose(identifier))[0]
        self._finder.add(identifier, step_m, known)
        self._new_keyframes += 1

    def _before(self, identifier: int) -> int | None:
        """Id of the keyframe that came before one in the buffer; None in another submap."""
        ids = self._buffer.ids
        place = ids.index(identifier)
        if not place or self._buffer.submap(ids[place - 1]) != self._buffer.submap(identifier):
            return None
        return ids[place - 1]

    def forget(self, identifier: int) -> None:
        """Drop a keyframe that left the buffer."""
        self.graph.remove(identifier)
        self._finder.forget(identifier)
        self._unweighed = [e for e in self._unweighed if identifier not in (e.a, e.b)]
        self.joiner.forget(identifier)
        self.sampler.forget(identifier)

    def step(self) -> None:
        """Look for one loop edge, at a keyframe of the present window."""
        self._drawn = [i for i in self._drawn if i in self._finder.open]
        if not self._drawn:
            self._drawn = self.sampler.draw(
                [i for i in self._buffer.ids if i in self._finder.open])
        if self._drawn:
            edge = self._finder.search(self._drawn[0])
            if edge is not None:
                self.graph.add(edge)
                self._unweighed.append(edge)

    def correction(self) -> dict[int, Float64Array] | None:
        """Return better poses of all keyframes (id -> T_map_cam), None when these are as good.

        Poses change only when that takes away half of the robust error of all edges.
        """
        due = self._due()
        if due is None:
            return None
        self._unweighed, self._new_keyframes = [], 0
        if not due:
            return None
        before = {i: self._buffer.pose(i) for i in self._buffer.ids}
        found = self.graph.optimize(self._buffer.poses)
        moves = np.array([pose_error(before[i], found.poses[i]) for i in before])
        worth = moves[:, 0].max() > _LEAST_MOVE_M or moves[:, 1].max() > _LEAST_MOVE_RAD
        accepted = worth and found.error_after < (1.0 - _LEAST_GAIN) * found.error_before
        log.info("pose graph: %d keyframes, %d edges, %d rejected, error %.0f -> %.0f, "
                 "largest move %.1f cm%s", len(before), len(self.graph), found.rejected,
                 found.error_before, found.error_after, 100.0 * moves[:, 0].max(),
                 "" if accepted else ": not worth a correction")
        if not accepted:
            return None
        if moves[:, 0].max() > _REOPENING_MOVE_M:
            self._finder.reopen()
        return found.poses

    def _due(self) -> bool | None:
        """Whether solving the graph may pay, None when it is too early to tell.

        It pays when a new edge contradicts the poses, or when many that differ more than by
        noise are new.
        """
        if not self._unweighed:
            return None
        errors = [e.squared_error(self._buffer.pose(e.a), self._buffer.pose(e.b))
                  for e in self._unweighed]
        if max(errors) > CHI2_LIMIT:
            return True
        enough = self._new_keyframes >= _KEYFRAMES_PER_SOLUTION or not self._finder.open
        return bool(np.mean(errors) > DEGREES_OF_FREEDOM) if enough else None
