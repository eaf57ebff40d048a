"""The corridor: a rectangular loop of identical doors, lamps and panels with a few landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..fast_motion import Haste, hurried_path
from ..motion import FINE_PER_KNOT, CameraPath, Limits, Tremor, spline_path
from ..rendering import pictures as pic
from ..rendering.lighting import Lamp, Lighting
from ..rendering.scene import Builder, Scene
from ..rendering.textures import Material, generator, painted, speckled, tiles, vary
from . import furniture as fur

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array, UInt8Image

HEIGHT_M, HALF_WIDTH_M = 2.5, 0.95
_SPEED_M_S, _OVERLAP_M, _KNOT_M = 0.95, 4.0, 0.7
_FAST_MEAN_M_S, _FASTEST_M_S = 0.5, 0.9
#: Corners of the corridor turn the camera as well.
_HASTE = Haste((0.25, 1.0), np.radians(118.0), reach_rad=0.9)


@dataclass(frozen=True)
class Layout:
    """Center line of the loop: a rectangle of `length_m` x `width_m` around the origin."""

    length_m: float
    width_m: float

    @property
    def perimeter_m(self) -> float:
        """Length of the center line in meters."""
        return 2 * (self.length_m + self.width_m)

    def side(self, k: int) -> float:
        """Length of side 0..3 in meters."""
        return self.length_m if k % 2 == 0 else self.width_m

    def point(self, s_m: float) -> tuple[Float64Array, float]:
        """Position (2,) and heading of the center line after `s_m` meters, counter-clockwise."""
        s = s_m % self.perimeter_m
        x, y = -self.length_m / 2, -self.width_m / 2
        for k in range(4):
            heading = k * math.pi / 2
            along = np.array([math.cos(heading), math.sin(heading)])
            if s <= self.side(k) or k == 3:
                return np.array([x, y]) + s * along, heading
            s -= self.side(k)
            x, y = x + along[0] * self.side(k), y + along[1] * self.side(k)
        raise AssertionError("unreachable")


LAYOUTS = {"corridor": Layout(9.2, 6.8), "loop": Layout(13.6, 9.2)}


def default_frames(seed: int, layout: Layout, rate_hz: int) -> int:
    """Frames of one round plus the overlap with its beginning."""
    path = camera_path(seed, layout, layout.perimeter_m / 0.4)
    knots = _knots_per_round(layout) + math.ceil(_OVERLAP_M / _KNOT_M)
    return int(path.times_s[knots * FINE_PER_KNOT] * rate_hz)


def fast_frames(layout: Layout, rate_hz: int) -> int:
    """Frames of as much of a `fast_path`."""
    return round((layout.perimeter_m + _OVERLAP_M) / _FAST_MEAN_M_S * rate_hz)


def _knots_per_round(layout: Layout) -> int:
    return round(layout.perimeter_m / _KNOT_M)


def camera_path(seed: int, layout: Layout, seconds: float) -> CameraPath:
    """Walk round the loop at about 0.9 m/s, looking ahead and to both sides."""
    spacing = layout.perimeter_m / _knots_per_round(layout)
    limits = Limits(1.0, np.radians(54.0), spacing / _SPEED_M_S)
    states, look_K = _walk_round(seed, layout, int(seconds / limits.knot_s) + 8)
    states[:, 3] += look_K
    tremor = Tremor.draw(generator(seed, "corridor tremor"), 0.005, 0.005)
    return spline_path(states, limits, tremor)


def fast_path(seed: int, layout: Layout, seconds: float) -> CameraPath:
    """Walk round the loop by the same way in a hurry, see `fast_motion`."""
    states, _ = _walk_round(seed, layout, int(seconds * _FASTEST_M_S / _KNOT_M) + 8)
    return hurried_path(seed, "corridor fast", states[:, :4], seconds, _HASTE)


def _walk_round(seed: int, layout: Layout, knots: int) -> tuple[Float64Array, Float64Array]:
    """Control states (knots, 6) that look along the corridor, and yaw (knots,) to its sides."""
    rng = generator(seed, "corridor path")
    spacing = layout.perimeter_m / _knots_per_round(layout)
    states, looks = np.zeros((knots, 6)), np.zeros(knots)
    look = 0.0
    for k in range(knots):
        s = 1.5 + k * spacing
        ground, heading = layout.point(s)
        turns = 2 * math.pi * math.floor(s / layout.perimeter_m)
        _, ahead = layout.point(s + 0.9)
        ahead += 2 * math.pi * math.floor((s + 0.9) / layout.perimeter_m)
        side = np.array([-math.sin(heading), math.cos(heading)])
        states[k, :2] = ground + side * np.clip(rng.normal(0, 0.12), -0.25, 0.25)
        states[k, 2] = 1.35 + np.clip(rng.normal(0, 0.07), -0.2, 0.2)
        look = 0.45 * look + rng.normal(0, 0.34)
        states[k, 3], looks[k] = max(ahead, heading + turns), np.clip(look, -0.8, 0.8)
        states[k, 4] = np.clip(rng.normal(-0.1, 0.09), -0.3, 0.12)
        states[k, 5] = rng.normal(0, 0.035)
    return states, looks


def build_corridor(seed: int, layout: Layout) -> Scene:
    """Return the corridor of a seed."""
    b = Builder(generator(seed, "corridor geometry"), texel_m=0.003)
    rng = generator(seed, "corridor look")
    paint = vary(rng, (212.0, 206.0, 190.0), 0.06)
    base = vary(rng, (120.0, 142.0, 138.0), 0.15)
    skins = _Skins(
        _fixed(painted(paint, 0.03, 0.022), seed, "upper"),
        _fixed(_panelled(base), seed, "lower"),
        _fixed(pic.door, seed, "door"),
        _fixed(_door_plate, seed, "plate"),
    )
    for k in range(4):
        heading = k * math.pi / 2
        along = np.array([math.cos(heading), math.sin(heading)])
        left = np.array([-along[1], along[0]])
        middle = -left * layout.side(k + 1) / 2
        outer, inner = layout.side(k) + 2 * HALF_WIDTH_M, layout.side(k) - 2 * HALF_WIDTH_M
        with b.frame(*_xy(middle - left * HALF_WIDTH_M), 0.0, heading):
            _wall(b, outer, skins, outside=True)
        with b.frame(*_xy(middle + left * HALF_WIDTH_M), 0.0, heading + math.pi):
            _wall(b, inner, skins, outside=False)
        with b.frame(*_xy(middle), 0.0, heading):
            _floor_and_ceiling(b, outer if k % 2 == 0 else inner)
    _block(b, layout)
    return b.build()


def corridor_light(layout: Layout) -> Lighting:
    """Identical ceiling lamps every few meters."""
    lamps = []
    for k in range(4):
        for x in _lamp_places(layout.side(k) + (2 if k % 2 == 0 else -2) * HALF_WIDTH_M):
            heading = k * math.pi / 2
            along = np.array([math.cos(heading), math.sin(heading)])
            left = np.array([-along[1], along[0]])
            spot = -left * layout.side(k + 1) / 2 + along * x
            lamps.append(Lamp((float(spot[0]), float(spot[1]), HEIGHT_M - 0.12), 0.25,
                              (0.85, 0.83, 0.76)))
    return Lighting(tuple(lamps), None, (0.22, 0.22, 0.22), (0.2, 0.195, 0.185))


@dataclass(frozen=True)
class _Skins:
    """Materials that repeat all along the corridor."""

    upper: Material
    lower: Material
    door: Material
    plate: Material


def _fixed(material: Material, seed: int, purpose: str) -> Material:
    """Return a material that looks exactly the same each time it is used at one size."""

    def paint(
        rng: np.random.Generator, height: int, width: int, texel_m: float
    ) -> UInt8Image:
        del rng  # the caller's generator would make every copy different
        return material(generator(seed, f"corridor {purpose}"), height, width, texel_m)

    return paint


def _panelled(color: tuple[float, float, float]) -> Material:
    """Return a wainscot: panels of 0.58 m with bevels over painted wood."""

    def paint(
        rng: np.random.Generator, height: int, width: int, texel_m: float
    ) -> UInt8Image:
        image = painted(color, 0.04, 0.025)(rng, height, width, texel_m)
        size = 0.575 / texel_m
        for k in range(int(width / size) + 1):
            x0, x1 = int((k + 0.1) * size), int((k + 0.9) * size)
            y0, y1 = int(0.14 * height), int(0.82 * height)
            for inset, gain in ((0, 0.62), (4, 1.22), (8, 0.8)):
                tone = tuple(min(255.0, c * gain) for c in color)
                cv2.rectangle(image, (x0 + inset, y0 + inset), (x1 - inset, y1 - inset), tone, 3)
        image[: max(2, int(0.03 / texel_m))] = tuple(int(0.55 * c) for c in color)
        return image

    return paint


def _door_plate(
    rng: np.random.Generator, height: int, width: int, texel_m: float
) -> UInt8Image:
    image = painted((208.0, 210.0, 212.0), 0.01, 0.005)(rng, height, width, texel_m)
    pic.text_line(image, "OFFICE", width // 8, int(0.45 * height), 3 * width // 4, height // 4,
                  (40.0, 46.0, 70.0), rng)
    pic.text_line(image, "knock and enter", width // 8, int(0.8 * height), 3 * width // 4,
                  height // 6, (60.0, 60.0, 60.0), rng)
    return image


def _wall(b: Builder, length: float, skins: _Skins, outside: bool) -> None:
    """A wall with a door per bay; some free spaces between doors hold a landmark."""
    split = 0.98
    b.wall_panel(-length / 2, split, length, HEIGHT_M - split, skins.upper, texel_m=0.004)
    b.wall_panel(-length / 2, 0, length, split, skins.lower, texel_m=0.004)
    b.box((0, 0.02, split), (length, 0.04, 0.07), painted((120.0, 92.0, 64.0)), "ftu",
          shadow=False, texel_m=0.004)
    bays = max(1, round(length / 2.3))
    bay = length / bays
    for k in range(bays):
        x = -length / 2 + (k + 0.5) * bay
        with b.frame(x - 0.45, 0):
            b.box((0, 0.022, 1.03), (0.95, 0.044, 2.06), painted((214.0, 208.0, 196.0)), "flrt",
                  front=skins.door, shadow=False)
        b.box((x + 0.22, 0.006, 1.55), (0.2, 0.012, 0.14), painted((160.0, 160.0, 162.0)),
              "flrt", front=skins.plate, texel_m=0.0012, shadow=False)
        if b.rng.random() < 0.62:
            with b.frame(x + 0.72, 0):
                _landmark(b, outside)


def _landmark(b: Builder, outside: bool) -> None:
    """Something that tells one bay from another; outer walls also get things on the floor."""
    kind = int(b.rng.integers(0, 6 if outside else 4))
    hang: dict[int, tuple[Material, float, float]] = {
        0: (pic.poster, 0.5, 0.7), 1: (pic.pinboard, 0.72, 0.66), 2: (pic.poster, 0.62, 0.5),
        3: (pic.text_page, 0.5, 0.7), 4: (pic.poster, 0.42, 0.6), 5: (pic.landscape, 0.7, 0.5),
    }
    skin, wide, tall = hang[kind]
    b.box((0, 0.014, 1.2 + tall / 2), (wide, 0.028, tall), painted((70.0, 62.0, 54.0)), "flrtu",
          front=skin, texel_m=0.0017, shadow=False)
    if kind == 4:
        with b.frame(0, 0.2):
            fur.plant(b, 0.75, 12)
    elif kind == 5:
        b.box((0, 0.15, 0.36), (0.7, 0.28, 0.72), painted(pic.random_color(b.rng, 0.4)), "flrt",
              front=fur.drawers)
    elif kind == 2:
        b.prism((0.1, 0.1, 0.35), (0.075, 0.075), 0.42, 8, painted((186.0, 34.0, 30.0)),
                painted((40.0, 40.0, 40.0)))


def _lamp_places(length: float) -> list[float]:
    """Positions of the lamps along the middle of a side."""
    count = max(1, round(length / 2.6))
    return [length * ((k + 0.5) / count - 0.5) for k in range(count)]


def _floor_and_ceiling(b: Builder, length: float) -> None:
    half = HALF_WIDTH_M
    floor = tiles((150.0, 140.0, 126.0), 0.38, (96.0, 90.0, 82.0))
    runner = speckled((96.0, 52.0, 50.0), 0.14)
    b.quad((length / 2, -half, 0), (-1, 0, 0), (0, 1, 0), length, 2 * half, floor, 0.0035)
    b.quad((length / 2, -0.5, 0.005), (-1, 0, 0), (0, 1, 0), length, 1.0, runner, 0.0035)
    panels = tiles((222.0, 222.0, 216.0), 0.6, (150.0, 150.0, 148.0))
    b.quad((-length / 2, -half, HEIGHT_M), (1, 0, 0), (0, 1, 0), length, 2 * half, panels, 0.005)
    for x in _lamp_places(length):
        b.box((x, 0, HEIGHT_M - 0.03), (0.9, 0.26, 0.06), painted((250.0, 250.0, 244.0)), "fblru",
              emission=1.5, shadow=False)


def _block(b: Builder, layout: Layout) -> None:
    """Solids of the inner core, the outer walls, floor and ceiling."""
    core = (layout.length_m - 2 * HALF_WIDTH_M, layout.width_m - 2 * HALF_WIDTH_M, HEIGHT_M)
    b.solid((0, 0, HEIGHT_M / 2), core)
    far = max(layout.length_m, layout.width_m) + 4
    for axis, size in ((0, layout.length_m), (1, layout.width_m)):
        for sign in (-1, 1):
            center, extent = [0.0, 0.0, HEIGHT_M / 2], [far, far, HEIGHT_M]
            center[axis], extent[axis] = sign * (size / 2 + HALF_WIDTH_M + 0.1), 0.2
            b.solid(center, extent)
    b.solid((0, 0, -0.1), (far, far, 0.2))
    b.solid((0, 0, HEIGHT_M + 0.1), (far, far, 0.2))


def _xy(point_2: Float64Array) -> tuple[float, float]:
    return float(point_2[0]), float(point_2[1])
