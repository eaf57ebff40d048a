"""The mapper: keyframes in, head weights out; it owns the map and its files."""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from pathlib import Path

import numpy as np

from .. import __version__
from .config import SlamConfig
from .encoders.interface import Encoder
from .errors import MapError
from .geometry import Float64Array, most_redundant_view, transform_points
from .heads.factory import make_learner
from .heads.payload import HeadInfo, pack_head, read_info, unpack_tensors
from .keyframe import Float32Array, Keyframe
from .map_store import MapManifest, load_map, save_map
from .trajectory import Trajectory

log = logging.getLogger(__name__)


class Mapper:
    """Learns the scene head from keyframes.

    Not thread-safe: one thread calls it. Memory is bounded by `keyframe.max_count`; beyond it the
    keyframe whose view is closest to another one is dropped, what it taught the head stays.
    """

    def __init__(self, config: SlamConfig, encoder: Encoder, *, map_id: str | None = None) -> None:
        self._config, self._encoder = config, encoder
        self._begin(map_id or uuid.uuid4().hex[:12])

    def _begin(self, map_id: str, head_type: str | None = None) -> None:
        self.map_id = map_id
        self._learner = make_learner(self._config, self._encoder, head_type)
        self._keyframes: dict[int, Keyframe] = {}
        self._poses: dict[int, Float64Array] = {}
        self._queue: deque[Keyframe] = deque()
        self._next_id = 0

    @property
    def keyframe_count(self) -> int:
        """Keyframes held."""
        return len(self._keyframes)

    @property
    def backlog(self) -> int:
        """Keyframes waiting to be learned."""
        return len(self._queue)

    def add_keyframe(self, keyframe: Keyframe, map_id: str) -> bool:
        """Queue a keyframe; another `map_id` starts a new, empty map. False if it is no use."""
        if map_id != self.map_id:
            log.info("new map %s", map_id)
            self._begin(map_id)
        if len(keyframe.points_cam_N3) == 0:
            return False
        if keyframe.id in self._keyframes or any(k.id == keyframe.id for k in self._queue):
            log.warning("keyframe %d is in the map already: ignored", keyframe.id)
            return False
        if keyframe.descriptors_i8_ND.shape[1] != self._encoder.dimension:
            log.warning("keyframe %d has descriptors of another encoder: ignored", keyframe.id)
            return False
        self._queue.append(keyframe)
        self._next_id = max(self._next_id, keyframe.id + 1)
        return True

    def work(self, budget_s: float) -> bool:
        """Learn queued keyframes until the budget is spent; True when the head changed."""
        end = time.perf_counter() + budget_s
        changed = self._observe_queued(end)
        return self._learner.work(end - time.perf_counter()) or changed

    def _observe_queued(self, end: float) -> bool:
        """Hand queued keyframes to the learner until the time `end`; True when there were any."""
        changed = False
        while self._queue:
            keyframe = self._queue.popleft()
            self._keyframes[keyframe.id] = keyframe
            self._poses[keyframe.id] = keyframe.T_map_cam
            self._learner.observe(keyframe, keyframe.T_map_cam)
            changed = True
            if len(self._keyframes) > self._config.keyframe.max_count:
                self._cull()
            if time.perf_counter() >= end:
                break
        return changed

    def _cull(self) -> None:
        """Drop the keyframe that is nearest to another one, never one of the ten newest."""
        identifiers = list(self._keyframes)
        poses = np.stack([self._poses[i] for i in identifiers])
        victim = identifiers[most_redundant_view(poses, newest=10)]
        del self._keyframes[victim], self._poses[victim]
        self._learner.forget(victim)

    def move_keyframes(self, poses: dict[int, Float64Array]) -> None:
        """Correct keyframe poses (id -> T_map_cam) and re-target the head exactly."""
        known = {i: T for i, T in poses.items() if i in self._poses}
        self._poses.update(known)
        self._learner.retarget(known)

    def export_head(self) -> bytes:
        """Return the head weights as the blob that trackers and maps take."""
        return pack_head(self._learner.export(), HeadInfo(
            self.map_id, self._encoder.hash, self._learner.head_type, len(self._keyframes),
            self._next_id))

    def keyframe_trajectory(self) -> Trajectory:
        """Return the keyframe poses in stamp order."""
        by_stamp = {self._keyframes[i].stamp_ns: self._poses[i] for i in self._keyframes}
        stamps = sorted(by_stamp)
        poses = np.stack([by_stamp[s] for s in stamps]) if stamps else np.empty((0, 4, 4))
        return Trajectory(np.array(stamps, np.int64), poses)

    def map_points(self, limit: int = 20000) -> Float32Array:
        """Return (N, 3) float32 map points of the keyframes' features, thinned to `limit`."""
        if not self._keyframes:
            return np.empty((0, 3), np.float32)
        points = np.concatenate([
            transform_points(self._poses[i], k.points_cam_N3.astype(np.float64))
            for i, k in self._keyframes.items()])
        step = -(-len(points) // limit)
        return points[::step].astype(np.float32)

    def save(self, path: Path, T_groundtruth_map: Float64Array | None = None) -> MapManifest:
        """Write the map folder.

        Raises:
            MapError: nothing is mapped yet, or the folder cannot be written.
        """
        self.work(float("inf"))
        if not self._keyframes:
            raise MapError("nothing is mapped yet: show the camera a textured place with depth")
        keyframes = [
            Keyframe(k.id, k.stamp_ns, self._poses[i], k.descriptors_i8_ND, k.pixels_N2,
                     k.points_cam_N3, k.camera) for i, k in self._keyframes.items()]
        points = self.map_points()
        low, high = points.min(axis=0), points.max(axis=0)
        manifest = MapManifest(
            map_id=self.map_id, encoder_name=self._encoder.name, encoder_hash=self._encoder.hash,
            head_type=self._learner.head_type, camera=keyframes[-1].camera,
            frame_id=self._config.ros.map_frame,
            bounds_m=((float(low[0]), float(low[1]), float(low[2])),
                      (float(high[0]), float(high[1]), float(high[2]))),
            software_version=__version__, T_groundtruth_map=T_groundtruth_map)
        return save_map(path, manifest, self.export_head(), keyframes)

    def load(self, path: Path) -> None:
        """Continue the map in a folder; what was mapped before is dropped.

        Raises:
            MapError: the folder is no map, damaged, of another encoder, or holds no keyframes.
        """
        stored = load_map(path, encoder_hash=self._encoder.hash)
        if stored.keyframes is None:
            raise MapError(f"{path} holds no keyframes, so it can only be localised in: "
                           "use mode localization")
        info = read_info(stored.head)
        self._begin(stored.manifest.map_id, info.head)
        for keyframe in stored.keyframes:
            self.add_keyframe(keyframe, self.map_id)
        self._next_id = max(self._next_id, info.next_keyframe)
        self._observe_queued(float("inf"))
        self._learner.restore(unpack_tensors(stored.head))
