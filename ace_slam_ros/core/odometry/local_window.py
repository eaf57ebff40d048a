"""Gathers local keyframes around a new one into a window and adjusts it, at once or in steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config.sections import SensorConfig
from ..data.camera import Camera
from ..data.frame import Frame
from ..geometry.arrays import Float64Array
from ..geometry.se3 import invert_pose, transform_points
from .bundle_adjustment import ITERATIONS, Window, iterate
from .local_keyframe import LocalKeyframe
from .pose_optimization import surprised
from .rolling_shutter import sweep


class WindowAdjustment:
    """Adjusts the poses of the chosen keyframes and the depths of all points they see or show.

    Keyframes that share points with them but are not chosen hold them in place; without any, the
    oldest chosen one does. Keyframes must not be moved or dropped before the last step.
    """

    def __init__(
        self, keyframes: dict[int, LocalKeyframe], chosen: set[int], sensor: SensorConfig,
        readout_s: float,
    ) -> None:
        self._keyframes, self._sensor = keyframes, sensor
        self._gathered = _gather(keyframes, chosen, sensor, readout_s)
        self._left = ITERATIONS

    def step(self) -> bool:
        """Do one iteration; False when it was the last one, which moves the keyframes."""
        if self._gathered is None:
            return False
        narrowed_n = iterate(self._gathered.window, self._gathered.camera, self._sensor)
        self._left -= 1
        if not self._left:
            self._gathered.take_over(self._keyframes, narrowed_n)
        return self._left > 0


@dataclass(frozen=True)
class Unlinked:
    """Corners of `host` are still to be found in the frame of another keyframe."""

    host: LocalKeyframe
    other: LocalKeyframe
    frame: Frame


@dataclass
class Unadjusted:
    """What is to be done around a new keyframe.

    Attributes:
        near: ids of the keyframes to adjust.
        unlinked: pairs that are not compared yet.
        window: the adjustment, once it has begun.
    """

    near: set[int]
    unlinked: list[Unlinked]
    window: WindowAdjustment | None = None


@dataclass(frozen=True)
class _Gathered:
    """A window; `place` of each keyframe in it by id, and `first` point of each host by id."""

    window: Window
    camera: Camera
    place: dict[int, int]
    first: dict[int, int]

    def take_over(self, keyframes: dict[int, LocalKeyframe], narrowed_n: Float64Array) -> None:
        """Give the keyframes what the window says of them and of their points."""
        for i, k in self.place.items():
            keyframe, adjusted = keyframes[i], self.window.poses_K44[k]
            keyframe.covariance_66 = surprised(
                keyframe.covariance_66, keyframe.T_map_cam, adjusted)
            keyframe.T_map_cam = adjusted
        for i, first in self.first.items():
            own = slice(first, first + len(keyframes[i].pixels_n2))
            keyframes[i].inverse_n = self.window.inverse_n[own].copy()
            keyframes[i].narrowed_n = narrowed_n[own].copy()


def _gather(
    keyframes: dict[int, LocalKeyframe], chosen: set[int], sensor: SensorConfig, readout_s: float
) -> _Gathered | None:
    """Make a window of the chosen keyframes and those linked to them; None without any link."""
    links = [(host, keyframes[i]) for host in keyframes.values() for i in host.tracks
             if i in keyframes and (host.id in chosen or i in chosen)]
    if not links:
        return None
    place = {i: k for k, i in enumerate(sorted({k.id for link in links for k in link}))}
    free = np.array([i in chosen for i in place])
    if free.all():
        free[0] = False
    hosts = list(dict.fromkeys(host.id for host, _ in links))
    ends = np.cumsum([0, *(len(keyframes[i].pixels_n2) for i in hosts)]).tolist()
    first = dict(zip(hosts, ends[:-1], strict=True))
    measured = np.concatenate([keyframes[i].measured_m_n for i in hosts])
    seen = [_sighting(host, other, readout_s) for host, other in links]
    window = Window(
        poses_K44=np.stack([keyframes[i].T_map_cam for i in place]), free_K=free,
        rays_n3=np.concatenate([keyframes[i].rays_n3(readout_s) for i in hosts]),
        host_n=np.concatenate(
            [np.full(len(keyframes[i].pixels_n2), place[i], np.int64) for i in hosts]),
        inverse_n=np.concatenate([keyframes[i].inverse_n for i in hosts]),
        measured_n=measured, sigma_n=sensor.depth_sigma_m(measured),
        point_m=np.concatenate([first[h.id] + h.tracks[o.id].index_m for h, o in links]),
        target_m=np.concatenate([np.full(len(h.tracks[o.id].index_m), place[o.id], np.int64)
                                 for h, o in links]),
        pixels_m2=np.concatenate(seen),
        depth_m=np.concatenate([h.tracks[o.id].depth_m for h, o in links]).astype(np.float64))
    return _Gathered(window, links[0][0].camera, place, first)


def _sighting(host: LocalKeyframe, other: LocalKeyframe, readout_s: float) -> Float64Array:
    """Pixels (m, 2) of a host's corners in another keyframe, as at the stamp."""
    track = host.tracks[other.id]
    pixels = track.pixels_m2.astype(np.float64)
    if readout_s == 0.0:
        return pixels
    points = host.rays_n3(readout_s)[track.index_m] / host.inverse_n[track.index_m][:, None]
    in_other = transform_points(invert_pose(other.T_map_cam) @ host.T_map_cam, points)
    return pixels + readout_s * sweep(in_other, pixels, other.twist_6, other.camera)
