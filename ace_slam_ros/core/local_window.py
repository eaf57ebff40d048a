"""Gathers local keyframes around a new one into a window, adjusts it and takes the result over."""

from __future__ import annotations

import numpy as np

from .config import SensorConfig
from .geometry import Float64Array, invert_pose, transform_points
from .local_keyframe import LocalKeyframe
from .refinement.shutter import sweep
from .refinement.window import Window, adjust


def adjust_keyframes(
    keyframes: dict[int, LocalKeyframe], chosen: set[int], sensor: SensorConfig, readout_s: float
) -> None:
    """Adjust the poses of the chosen keyframes and the depths of all points they see or show.

    Keyframes that share points with them but are not chosen hold them in place; without any, the
    oldest chosen one does.
    """
    links = [(host, keyframes[i]) for host in keyframes.values() for i in host.tracks
             if i in keyframes and (host.id in chosen or i in chosen)]
    if not links:
        return
    place = {i: k for k, i in enumerate(sorted({k.id for link in links for k in link}))}
    free = np.array([i in chosen for i in place])
    if free.all():
        free[0] = False
    hosts = list(dict.fromkeys(host.id for host, _ in links))
    first = dict(zip(hosts, np.cumsum([0, *(len(keyframes[i].pixels_n2) for i in hosts)])[:-1],
                     strict=True))
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
    narrowed = adjust(window, links[0][0].camera, sensor)
    for i, k in place.items():
        keyframes[i].T_map_cam = window.poses_K44[k]
    for i in hosts:
        own = slice(first[i], first[i] + len(keyframes[i].pixels_n2))
        keyframes[i].inverse_n = window.inverse_n[own].copy()
        keyframes[i].narrowed_n = narrowed[own].copy()


def _sighting(host: LocalKeyframe, other: LocalKeyframe, readout_s: float) -> Float64Array:
    """Pixels (m, 2) of a host's corners in another keyframe, as at the stamp."""
    track = host.tracks[other.id]
    pixels = track.pixels_m2.astype(np.float64)
    if readout_s == 0.0:
        return pixels
    points = host.rays_n3(readout_s)[track.index_m] / host.inverse_n[track.index_m][:, None]
    in_other = transform_points(invert_pose(other.T_map_cam) @ host.T_map_cam, points)
    return pixels + readout_s * sweep(in_other, pixels, other.twist_6, other.camera)
