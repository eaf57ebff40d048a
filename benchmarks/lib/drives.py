"""What the navigation benchmark maps: recorded hands, and a robot that drives through a room."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, exp_se3, make_pose
from ace_slam_ros.core.tracking.result import TrackingHints
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.synth.rendering.scene import Scene
from ace_slam_ros.synth.worlds import RATE_HZ, make_world

from .floor_plan import FloorPlan
from .tracking_runs import rendered

#: A camera on a robot as high as a chair, looking down a little; its round takes so many frames
#: and keeps so far from furniture.
HEIGHT_M, PITCH_RAD, FRAMES, CLEAR_M = 0.6, math.radians(12.0), 240, 0.25
T_BASE_CAM = make_pose(np.eye(3), np.array([0.0, 0.0, HEIGHT_M])) @ exp_se3(
    np.array([0, 0, 0, 0, PITCH_RAD, 0])) @ make_pose(R_BODY_OPTICAL_33, np.zeros(3))
#: What is higher is no obstacle to this robot.
ROBOT_VALUES = {"grid.highest_m": 0.9}


@dataclass(frozen=True)
class Drive:
    """Frames with hints, and where the camera truly was.

    Attributes:
        title, world, seed: what it is called, and where it is.
        frames: each with what a robot would tell of its camera.
        truth: of the camera in the world.
        values: parameters that differ from the defaults.
    """

    title: str
    world: str
    seed: int
    frames: Iterator[tuple[Frame, TrackingHints]]
    truth: Trajectory
    values: dict[str, Any] = field(default_factory=dict)


def carried(name: str, seed: int, frames: int | None, cache: Path) -> Drive:
    """Return a world seen by a hand-held camera, of whose place nothing is known."""
    source = open_source(rendered(name, seed, frames, cache).path)
    assert source.groundtruth is not None
    return Drive(f"{name}_{seed}", name, seed, ((f, TrackingHints()) for f in source),
                 source.groundtruth)


def driven(name: str, seed: int, frames: int | None) -> Drive:
    """Return a room seen by a robot on its round, which knows where its camera sits."""
    world = make_world(name, seed)
    hints = TrackingHints(T_base_cam=T_BASE_CAM, T_map_cam_first=T_BASE_CAM)
    ways = free_round(world.scene)
    count = min(frames or FRAMES, FRAMES)
    stamps = [round(1e9 * (1 + n / RATE_HZ)) for n in range(count)]

    def pose(number: int) -> Any:
        turn = exp_se3(np.array([0, 0, 0, 0, 0, 2 * math.pi * number / FRAMES + math.pi / 2]))
        return make_pose(turn[:3, :3], np.append(ways[number], 0.0)) @ T_BASE_CAM

    def rendered_frames() -> Iterator[tuple[Frame, TrackingHints]]:
        for number, stamp_ns in enumerate(stamps):
            seen = world.picture(pose(number), number).frame
            yield Frame(stamp_ns, seen.image, seen.depth_m, seen.camera), hints

    return Drive(f"robot_{name}_{seed}", name, seed, rendered_frames(),
                 Trajectory.of((s, pose(n)) for n, s in enumerate(stamps)), ROBOT_VALUES)


def free_round(scene: Scene) -> np.ndarray:
    """Return the places (`FRAMES`, 2) of the largest circle around which nothing stands."""
    plan = FloorPlan.of(scene, 0.02, ROBOT_VALUES["grid.highest_m"])
    angle = 2 * math.pi * np.arange(FRAMES) / FRAMES
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    at = np.arange(-1.5, 1.51, 0.1)
    for radius_m in np.arange(1.2, 0.15, -0.1):
        rounds = [radius_m * circle + (x, y) for x in at for y in at]
        clear_m = plan.clearance_m(np.concatenate(rounds)).reshape(len(rounds), -1).min(axis=1)
        if clear_m.max() >= CLEAR_M:
            return rounds[int(clear_m.argmax())]
    raise ValueError("nothing is free in this room")
