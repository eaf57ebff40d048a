"""The furnished room: four walls with furniture groups whose order and looks follow the seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache

import numpy as np

from ..rendering import pictures as pic
from ..rendering.lighting import Lamp, Lighting, Sun
from ..rendering.scene import Builder, Scene
from ..rendering.textures import (
    Material,
    brick,
    carpet,
    fabric,
    generator,
    painted,
    speckled,
    vary,
    wallpaper,
    wood,
)
from . import furniture as fur

#: Room size in meters; the origin is the middle of the floor.
LENGTH_M, WIDTH_M, HEIGHT_M = 6.0, 5.0, 2.55
#: The camera stays inside this box: at least 0.4 m from everything.
CAMERA_CENTRE_3 = np.array([0.0, 0.0, 1.3])
CAMERA_HALF_3 = np.array([1.15, 0.8, 0.33])
_WINDOW_M = (-1.0, 0.95, 2.0, 1.25)  # left, sill height, width, height on the window wall


@lru_cache(maxsize=1)
def build_room(seed: int) -> Scene:
    """Return the room of a seed; light does not enter here, so that it can differ."""
    b = Builder(generator(seed, "room geometry"))
    floor = wood(vary(b.rng, (164.0, 122.0, 80.0), 0.12), 0.11)
    b.quad((LENGTH_M / 2, -WIDTH_M / 2, 0), (-1, 0, 0), (0, 1, 0), LENGTH_M, WIDTH_M, floor, 0.003)
    b.quad((-LENGTH_M / 2, -WIDTH_M / 2, HEIGHT_M), (1, 0, 0), (0, 1, 0), LENGTH_M, WIDTH_M,
           painted((226.0, 224.0, 217.0), 0.02, 0.02), 0.005)
    rug = carpet(pic.random_color(b.rng, 0.7), pic.random_color(b.rng, 0.5), (205, 180, 130))
    b.quad((1.35, -0.95, 0.006), (-1, 0, 0), (0, 1, 0), 2.7, 1.9, rug, 0.003)
    with b.frame(b.rng.uniform(-0.3, 0.3), b.rng.uniform(-0.2, 0.2), 0, b.rng.uniform(-0.3, 0.3)):
        fur.low_table(b)
    groups: list[Callable[[Builder, float], None]] = [_work_wall, _book_wall, _brick_wall]
    order = b.rng.permutation(3)
    with wall_frame(b, 1):
        _window_wall(b, WIDTH_M)
    for wall, k in zip((0, 2, 3), order, strict=True):
        with wall_frame(b, wall):
            groups[int(k)](b, LENGTH_M if wall % 2 == 0 else WIDTH_M)
    _corners(b)
    with b.frame(0.2, 0, 0):
        fur.ceiling_lamp(b, HEIGHT_M, 1.6)
    for axis, size in ((0, LENGTH_M), (1, WIDTH_M)):
        for sign in (-1, 1):
            center, extent = [0.0, 0.0, HEIGHT_M / 2], [8.0, 8.0, HEIGHT_M]
            center[axis], extent[axis] = sign * (size / 2 + 0.1), 0.2
            b.solid(center, extent)
    b.solid((0, 0, -0.1), (8, 8, 0.2))
    b.solid((0, 0, HEIGHT_M + 0.1), (8, 8, 0.2))
    return b.build()


def wall_frame(b: Builder, wall: int) -> AbstractContextManager[None]:
    """Frame of wall 0..3: origin at the middle of its foot, +y into the room."""
    x, y, yaw = (
        (0.0, -WIDTH_M / 2, 0.0), (LENGTH_M / 2, 0.0, math.pi / 2),
        (0.0, WIDTH_M / 2, math.pi), (-LENGTH_M / 2, 0.0, -math.pi / 2),
    )[wall]
    return b.frame(x, y, 0.0, yaw)


def _wall(b: Builder, length: float, skin: Material) -> None:
    b.wall_panel(-length / 2, 0, length, HEIGHT_M, skin, texel_m=0.0028)
    b.box((0, 0.008, 0.05), (length, 0.016, 0.1), painted((224, 220, 210)), "ft", shadow=False)
    for _ in range(2):
        x = float(b.rng.uniform(-0.4, 0.4)) * length
        b.box((x, 0.005, 0.3), (0.08, 0.01, 0.08), painted((238, 238, 235)), "flrt", shadow=False)
    x = float(b.rng.choice([-0.36, 0.36])) * length
    b.box((x, 0.005, 1.1), (0.08, 0.01, 0.08), painted((238, 238, 235)), "flrt", shadow=False)


def _picture(
    b: Builder, x: float, z: float, width_m: float, height_m: float, skin: Material,
    loss: float = 0.0,
) -> None:
    b.box((x, 0.012, z + height_m / 2), (width_m, 0.024, height_m), painted((70, 60, 50)), "flrtu",
          front=skin, texel_m=0.0017, shadow=False, depth_loss=loss)


def _work_wall(b: Builder, length: float) -> None:
    """Desk with screens under a pin board and posters."""
    _wall(b, length, painted(vary(b.rng, (206.0, 204.0, 192.0), 0.06), 0.03))
    with b.frame(-0.55, 0):
        fur.desk(b)
    with b.frame(-0.5 + b.rng.normal(0, 0.1), 0.92, 0, b.rng.uniform(-0.7, 0.7)):
        fur.chair(b)
    _picture(b, -0.75, 1.32, 1.15, 0.78, pic.pinboard)
    _picture(b, 0.32, 1.3, 0.52, 0.74, pic.poster)
    _picture(b, -1.68, 1.25, 0.45, 0.62, pic.poster)
    _picture(b, 1.32, 1.05, 1.1, 0.8, pic.whiteboard, 0.02)
    b.quad((0.93 + 0.17, 0.02, 2.28), (-1, 0, 0), (0, 0, -1), 0.34, 0.34, pic.clock_face, 0.0015,
           outline_K2=_disc(0.17, 12))
    with b.frame(1.35, 0):
        b.box((0, 0.2, 0.28), (0.9, 0.4, 0.56), painted(vary(b.rng, (120, 130, 140), 0.2)),
              "flrt", front=fur.drawers)
        with b.frame(-0.2, 0.2, 0.56):
            fur.plant(b, 0.42, 11)
        with b.frame(0.22, 0.2, 0.56):
            fur.book_stack(b, 4)


def _book_wall(b: Builder, length: float) -> None:
    """Bookshelves, a door and a picture."""
    ground, ink = vary(b.rng, (214, 204, 180), 0.05), vary(b.rng, (150, 160, 140), 0.2)
    _wall(b, length, wallpaper(ground, ink))
    for x in (-1.15, -0.2):
        with b.frame(x, 0):
            fur.bookshelf(b, 0.92, 1.95, 5)
    for x in (-1.15, -0.2):
        with b.frame(x, 0.15, 1.96):
            b.box((b.rng.uniform(-0.2, 0.2), 0, 0.11), (0.36, 0.26, 0.22), pic.carton, "flrt")
    with b.frame(1.5, 0):
        fur.door(b)
    _picture(b, 0.64, 1.2, 0.5, 0.7, pic.poster)
    _picture(b, -1.98, 1.3, 0.5, 0.65, pic.poster)
    with b.frame(0.62, 0.26, 0, 0.2):
        b.box((0, 0, 0.22), (0.42, 0.42, 0.44), fabric(pic.random_color(b.rng, 0.5)), "fblrt")


def _brick_wall(b: Builder, length: float) -> None:
    """Brickwork with a sideboard, prints and a large picture."""
    _wall(b, length, brick(vary(b.rng, (158.0, 86.0, 62.0), 0.1), (188, 180, 168)))
    with b.frame(-0.35, 0):
        fur.sideboard(b, 1.8)
    _picture(b, -0.4, 1.25, 1.25, 0.8, pic.landscape)
    _picture(b, 0.62, 1.3, 0.42, 0.58, pic.poster)
    _picture(b, 1.15, 1.15, 0.42, 0.58, pic.poster)
    _picture(b, -1.55, 1.4, 0.48, 0.64, pic.poster)
    with b.frame(1.25, 0.32, 0, b.rng.uniform(-0.2, 0.2)):
        fur.cartons(b)


def _window_wall(b: Builder, length: float) -> None:
    """Window with curtains, radiator and sofa."""
    _wall(b, length, painted(vary(b.rng, (186.0, 200.0, 204.0), 0.08), 0.03))
    left, sill, width, height = _WINDOW_M
    b.wall_panel(left, sill, width, height, pic.window_view, 0.012, 0.002, 1.35, 0.5)
    b.box((0, 0.09, sill - 0.02), (width + 0.2, 0.18, 0.035), painted((226, 224, 218)), "flrtu")
    cloth = fabric(vary(b.rng, pic.random_color(b.rng, 0.5), 0.1), pic.random_color(b.rng, 0.5))
    for side in (-1, 1):
        for k in range(4):
            x = side * (width / 2 + 0.05 + 0.1 * k)
            b.box((x, 0.1 + 0.03 * (k % 2), 1.2), (0.1, 0.05, 2.2), cloth, "flr",
                  shadow=k == 1)
    with b.frame(b.rng.uniform(-0.2, 0.2), 0.14):
        fur.sofa(b)
    for x in (-0.55, 0.62):
        with b.frame(x, 0.1, sill):
            fur.plant(b, 0.34, 10)


def _corners(b: Builder) -> None:
    """A tall plant, a floor lamp and boxes in the corners."""
    x, y = LENGTH_M / 2 - 0.4, WIDTH_M / 2 - 0.4
    spots = [(-x, -y), (-x, y), (x, y), (x, -y)]
    order = b.rng.permutation(4)
    with b.frame(*spots[int(order[0])]):
        fur.plant(b, 1.0, 16)
    with b.frame(*spots[int(order[1])]):
        b.prism((0, 0, 0), (0.15, 0.14), 0.03, 10, painted((60, 60, 62)), painted((60, 60, 62)))
        b.box((0, 0, 0.75), (0.03, 0.03, 1.45), painted((60, 60, 62)), "fblr")
        b.prism((0, 0, 1.4), (0.22, 0.15), 0.3, 10, fabric((236, 214, 172)), emission=1.2,
                shadow=False)
    with b.frame(*spots[int(order[2])], 0.0, float(b.rng.uniform(0, 1.5))):
        b.box((0, 0, 0.25), (0.4, 0.4, 0.5), pic.carton, "fblrt")
        b.prism((0, 0, 0.5), (0.12, 0.17), 0.3, 10, speckled((120, 140, 150)),
                painted((30, 30, 32)))
    with b.frame(*spots[int(order[3])]):
        b.prism((0, 0, 0), (0.16, 0.2), 0.5, 10, fabric((170, 140, 96)), painted((58, 52, 46)))


def _disc(radius_m: float, sides: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Outline of a disc, counter-clockwise seen from the front (v runs down)."""
    angles = np.arange(sides) * 2 * np.pi / sides
    return radius_m + radius_m * np.stack([np.cos(angles), -np.sin(angles)], 1)


def day_light(seed: int) -> Lighting:
    """Neutral daylight from the window and a ceiling lamp."""
    gain = float(generator(seed, "day light").uniform(0.92, 1.08))
    x = LENGTH_M / 2 - 0.25
    return Lighting(
        (
            Lamp((0.2, 0.0, HEIGHT_M - 0.28), 0.2, (2.6 * gain, 2.45 * gain, 2.15 * gain)),
            Lamp((x, 0.0, 1.65), 0.6, (1.7 * gain, 1.8 * gain, 1.95 * gain)),
        ),
        None, (0.50, 0.50, 0.51), (0.40, 0.39, 0.36),
    )


def evening_light(seed: int) -> Lighting:
    """Low orange sun through the window and one warm lamp: other direction, color, shadows."""
    rng = generator(seed, "evening light")
    slope = np.array([1.0, rng.uniform(-0.45, 0.45), rng.uniform(0.13, 0.24)])
    slope /= np.linalg.norm(slope)
    left, sill, width, height = _WINDOW_M
    sun = Sun(
        (float(slope[0]), float(slope[1]), float(slope[2])),
        ((LENGTH_M / 2 - 0.005, left, sill), (0.0, width, 0.0), (0.0, 0.0, height)),
        (4.2, 2.75, 1.5),
    )
    lamps = (
        Lamp((-LENGTH_M / 2 + 0.7, float(rng.uniform(-1.6, 1.6)), 1.5), 0.15, (2.9, 2.0, 1.15)),
        Lamp((LENGTH_M / 2 - 0.2, 0.0, 1.7), 0.6, (0.8, 0.7, 0.62)),
    )
    return Lighting(lamps, sun, (0.24, 0.2, 0.165), (0.3, 0.235, 0.17))
