"""A hurried hand: a body that keeps moving, and a gaze that swings from one thing to the next.

Position and gaze have clocks of their own, so that neither waits for the other: a spline is walked
along at a speed that comes and goes, and the gaze is a sum of swings, each the quintic that starts
and ends at rest. Both have continuous acceleration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline

from .motion import FINE_PER_KNOT, CameraPath, Tremor, b_spline, smooth_above
from .rendering.textures import generator

if TYPE_CHECKING:
    from ..core.geometry.arrays import Float64Array

#: Nobody who films runs.
_FASTEST_M_S = 0.87
#: Acceleration of a hand that turns back, m/s^2.
_TURN_BACK_M_S2 = 2.5
#: Turn rate of the heading, which swings of the gaze add to.
_CORNER_RAD_S = np.radians(30.0)
#: Time to reach full speed from rest, seconds.
_START_S = 1.5
#: Samples of a path per second: between them it is a straight line, to within 3 micrometers.
_SAMPLES_HZ = 480
#: Peak speed of a quintic from 0 to 1 in unit time.
_QUINTIC_PEAK = 1.875


@dataclass(frozen=True)
class Haste:
    """How a hurried hand moves and looks around.

    Attributes:
        speed_m_s: slowest and fastest speed it strives for, without the limit of all hands; turns
            of the path are taken slower.
        fastest_rad_s: highest turn rate of a swing.
        reach_rad: largest yaw to either side of the heading; None = all around.
        pitch_rad: mean pitch, up positive.
    """

    speed_m_s: tuple[float, float]
    fastest_rad_s: float
    reach_rad: float | None = None
    pitch_rad: float = -0.08


def hurried_path(
    seed: int, purpose: str, knots_K4: Float64Array, seconds: float, haste: Haste
) -> CameraPath:
    """Run a cubic B-spline through control points at varying speed, and look around meanwhile.

    The curve stays in the convex hull of four consecutive positions. A longer path begins exactly
    like a shorter one with the same first knots.

    Args:
        seed, purpose: of the generators of speed, gaze and tremor.
        knots_K4: (K, 4) x, y, z in meters and the heading that yaw is relative to, in radians.
        seconds: length of the path.
        haste: how it moves and looks around.
    """
    speed_rng, gaze_rng, tremor_rng = (
        generator(seed, f"{purpose} {of}") for of in ("speed", "gaze", "tremor"))
    times_s = np.arange(round(seconds * _SAMPLES_HZ) + 1) / _SAMPLES_HZ
    # Path time and tremor start from rest, with continuous acceleration.
    x = np.minimum(times_s / _START_S, 1.0)
    warped = np.where(
        times_s < _START_S, _START_S * (x**3 - x**4 / 2), times_s - _START_S / 2)
    states = np.zeros((len(times_s), 6))
    states[:, :4] = _walk(speed_rng, knots_K4, haste)(warped)
    states[:, 3:] += _swings(gaze_rng, times_s, haste)
    tremor = Tremor.draw(tremor_rng, 0.003, 0.008)
    shaking = np.stack([tremor.at(float(t)) for t in times_s])
    states += (x**3 * (10 - 15 * x + 6 * x**2))[:, None] * shaking
    # Column by column, as a path reads it.
    return CameraPath(times_s, np.asfortranarray(states), Tremor.none())


def _walk(rng: np.random.Generator, knots_K4: Float64Array, haste: Haste) -> CubicSpline:
    """Place and heading (4,) over path time."""
    states = b_spline(knots_K4)
    wish = b_spline(rng.uniform(*haste.speed_m_s, (len(knots_K4), 1)))[:-1, 0]
    wish = np.minimum(wish, _FASTEST_M_S)
    step = np.diff(states[:, :3], axis=0)
    length = np.linalg.norm(step, axis=1)
    bend = np.linalg.norm(np.diff(step, axis=0, append=step[-1:]), axis=1)
    corner = np.abs(np.diff(states[:, 3])) / _CORNER_RAD_S
    # Per path step: v = length / t; the sideways acceleration bend / t^2 stays a hand's.
    needed = np.maximum.reduce([length / wish, np.sqrt(bend / _TURN_BACK_M_S2), corner])
    duration = smooth_above(needed, FINE_PER_KNOT // 4)
    return CubicSpline(np.concatenate([[0.0], np.cumsum(duration)]), states)


def _swings(rng: np.random.Generator, times_s: Float64Array, haste: Haste) -> Float64Array:
    """Yaw, pitch and roll (N, 3) over time: glances, and quick swings that often come back."""
    angles = np.zeros((len(times_s), 3))
    angles[:, 1] = haste.pitch_rad
    yaw = float(rng.uniform(-np.pi, np.pi)) if haste.reach_rad is None else 0.0
    angles[:, 0] = yaw
    now_s, at, side = 0.7, np.array([yaw, haste.pitch_rad, 0.0]), float(rng.choice([-1.0, 1.0]))
    while now_s < times_s[-1]:
        quick, size, speed, rest, other = rng.random(5)
        side = -side if other < 0.3 else side
        if quick < 0.3:
            turn, rate = np.radians(50 + 60 * size), haste.fastest_rad_s * (0.75 + 0.25 * speed)
        else:
            turn, rate = np.radians(12 + 38 * size), np.radians(35 + 45 * speed)
        reach = np.inf if haste.reach_rad is None else haste.reach_rad
        side = -side if abs(at[0] + side * turn) > reach else side
        target = np.array([np.clip(at[0] + side * turn, -reach, reach),
                           haste.pitch_rad + rng.normal(0, 0.13), rng.normal(0, 0.1)])
        lasts_s = max(0.25, _QUINTIC_PEAK * float(np.linalg.norm(target - at)) / rate)
        first, end = np.searchsorted(times_s, [now_s, now_s + lasts_s])
        x = (times_s[first:end] - now_s) / lasts_s
        angles[first:end] += np.outer(x**3 * (10 - 15 * x + 6 * x**2), target - at)
        angles[end:] += target - at
        at, now_s = target, now_s + lasts_s + 0.25 * rest
    return angles
