"""Scenes to train the regressor on: what mapping and query cameras saw of a world, as features.

A scene is a world of a seed that no test and no benchmark uses. Mapping views come from its path;
queries from another path, another light, other sides and rolls, and other cameras. Features are
kept, not images: descriptors in eight bits, as keyframes have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from photometric import photometric
from tqdm import tqdm
from worlds import FIRST_SEED

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.base import Encoder
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.geometry.arrays import Float32Array, Float64Array, Int8Array
from ace_slam_ros.core.geometry.se3 import make_pose
from ace_slam_ros.synth.worlds import SynthFrame, World, make_world

#: Mapping world and query world of scene n, in turn.
KINDS = (
    ("room", "lighting"), ("room", "lighting"), ("room", "lighting"), ("corridor", "corridor"),
    ("room", "lighting"), ("lighting", "room"), ("room", "room"), ("loop", "loop"))
#: Mapping views of a scene, and queries of each of the three kinds.
_MAPPING, _QUERIES = 24, 8
#: How far a query may be from the path it began on.
_SHIFT_M, _YAW_RAD, _PITCH_RAD, _ROLL_RAD = 0.5, np.radians(45), np.radians(20), np.radians(30)
_CLEARANCE_M, _LEAST_DEPTH_SHARE, _TRIES = 0.35, 0.5, 6
#: Share of the queries whose image another camera took.
_OTHER_CAMERA = 0.5


@dataclass(frozen=True)
class Shot:
    """What one camera saw.

    Attributes:
        descriptors_i8_ND: (N, D) int8; scaled to unit norm they are the descriptors.
        points_cam_N3: (N, 3) float32 camera-frame points, meters.
        pixels_N2: (N, 2) float32 pixels.
        T_world_cam_44: (4, 4) true camera pose.
    """

    descriptors_i8_ND: Int8Array
    points_cam_N3: Float32Array
    pixels_N2: Float32Array
    T_world_cam_44: Float64Array


@dataclass(frozen=True)
class SceneShots:
    """Mapping views and queries of one scene."""

    mapping: list[Shot]
    queries: list[Shot]


def render_scene(
    number: int, path: Path, encoder: Encoder, config: SlamConfig, mapping: int = _MAPPING,
    queries: int = _QUERIES,
) -> None:
    """Render scene `number` and write its features into one .npz file, unless it is there.

    Args:
        number: of the scene.
        path: of the file.
        encoder, config: for the features.
        mapping: how many mapping views.
        queries: how many of each of the three kinds.
    """
    if path.exists():
        return
    here, there = (make_world(name, FIRST_SEED + number) for name in KINDS[number % len(KINDS)])
    rng = np.random.default_rng([7, number])
    frames = [(item.frame, item.T_world_cam_44) for item in _along(here, rng, mapping)]
    frames += _queries(here, there, rng, queries)
    shots = [_shot(frame, T, encoder, config) for frame, T in frames]
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, mapping=mapping,
             counts=np.array([len(s.pixels_N2) for s in shots]),
             descriptors=np.concatenate([s.descriptors_i8_ND for s in shots]),
             points=np.concatenate([s.points_cam_N3 for s in shots]),
             pixels=np.concatenate([s.pixels_N2 for s in shots]),
             poses=np.stack([s.T_world_cam_44 for s in shots]))
    temporary.replace(path)


def render_scenes(
    folder: Path, count: int, encoder: Encoder, config: SlamConfig, first: int = 0
) -> list[Path]:
    """Render scenes `first` to `first + count - 1`, those not there yet; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene_{n:04d}.npz" for n in range(first, first + count)]
    for number, path in enumerate(tqdm(paths, desc="rendering scenes", mininterval=10), first):
        render_scene(number, path, encoder, config)
    return paths


def load_scene(path: Path) -> SceneShots:
    """Read a rendered scene."""
    with np.load(path) as stored:
        ends = np.cumsum(stored["counts"])[:-1]
        columns = [np.split(stored[name], ends) for name in ("descriptors", "points", "pixels")]
        shots = [Shot(*part) for part in zip(*columns, stored["poses"], strict=True)]
        mapping = int(stored["mapping"])
    return SceneShots(shots[:mapping], shots[mapping:])


def _along(world: World, rng: np.random.Generator, count: int) -> Iterator[SynthFrame]:
    step = world.default_frames // count
    return world.frames(start=int(rng.integers(step)), step=step)


def _queries(
    here: World, there: World, rng: np.random.Generator, count: int
) -> list[tuple[Frame, Float64Array]]:
    """Return frames of the other path, frames beside it, and frames beside the mapping path."""
    found = [(item.frame, item.T_world_cam_44) for item in _along(there, rng, count)]
    for world, poses in ((there, there), (there, here)):
        path = poses.path()
        for n in range(count):
            for _ in range(_TRIES):
                T = _beside(path.pose(float(rng.uniform(0.0, path.duration_s))), rng)
                frame = world.picture(T, n).frame
                if _is_of_use(frame):
                    found.append((frame, T))
                    break
    return [(_by_other_camera(frame, rng), T) for frame, T in found]


def _beside(T_world_cam_44: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Return a pose that looks past a path: shifted, turned, rolled."""
    shift_3 = rng.uniform(-_SHIFT_M, _SHIFT_M, 3) * (1.0, 0.5, 1.0)
    pitch, yaw, roll = rng.uniform(-1.0, 1.0, 3) * (_PITCH_RAD, _YAW_RAD, _ROLL_RAD)
    turn_33 = np.eye(3)
    for axis_3 in ([0.0, yaw, 0.0], [pitch, 0.0, 0.0], [0.0, 0.0, roll]):
        turn_33 = turn_33 @ np.asarray(cv2.Rodrigues(np.array(axis_3))[0])
    return np.asarray(T_world_cam_44 @ make_pose(turn_33, shift_3))


def _is_of_use(frame: Frame) -> bool:
    """Whether nothing is too near and enough has depth."""
    depth_m = frame.depth_m
    assert depth_m is not None
    known = depth_m[depth_m > 0.0]
    return (len(known) > _LEAST_DEPTH_SHARE * depth_m.size
            and float(np.percentile(known, 5)) > _CLEARANCE_M)


def _by_other_camera(frame: Frame, rng: np.random.Generator) -> Frame:
    if rng.random() >= _OTHER_CAMERA:
        return frame
    image: npt.NDArray[np.uint8] = photometric(rng, frame.gray)
    return Frame(frame.stamp_ns, image, frame.depth_m, frame.camera)


def _shot(frame: Frame, T_44: Float64Array, encoder: Encoder, config: SlamConfig) -> Shot:
    features = extract_features(encoder, frame, config.features, config.sensor)
    kept = Keyframe.from_features(0, frame.stamp_ns, T_44, features, frame.camera)
    return Shot(kept.descriptors_i8_ND, kept.points_cam_N3, kept.pixels_N2, T_44)
