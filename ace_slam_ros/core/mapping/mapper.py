"""The mapper: keyframes in, head weights out; it owns the map and its files."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import __version__
from ..data.poses import SubmapPose
from ..data.submaps import MAIN_SUBMAP
from ..data.trajectory import Trajectory
from ..errors import MapError
from ..geometry.se3 import transform_points
from ..heads.factory import make_learner
from ..heads.payload import HeadInfo, pack_head, read_info, unpack_arrays
from ..maps.manifest import GRID, MapManifest
from ..maps.map_folder import load_map, save_map
from ..navigation.grid_files import grid_files
from ..navigation.map_grid import MapGrid
from .graph_refinement import GraphRefinement
from .keyframe_buffer import KeyframeBuffer
from .keyframe_sampling import explained_share

if TYPE_CHECKING:
    from ..config.sections import SlamConfig
    from ..data.keyframe import Keyframe
    from ..encoders.base import Encoder
    from ..geometry.arrays import Float32Array, Float64Array
    from ..maps.map_folder import StoredMap

log = logging.getLogger(__name__)


#: Steps of pose refinement per keyframe in runs whose result must not depend on time.
_STEPS_PER_KEYFRAME = 4


class Mapper:
    """Learns the scene head from keyframes and corrects their poses.

    Not thread-safe: one thread calls it. Memory is bounded by `keyframe.max_count`: beyond it
    the keyframe goes that `KeyframeBuffer` says, what it taught the head stays.
    """

    def __init__(self, config: SlamConfig, encoder: Encoder, *, map_id: str | None = None) -> None:
        self._config, self._encoder = config, encoder
        self._begin(map_id or uuid.uuid4().hex[:12])

    def _begin(self, map_id: str, head_type: str | None = None) -> None:
        self.map_id = map_id
        self._learner = make_learner(self._config, self._encoder, head_type)
        self._buffer = KeyframeBuffer(self._config.keyframe.max_count)
        self._refinement = GraphRefinement(self._config, self._buffer)
        self._grid = MapGrid(self._config.grid)
        self._queue: deque[Keyframe] = deque()
        self._next_id = 0
        self._owed_steps = 0

    @property
    def keyframe_count(self) -> int:
        """Keyframes held."""
        return len(self._buffer)

    @property
    def keyframe_poses(self) -> dict[int, SubmapPose]:
        """Present poses of the keyframes by id."""
        return self._buffer.poses

    @property
    def wants_work(self) -> bool:
        """Whether `work` may still improve the map; False when it would do nothing."""
        return (bool(self._queue) or self._learner.wants_work or self._refinement.wants_work
                or self._refinement.joiner.wants_work)

    @property
    def backlog(self) -> int:
        """Keyframes waiting to be learned."""
        return len({k.id for k in self._queue if k.id not in self._buffer})

    def add_keyframe(self, keyframe: Keyframe, map_id: str) -> bool:
        """Queue a keyframe; another `map_id` starts a new, empty map. False if it is no use.

        One that is known already, of the same stamp and with less of features or scan, was pruned:
        what the lost features taught is unlearned.
        """
        if map_id != self.map_id:
            log.info("new map %s", map_id)
            self._begin(map_id)
        if len(keyframe.points_cam_N3) == 0:
            return False
        known = self._known(keyframe.id)
        if known is not None and not keyframe.is_less_of(known):
            log.debug("keyframe %d is in the map already: ignored", keyframe.id)
            return False
        if keyframe.descriptors_i8_ND.shape[1] != self._encoder.dimension:
            log.warning("keyframe %d has descriptors of another encoder: ignored", keyframe.id)
            return False
        self._queue.append(keyframe)
        self._next_id = max(self._next_id, keyframe.id + 1)
        return True

    def _known(self, identifier: int) -> Keyframe | None:
        """The newest state of a keyframe that is held or waits."""
        waiting = next((k for k in reversed(self._queue) if k.id == identifier), None)
        if waiting is None and identifier in self._buffer:
            return self._buffer.keyframe(identifier)
        return waiting

    def work(self, budget_s: float, interrupted: Callable[[], bool] = lambda: False) -> bool:
        """Learn queued keyframes, then improve what is there, until the budget is spent.

        With an infinite budget the work is counted, not timed: it ends when the keyframes learned
        so far have had the steps they are owed, so that runs repeat exactly. With a finite one it
        goes on in later calls, as long as `wants_work`; what the head learned of new keyframes
        is not kept waiting for it.

        Args:
            budget_s: time to spend, in steps of some tens of milliseconds.
            interrupted: asked between steps; ends the work of a finite budget, for new keyframes.

        Returns:
            True when the head changed.
        """
        end = time.perf_counter() + budget_s
        changed = self._observe_queued(end)
        if changed and math.isfinite(end):
            return True
        changed = self._learner.work(end - time.perf_counter()) or changed
        if not self._queue:
            timed = math.isfinite(end)

            def is_over() -> bool:
                return timed and (time.perf_counter() >= end or interrupted())

            changed = self._join_submaps(is_over) or changed
            changed = self._refine_poses(timed, is_over) or changed
        return changed

    def _observe_queued(self, end: float) -> bool:
        """Hand queued keyframes to the learner until the time `end`; True when there were any."""
        changed = False
        while self._queue:
            keyframe = self._queue.popleft()
            if keyframe.id in self._buffer:
                self._prune(keyframe)
                changed = True
                continue
            pose = self._refinement.place(keyframe)
            self._hold(keyframe, pose)
            predictions = self._learner.predict(keyframe.descriptors_ND)
            self._refinement.sampler.note(keyframe.id, explained_share(
                keyframe, pose, predictions, self._config.solver))
            self._learner.observe(keyframe, pose.T_map_cam, pose.submap)
            self._refinement.add(keyframe)
            self._owed_steps += _STEPS_PER_KEYFRAME
            changed = True
            if time.perf_counter() >= end:
                break
        return changed

    def _prune(self, keyframe: Keyframe) -> None:
        """Unlearn what a keyframe has lost."""
        kept_N = self._buffer.keyframe(keyframe.id).shared_with(keyframe)
        self._buffer.prune(keyframe)
        if not kept_N.all():
            self._learner.prune(keyframe, self._buffer.pose(keyframe.id), kept_N)

    def _hold(self, keyframe: Keyframe, pose: SubmapPose) -> None:
        """Put a keyframe into the buffer; the one that leaves for it is forgotten everywhere."""
        victim = self._buffer.add(keyframe, pose)
        if victim is not None:
            self._learner.forget(victim)
            self._refinement.forget(victim)

    def _join_submaps(self, is_over: Callable[[], bool]) -> bool:
        """Look for where new keyframes show another submap; True when one was joined."""
        joiner, joined = self._refinement.joiner, False
        while joiner.wants_work:
            join = joiner.search(self._learner.predict)
            if join is not None:
                poses = self._buffer.poses
                moved = {i: join.motion.apply(poses[i])
                         for i in self._buffer.of_submap(join.submap)}
                log.info("submap %d is joined: %d keyframes", join.submap, len(moved))
                self._learner.move_submap(
                    join.submap, join.motion, {i: p.T_map_cam for i, p in moved.items()})
                self._buffer.correct(moved)
                self._refinement.joined(join.edges)
                joined = True
            if is_over():
                break
        return joined

    def _refine_poses(self, timed: bool, is_over: Callable[[], bool]) -> bool:
        """Look for loops and correct the keyframes; True when the head changed."""
        while self._refinement.wants_work and (timed or self._owed_steps > 0):
            self._refinement.step()
            self._owed_steps = max(0, self._owed_steps - 1)
            if is_over():
                break
        corrected = self._refinement.correction()
        if corrected is None:
            return False
        self.move_keyframes(corrected)
        return True

    def move_keyframes(self, poses: dict[int, Float64Array]) -> None:
        """Correct poses within submaps (id -> T_map_cam) and re-target the head exactly."""
        known = {i: np.array(T) for i, T in poses.items() if i in self._buffer}
        self._buffer.correct(
            {i: SubmapPose(T, submap=self._buffer.submap(i)) for i, T in known.items()})
        self._learner.retarget(known)

    def export_head(self) -> bytes:
        """Return the head weights as the blob that a tracker takes, with corrected poses."""
        return self._pack_head(self._buffer.poses if self._buffer.revision else {})

    def _pack_head(self, poses: dict[int, SubmapPose]) -> bytes:
        unjoined = tuple(n for n in self._buffer.submaps if n != MAIN_SUBMAP)
        return pack_head(self._learner.export(), HeadInfo(
            self.map_id, self._encoder.hash, self._learner.head_type, len(self._buffer),
            self._next_id, self._buffer.revision, unjoined), poses)

    def _placed(self) -> list[int]:
        """Ids of the keyframes whose place in the map is known."""
        return self._buffer.of_submap(min(self._buffer.submaps, default=MAIN_SUBMAP))

    @property
    def placed_keyframes(self) -> dict[int, tuple[Keyframe, Float64Array]]:
        """The keyframes whose place in the map is known, with their present poses (4, 4)."""
        return {i: (self._buffer.keyframe(i), self._buffer.pose(i)) for i in self._placed()}

    def updated_grid(self) -> MapGrid:
        """Return the occupancy grid of the keyframes as they are placed now."""
        self._grid.show(self.placed_keyframes if self._config.grid.enabled else {})
        return self._grid

    def keyframe_trajectory(self) -> Trajectory:
        """Return the keyframe poses in stamp order, without those in unjoined submaps."""
        by_stamp = {self._buffer.keyframe(i).stamp_ns: self._buffer.pose(i)
                    for i in self._placed()}
        return Trajectory.of((stamp_ns, by_stamp[stamp_ns]) for stamp_ns in sorted(by_stamp))

    def map_points(self, limit: int = 20000) -> Float32Array:
        """Return (N, 3) float32 map points of the keyframes' features, thinned to `limit`.

        Those in unjoined submaps are not among them.
        """
        points = np.concatenate([np.empty((0, 3)), *(
            transform_points(
                self._buffer.pose(i), self._buffer.keyframe(i).points_cam_N3.astype(np.float64))
            for i in self._placed())])
        step = max(1, -(-len(points) // limit))
        return points[::step].astype(np.float32)

    def save(
        self, path: Path, T_groundtruth_map: Float64Array | None = None, frame_id: str = "map"
    ) -> MapManifest:
        """Write the map folder.

        Args:
            path: the folder.
            T_groundtruth_map: (4, 4) pose of the map in a ground-truth frame, for evaluation.
            frame_id: name of the map's frame.

        Raises:
            MapError: nothing is mapped yet, or the folder cannot be written.
        """
        self.work(float("inf"))
        if not len(self._buffer):
            raise MapError("nothing is mapped yet: show the camera a textured place with depth")
        keyframes = [
            replace(k, T_map_cam=self._buffer.pose(k.id), reference=None,
                    submap=self._buffer.submap(k.id), map_revision=self._buffer.revision)
            for k in self._buffer.keyframes]
        points = self.map_points()
        low, high = points.min(axis=0), points.max(axis=0)
        manifest = MapManifest(
            map_id=self.map_id, encoder_name=self._encoder.name, encoder_hash=self._encoder.hash,
            head_type=self._learner.head_type, camera=keyframes[-1].camera,
            frame_id=frame_id,
            bounds_m=((float(low[0]), float(low[1]), float(low[2])),
                      (float(high[0]), float(high[1]), float(high[2]))),
            software_version=__version__, T_groundtruth_map=T_groundtruth_map)
        grid = self.updated_grid()
        picture = grid.picture()
        return save_map(
            path, manifest, self._pack_head({}), keyframes, self._refinement.graph.edges,
            {} if picture is None else grid_files(GRID, picture, grid.T_map_floor))

    def load(self, path: Path) -> None:
        """Continue the map in a folder; see `resume`.

        Raises:
            MapError: the folder is no map, damaged, of another encoder, or holds no keyframes.
        """
        self.resume(load_map(path, encoder_hash=self._encoder.hash))

    def resume(self, stored: StoredMap) -> None:
        """Continue a map as loaded with this encoder; what was mapped before is dropped.

        Raises:
            MapError: it holds no keyframes.
        """
        if stored.keyframes is None:
            raise MapError(f"{stored.path} holds no keyframes, so it can only be localized in: "
                           "use mode localization")
        info = read_info(stored.head)
        self._begin(stored.manifest.map_id, info.head)
        for keyframe in stored.keyframes:
            pose = SubmapPose(keyframe.T_map_cam, submap=keyframe.submap)
            self._hold(keyframe, pose)
            self._learner.observe(keyframe, pose.T_map_cam, pose.submap)
        self._buffer.revision = info.map_revision
        self._refinement.restore(stored.edges)
        self._next_id = info.next_keyframe
        self._learner.restore(unpack_arrays(stored.head))
