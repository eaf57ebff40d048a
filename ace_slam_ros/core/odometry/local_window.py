"""The window of keyframes around the newest one, adjusted together, at once or in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.poses import SubmapPose
from ..geometry.se3 import invert_pose, pose_errors_in_map, transform_points
from .bundle_adjustment import ITERATIONS, Window, iterate
from .local_keyframe import LocalKeyframe, Track
from .local_map import LARGEST_VIEW_DISTANCE, LocalMap
from .residuals import whitening
from .rolling_shutter import sweep

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, TrackerConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..geometry.arrays import Float64Array
    from .frame_alignment import FrameAligner

#: Fewer corners found in the other keyframe are no link.
_LEAST_TRACKS_OF_A_LINK = 12
_LINKS_PER_STEP = 2
#: Meters and radians: no pose is known better, however sure its frame of reference is.
_LEAST_MOTION = 1e-4, 1e-5


@dataclass(frozen=True)
class _Pair:
    """Corners of `host` are still to be found in the frame of another keyframe."""

    host: LocalKeyframe
    other: LocalKeyframe
    frame: Frame


@dataclass
class _Pending:
    """What is to be done around a new keyframe.

    Attributes:
        near: ids of the keyframes to adjust.
        unlinked: pairs that are not compared yet.
        adjustment: of the window, once it has begun.
        moves: `LocalMap.moves` when it began.
    """

    near: set[int]
    unlinked: list[_Pair]
    adjustment: _Adjustment | None = None
    moves: int = 0


class LocalWindow:
    """Links each new keyframe to those around it, then adjusts their poses and depths."""

    def __init__(
        self, tracker: TrackerConfig, sensor: SensorConfig, local: LocalMap,
        aligner: FrameAligner,
    ) -> None:
        self._size, self._sensor = tracker.window, sensor
        self._local, self._aligner = local, aligner
        self._pending: _Pending | None = None

    def clear(self) -> None:
        """Drop what is to be done."""
        self._pending = None

    def begin(self, added: LocalKeyframe, frame: Frame) -> None:
        """Plan the adjustment around a keyframe that was just added to the local map.

        What is left to be linked for the one before is taken over.
        """
        if self._size == 0:
            return
        pose = SubmapPose(added.T_map_cam, submap=added.submap)
        near = [k for distance, k in self._local.nearest(pose, self._size + 1)
                if distance < LARGEST_VIEW_DISTANCE and k.camera == frame.camera]
        new = [_Pair(k, added, frame) for k in near if k is not added]
        self._pending = _Pending({k.id for k in near}, self._left() + new)

    @property
    def links(self) -> bool:
        """Whether the next step compares keyframes."""
        return self._pending is not None and bool(self._pending.unlinked)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self._pending is None

    def finish(self) -> None:
        """Do all that is left."""
        while not self.is_done:
            self.step()

    def step(self) -> None:
        """Do a part: compare the newest keyframe with some others, or iterate."""
        if (pending := self._pending) is None:
            return
        if pending.unlinked:
            for pair in pending.unlinked[:_LINKS_PER_STEP]:
                self._link(pair)
            del pending.unlinked[:_LINKS_PER_STEP]
            return
        if pending.adjustment is None or pending.moves != self._local.moves:
            pending.moves = self._local.moves  # from other poses it begins anew
            pending.adjustment = _Adjustment(
                self._local, pending.near, self._sensor, self._aligner.shutter.readout_s)
        if not pending.adjustment.step():
            self._pending = None

    def _left(self) -> list[_Pair]:
        """Return the pairs that an adjustment under way leaves to the next one."""
        if self._pending is not None and len(self._pending.unlinked) > self._size:
            self.finish()
        return [] if self._pending is None else [
            pair for pair in self._pending.unlinked
            if pair.host.id in self._local and pair.other.id in self._local]

    def _link(self, pair: _Pair) -> None:
        """Find the corners of a keyframe in another one."""
        found = self._aligner.find(
            pair.host, self._aligner.points(pair.host), pair.frame, pair.other.T_map_cam)
        if len(found.index_m) >= _LEAST_TRACKS_OF_A_LINK:
            pair.host.tracks[pair.other.id] = Track(
                *found, self._aligner.depth(pair.frame, found.pixels_m2))


class _Adjustment:
    """Adjusts the poses of the chosen keyframes and the depths of all points they see or show.

    Keyframes that share points with them but are not chosen hold them in place; without any, the
    oldest chosen one does.
    """

    def __init__(
        self, local: LocalMap, chosen: set[int], sensor: SensorConfig, readout_s: float
    ) -> None:
        self._local, self._sensor = local, sensor
        self._gathered = _gather(local, chosen, sensor, readout_s)
        self._left = ITERATIONS

    def step(self) -> bool:
        """Do one iteration; False when it was the last one, which moves the keyframes."""
        if self._gathered is None:
            return False
        narrowed_n = iterate(self._gathered.window, self._gathered.camera, self._sensor)
        self._left -= 1
        if not self._left:
            self._gathered.take_over(self._local, narrowed_n)
        return self._left > 0


@dataclass(frozen=True)
class _Gathered:
    """A window; `place` of each keyframe in it by id, and `first` point of each host by id."""

    window: Window
    camera: Camera
    place: dict[int, int]
    first: dict[int, int]

    def take_over(self, local: LocalMap, narrowed_n: Float64Array) -> None:
        """Give the keyframes what the window says of them and of their points."""
        for i, k in self.place.items():
            keyframe, adjusted = local[i], self.window.poses_K44[k]
            keyframe.covariance_66 = inflate_by_innovation(
                keyframe.covariance_66, keyframe.T_map_cam, adjusted)
            keyframe.T_map_cam = adjusted
        for i, first in self.first.items():
            own = slice(first, first + len(local[i].pixels_n2))
            local[i].inverse_n = self.window.inverse_n[own].copy()
            local[i].narrowed_n = narrowed_n[own].copy()
        local.adjusted()


def _gather(
    local: LocalMap, chosen: set[int], sensor: SensorConfig, readout_s: float
) -> _Gathered | None:
    """Make a window of the chosen keyframes and those linked to them; None without any link."""
    links = [(host, local[i]) for host in local for i in host.tracks
             if i in local and (host.id in chosen or i in chosen)]
    if not links:
        return None
    place = {i: k for k, i in enumerate(sorted({k.id for link in links for k in link}))}
    free = np.array([i in chosen for i in place])
    if free.all():
        free[0] = False
    hosts = list(dict.fromkeys(host.id for host, _ in links))
    ends = np.cumsum([0, *(len(local[i].pixels_n2) for i in hosts)]).tolist()
    first = dict(zip(hosts, ends[:-1], strict=True))
    measured = np.concatenate([local[i].measured_m_n for i in hosts])
    rays = {i: local[i].rays_n3(readout_s) for i in hosts}
    seen = [_sighting(host, other, rays[host.id], readout_s) for host, other in links]
    window = Window(
        poses_K44=np.stack([local[i].T_map_cam for i in place]), free_K=free,
        rays_n3=np.concatenate([rays[i] for i in hosts]),
        host_n=np.concatenate(
            [np.full(len(local[i].pixels_n2), place[i], np.int64) for i in hosts]),
        inverse_n=np.concatenate([local[i].inverse_n for i in hosts]),
        measured_n=measured, sigma_n=sensor.depth_sigma_m(measured),
        point_m=np.concatenate([first[h.id] + h.tracks[o.id].index_m for h, o in links]),
        target_m=np.concatenate([np.full(len(h.tracks[o.id].index_m), place[o.id], np.int64)
                                 for h, o in links]),
        pixels_m2=np.concatenate(seen),
        white_m3=whitening(np.concatenate([h.tracks[o.id].misfit_m3 for h, o in links]),
                           sensor.pixel_sigma),
        depth_m=np.concatenate([h.tracks[o.id].depth_m for h, o in links]).astype(np.float64))
    return _Gathered(window, links[0][0].camera, place, first)


def _sighting(
    host: LocalKeyframe, other: LocalKeyframe, rays_n3: Float64Array, readout_s: float
) -> Float64Array:
    """Pixels (m, 2) of a host's corners, of `rays_n3`, in another keyframe, as at the stamp."""
    track = host.tracks[other.id]
    pixels = track.pixels_m2.astype(np.float64)
    if readout_s == 0.0:
        return pixels
    points = rays_n3[track.index_m] / host.inverse_n[track.index_m][:, None]
    in_other = transform_points(invert_pose(other.T_map_cam) @ host.T_map_cam, points)
    return pixels + readout_s * sweep(in_other, pixels, other.twist_6, other.camera)


def inflate_by_innovation(
    covariance_66: Float64Array, T_before: Float64Array, T_after: Float64Array
) -> Float64Array:
    """Covariance (6, 6) of a pose that an adjustment moved, in map axes.

    A motion that it does not expect (beyond one standard deviation per unknown) is added to it:
    what holds the pose now errs by as much, as where a path returns to its start with its drift.
    """
    motion_6 = pose_errors_in_map(T_after[None], T_before[None])[0]
    floor_66 = np.diag([_LEAST_MOTION[0] ** 2] * 3 + [_LEAST_MOTION[1] ** 2] * 3)
    surprise = float(motion_6 @ np.linalg.solve(covariance_66 + floor_66, motion_6)) / 6.0
    if surprise <= 1.0:
        return covariance_66
    return np.asarray(covariance_66 + (1.0 - 1.0 / surprise) * np.outer(motion_6, motion_6))
