"""Camera motion: smooth splines through viewpoints, limited in speed and turn rate, hand tremor.

A path is a function of time. Camera poses are optical frames (x right, y down, z forward) in the
world (z up): T_world_cam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.geometry.se3 import make_pose

if TYPE_CHECKING:
    from ..core.geometry.arrays import Float64Array

#: Path samples per control state.
FINE_PER_KNOT = 40


@dataclass(frozen=True)
class Limits:
    """How fast a hand moves the camera."""

    speed_m_s: float
    turn_rad_s: float
    knot_s: float


@dataclass(frozen=True)
class CameraPath:
    """A camera path sampled densely over time.

    Attributes:
        times_s: (N,) increasing from 0.
        states_N6: (N, 6) x, y, z in meters, yaw, pitch (up positive), roll in radians; unwrapped.
        tremor: hand tremor.
    """

    times_s: Float64Array
    states_N6: Float64Array
    tremor: Tremor

    @property
    def duration_s(self) -> float:
        """Length of the path in seconds."""
        return float(self.times_s[-1])

    def pose(self, time_s: float) -> Float64Array:
        """Return T_world_cam (4, 4) at a time, clamped to the path."""
        state = np.array([np.interp(time_s, self.times_s, column) for column in self.states_N6.T])
        # The tremor starts from rest like the rest of the motion.
        return pose_of_state(state + min(1.0, max(0.0, time_s)) * self.tremor.at(time_s))


@dataclass(frozen=True)
class Tremor:
    """Sum of sines in all six degrees of freedom: (K, 6) amplitudes and phases, (K,) hertz."""

    amplitudes_K6: Float64Array
    phases_K6: Float64Array
    frequencies_K: Float64Array

    @staticmethod
    def draw(rng: np.random.Generator, position_m: float, angle_rad: float) -> Tremor:
        """Draw a tremor of given RMS amplitudes, 0.4 to 7 Hz, weaker at high frequency."""
        frequencies = np.exp(rng.uniform(np.log(0.4), np.log(7.0), 14))
        scale = np.array([position_m] * 3 + [angle_rad] * 3) / np.sqrt(7.0)
        weight = (0.6 / frequencies) ** 1.1
        amplitudes = weight[:, None] * scale * rng.uniform(0.5, 1.5, (14, 6)) * 2.0
        return Tremor(amplitudes, rng.uniform(0, 2 * np.pi, (14, 6)), frequencies)

    @staticmethod
    def none() -> Tremor:
        """Return a steady hand."""
        return Tremor(np.zeros((0, 6)), np.zeros((0, 6)), np.zeros(0))

    def at(self, time_s: float) -> Float64Array:
        """Return the offset (6,) of the state at a time."""
        angle = 2 * np.pi * self.frequencies_K[:, None] * time_s + self.phases_K6
        return np.asarray((self.amplitudes_K6 * np.sin(angle)).sum(0))


def pose_of_state(state_6: Float64Array) -> Float64Array:
    """Return T_world_cam of x, y, z, yaw, pitch, roll."""
    yaw, pitch, roll = state_6[3:]
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    R_33 = np.stack([c * right + s * down, c * down - s * right, forward], axis=1)
    return make_pose(R_33, state_6[:3])


def spline_path(
    knots_K6: Float64Array, limits: Limits, tremor: Tremor, start_s: float = 1.5
) -> CameraPath:
    """Run a cubic B-spline through control states and slow it down where it would be too fast.

    The curve stays in the convex hull of four consecutive positions. Timing depends only on the
    neighborhood, so a longer path begins exactly like a shorter one with the same first knots.
    """
    states = b_spline(knots_K6)
    step = np.diff(states, axis=0)
    length = np.linalg.norm(step[:, :3], axis=1)
    turn = np.linalg.norm(step[:, 3:], axis=1)
    needed = np.maximum.reduce([
        length / limits.speed_m_s, turn / limits.turn_rad_s,
        np.full(len(step), limits.knot_s / FINE_PER_KNOT),
    ])
    duration = smooth_above(needed, FINE_PER_KNOT)
    times = np.concatenate([[0.0], np.cumsum(duration)])
    # Ease in: path time tau(t) = t^2 / (2 start) until its speed is one.
    eased = np.where(times < start_s / 2, np.sqrt(2 * start_s * times), times + start_s / 2)
    return CameraPath(eased, states, tremor)


def b_spline(knots_KD: Float64Array) -> Float64Array:
    """Sample the uniform cubic B-spline ((K - 3) * FINE_PER_KNOT, D) of (K, D) control points."""
    t = np.arange(FINE_PER_KNOT) / FINE_PER_KNOT
    basis = np.stack([
        (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
    ], axis=1) / 6
    windows = np.stack([knots_KD[i : len(knots_KD) - 3 + i] for i in range(4)], axis=1)
    return np.asarray(np.einsum("tk,wkd->wtd", basis, windows).reshape(-1, knots_KD.shape[1]))


def smooth_above(needed_N: Float64Array, reach: int) -> Float64Array:
    """Smooth curve that never falls below `needed_N`: local maximum, then a wider mean."""
    padded = np.pad(needed_N, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    peak = np.pad(windows.max(1), reach, mode="edge")
    kernel = np.hanning(2 * reach + 3)[1:-1]
    return np.convolve(peak, kernel / kernel.sum(), mode="valid")


def look_at(position_3: Float64Array, target_3: Float64Array) -> tuple[float, float]:
    """Yaw and pitch in radians of the direction from a position to a target."""
    d = target_3 - position_3
    return float(np.arctan2(d[1], d[0])), float(np.arctan2(d[2], np.hypot(d[0], d[1])))


def wander(
    rng: np.random.Generator, center_3: Float64Array, half_3: Float64Array,
    room_half_2: tuple[float, float], knots: int,
) -> Float64Array:
    """Control states of a hand-held camera that looks around a room and comes back often.

    The gaze strolls once around the whole room, with pauses and looks back, before it may turn
    round; so every sequence of a room sees all of it.
    """
    states = np.zeros((knots, 6))
    yaw, direction = float(rng.uniform(-np.pi, np.pi)), float(rng.choice([-1.0, 1.0]))
    turned = 0.0
    for k in range(knots):
        if turned > 2.2 * np.pi and rng.random() < 0.5:
            direction, turned = -direction, 0.0
        step = rng.normal(0.43, 0.28)
        yaw, turned = yaw + direction * step, turned + step
        heading = np.array([np.cos(yaw), np.sin(yaw), 0.0])
        back = -heading * rng.uniform(-0.9, 0.7) + 0.45 * rng.normal(size=3)
        position = center_3 + half_3 * np.clip(back, -1, 1)
        reach = min(room_half_2[0] / max(abs(heading[0]), 1e-6),
                    room_half_2[1] / max(abs(heading[1]), 1e-6))
        target = reach * heading + np.array([0, 0, rng.uniform(0.5, 1.4)])
        states[k, :3] = position
        seen_yaw, states[k, 4] = look_at(position, target)
        states[k, 3] = yaw + (seen_yaw - yaw + np.pi) % (2 * np.pi) - np.pi
        states[k, 5] = rng.normal(0, 0.06)
    states[:3, :3] = states[3, :3]
    states[:2, 3:] = states[2, 3:]
    return states
