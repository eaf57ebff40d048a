"""People-sized movers: articulated bodies of textured prisms that walk along smooth paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.geometry.se3 import make_pose
from ..rendering import pictures as pic
from ..rendering.lighting import Lamp, Lighting
from ..rendering.scene import Builder, Surface
from ..rendering.textures import fabric, generator, painted, vary

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

#: Parts per person: trunk with head, two upper and two lower arms, two thighs, two shins.
PARTS = 9
_HIP_M, _KNEE_M, _SHOULDER_M, _ELBOW_M = 0.88, 0.45, 1.42, 0.31
_PERSONAL_SPACE_M = 1.7


@dataclass(frozen=True)
class Walker:
    """One person's walk.

    Attributes:
        times_s: (N,) samples in seconds.
        ground_N2: (N, 2) position on the floor, meters.
        heading_N: (N,) direction of walking, radians, unwrapped.
        stride_N: (N,) phase of the steps, radians.
        swing_N: (N,) how far the limbs swing, 0 (standing) to 1.
    """

    times_s: Float64Array
    ground_N2: Float64Array
    heading_N: Float64Array
    stride_N: Float64Array
    swing_N: Float64Array

    def parts(self, time_s: float) -> Float64Array:
        """Return T_world_part (PARTS, 4, 4) of the body at a time."""
        at = [np.interp(time_s, self.times_s, column) for column in (
            self.ground_N2[:, 0], self.ground_N2[:, 1], self.heading_N, self.stride_N,
            self.swing_N)]
        x, y, heading, phase, swing = (float(v) for v in at)
        bob = 0.018 * swing * np.cos(2 * phase)
        root = make_pose(_turn_z(heading), np.array([x, y, bob]))
        poses = [root]
        for side in (-1.0, 1.0):
            arm = root @ _joint(0.0, 0.23 * side, _SHOULDER_M,
                                -0.55 * swing * side * np.sin(phase) - 0.05)
            poses += [arm, arm @ _joint(0.0, 0.0, -_ELBOW_M, -0.3 - 0.35 * swing)]
        for side in (-1.0, 1.0):
            wave = np.sin(phase + (0.0 if side < 0 else np.pi))
            thigh = root @ _joint(0.0, 0.095 * side, _HIP_M, -0.45 * swing * wave)
            bend = 0.1 + 0.7 * swing * max(0.0, -np.cos(phase + (0.0 if side < 0 else np.pi)))
            poses += [thigh, thigh @ _joint(0.0, 0.0, -(_HIP_M - _KNEE_M), bend)]
        return np.stack(poses)


def _turn_z(angle: float) -> Float64Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float64)


def _joint(x: float, y: float, z: float, pitch: float) -> Float64Array:
    """Joint at (x, y, z) in the parent, turned about y; positive pitch swings the limb back."""
    c, s = np.cos(pitch), np.sin(pitch)
    R_33 = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float64)
    return make_pose(R_33, np.array([x, y, z]))


def build_people(seed: int, count: int) -> tuple[tuple[Surface, ...], Lighting]:
    """Return the surfaces of all bodies (part k of person p is p * PARTS + k) and their light."""
    b = Builder(generator(seed, "people"), texel_m=0.003)
    for person in range(count):
        _body(b, person * PARTS)
    lighting = Lighting((Lamp((0.8, 0.6, 2.9), 0.3, (1.6, 1.5, 1.35)),), None,
                        (0.4, 0.4, 0.4), (0.22, 0.21, 0.2))
    return tuple(b.surfaces), lighting


def _body(b: Builder, first: int) -> None:
    rng = b.rng
    shirt = fabric(pic.random_color(rng, 0.7), pic.random_color(rng, 0.7)
                   if rng.random() < 0.6 else None)
    trousers = fabric(vary(rng, (62.0, 70.0, 96.0), 0.3))
    skin, hair = painted(vary(rng, (205.0, 158.0, 130.0), 0.15)), painted(
        vary(rng, (70.0, 48.0, 34.0), 0.4), 0.2, 0.15)
    shoe = painted(vary(rng, (60.0, 56.0, 54.0), 0.4))
    b.part = first
    b.prism((0, 0, _HIP_M - 0.08), (0.15, 0.16), 0.2, 8, trousers, squash=1.2, shadow=False)
    b.prism((0, 0, _HIP_M + 0.1), (0.15, 0.19), 0.4, 8, shirt, squash=1.25, shadow=False)
    b.prism((0, 0, _HIP_M + 0.5), (0.19, 0.08), 0.1, 8, shirt, shirt, squash=1.25, shadow=False)
    b.prism((0, 0, 1.47), (0.055, 0.06), 0.09, 8, skin, shadow=False)
    b.prism((0.01, 0, 1.54), (0.07, 0.1), 0.1, 8, skin, shadow=False)
    b.prism((0.01, 0, 1.64), (0.1, 0.1), 0.06, 8, skin, shadow=False)
    b.prism((0.0, 0, 1.70), (0.105, 0.06), 0.09, 8, hair, hair, shadow=False)
    for side in (0, 1):
        b.part = first + 1 + 2 * side
        b.prism((0, 0, -_ELBOW_M), (0.045, 0.06), _ELBOW_M, 6, shirt, shirt, shadow=False)
        b.part += 1
        b.prism((0, 0, -0.24), (0.035, 0.043), 0.24, 6, skin, shadow=False)
        b.prism((0, 0, -0.37), (0.03, 0.045), 0.13, 6, skin, shadow=False)
    for side in (0, 1):
        b.part = first + 5 + 2 * side
        b.prism((0, 0, -(_HIP_M - _KNEE_M)), (0.065, 0.09), _HIP_M - _KNEE_M, 6, trousers,
                shadow=False)
        b.part += 1
        b.prism((0, 0, 0.08 - _KNEE_M), (0.048, 0.062), _KNEE_M - 0.08, 6, trousers, shadow=False)
        b.box((0.06, 0, 0.04 - _KNEE_M), (0.27, 0.1, 0.08), shoe, "fblrt", shadow=False)
    b.part = -1


def walk_in_view(
    seed: int, person: int, times_s: Float64Array, T_world_cam_N44: Float64Array,
    limits_2: tuple[float, float],
) -> Walker:
    """Plan a walk that keeps crossing the view of a camera at one to two meters.

    Args:
        seed: world seed.
        person: number of the person, selects side, distance and rhythm.
        times_s: (N,) even samples in seconds.
        T_world_cam_N44: (N, 4, 4) camera poses at those times.
        limits_2: half extents of the free floor, meters.
    """
    rng = generator(seed, f"walk {person}")
    step_s = float(times_s[1] - times_s[0])
    forward = T_world_cam_N44[:, :2, 2]
    heading = np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))
    swing = 0.75 * np.sin(2 * np.pi * times_s / rng.uniform(7, 11) + rng.uniform(0, 2 * np.pi))
    swing += 0.3 * np.sin(2 * np.pi * times_s / rng.uniform(3.5, 5) + rng.uniform(0, 2 * np.pi))
    near, far = 1.95 + 0.25 * person, 2.5 + 0.3 * person
    distance = near + (far - near) * (0.5 + 0.5 * np.sin(
        2 * np.pi * times_s / rng.uniform(9, 14) + rng.uniform(0, 2 * np.pi)))
    angle = _smooth(heading, 1.2 / step_s) + swing
    ground = T_world_cam_N44[:, :2, 3] + distance[:, None] * np.stack(
        [np.cos(angle), np.sin(angle)], 1)
    ground = np.clip(ground, -np.asarray(limits_2), limits_2)
    ground = np.stack([_smooth(ground[:, k], 0.8 / step_s) for k in (0, 1)], 1)
    ground = _keep_apart(_limit_speed(ground, 1.3 * step_s), T_world_cam_N44[:, :2, 3])
    velocity = np.gradient(ground, step_s, axis=0)
    speed = _smooth(np.linalg.norm(velocity, axis=1), 0.5 / step_s)
    facing = np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0]))
    return Walker(times_s, ground, _smooth(facing, 0.8 / step_s),
                  np.cumsum(speed) * step_s * 2 * np.pi / 1.3, np.clip(speed / 0.8, 0, 1))


def _smooth(values_N: Float64Array, width: float) -> Float64Array:
    kernel = np.hanning(2 * int(width) + 3)[1:-1]
    padded = np.pad(values_N, int(width), mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _limit_speed(ground_N2: Float64Array, step_m: float) -> Float64Array:
    """Follow a path without ever moving more than `step_m` per sample."""
    out = ground_N2.copy()
    for k in range(1, len(out)):
        move = ground_N2[k] - out[k - 1]
        out[k] = out[k - 1] + move * min(1.0, step_m / max(float(np.linalg.norm(move)), 1e-9))
    return out


def _keep_apart(ground_N2: Float64Array, camera_N2: Float64Array) -> Float64Array:
    """Push positions out of a circle around the camera."""
    away = ground_N2 - camera_N2
    distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    return np.asarray(camera_N2 + away * np.maximum(1.0, _PERSONAL_SPACE_M / distance))
