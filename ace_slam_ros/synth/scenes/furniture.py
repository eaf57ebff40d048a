"""Furniture, each piece drawn in its own frame: x along the wall, +y into the room, z up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..rendering import pictures as pic
from ..rendering.textures import (
    Color,
    Material,
    fabric,
    leaf,
    painted,
    speckled,
    vary,
    wood,
)

if TYPE_CHECKING:
    from ...core.geometry.arrays import UInt8Image
    from ..rendering.scene import Builder

_BLACK: Color = (34.0, 34.0, 37.0)
_STEEL: Color = (150.0, 152.0, 155.0)
_LEAF = np.array([[0.5, 0], [0.1, 0.3], [0, 0.6], [0.35, 1], [0.65, 1], [1, 0.6], [0.9, 0.3]])


def legs(b: Builder, width_m: float, depth_m: float, height_m: float, skin: Material) -> None:
    """Add four square legs under a plate whose center is the origin."""
    for sx in (-1, 1):
        for sy in (-1, 1):
            b.box((sx * (width_m / 2 - 0.04), sy * (depth_m / 2 - 0.04), height_m / 2),
                  (0.05, 0.05, height_m), skin, "fblr")


def desk(b: Builder) -> None:
    """Add a desk with two screens, keyboard, papers, lamp and mugs."""
    skin = wood(vary(b.rng, (178.0, 135.0, 92.0), 0.12))
    with b.frame(0, 0.40):
        legs(b, 1.7, 0.74, 0.71, painted(_STEEL))
        b.box((0, 0, 0.725), (1.7, 0.74, 0.03), skin, "flrtu")
        b.box((0.62, 0.02, 0.36), (0.36, 0.62, 0.5), painted(vary(b.rng, (205, 203, 198), 0.05)),
              "flrt", front=drawers)
        for x, yaw in ((-0.38, 0.16), (0.24, -0.14)):
            with b.frame(x + b.rng.normal(0, 0.02), -0.14, 0.74, -yaw):
                b.box((0, 0, 0.08), (0.06, 0.05, 0.16), painted(_BLACK), "flr", shadow=False)
                b.box((0, 0.0, 0.006), (0.24, 0.17, 0.012), painted(_BLACK), "flrt")
                b.box((0, 0.01, 0.31), (0.54, 0.035, 0.33), painted(_BLACK), "lrtb")
                b.wall_panel(-0.27, 0.145, 0.54, 0.33, pic.screen, 0.0275, 0.001, 0.75, 0.25)
        b.box((-0.30, 0.20, 0.75), (0.44, 0.14, 0.02), painted(_BLACK), "flrt", top=pic.keyboard,
              texel_m=0.001)
        b.box((0.06, 0.21, 0.755), (0.06, 0.1, 0.03), painted(_BLACK), "flrt")
        for _ in range(4):
            with b.frame(b.rng.uniform(0.2, 0.6), b.rng.uniform(0.08, 0.25), 0.742,
                         b.rng.uniform(-0.6, 0.6)):
                b.box((0, 0, 0), (0.21, 0.297, 0.004), painted((235, 233, 226)), "flrt",
                      top=pic.text_page, texel_m=0.001, shadow=False)
        with b.frame(0.62, -0.2, 0.74):
            book_stack(b, 5)
        mug(b, -0.66, 0.15, 0.74)
        mug(b, 0.02, -0.05, 0.74)
        with b.frame(-0.7, -0.22, 0.74):
            table_lamp(b, 0.36)


def drawers(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint the front of a chest of three drawers."""
    image = painted((198.0, 196.0, 190.0))(rng, height, width, texel_m)
    for k in range(3):
        top = k * height // 3
        image[top : top + 2] = 90
        image[top + height // 8 : top + height // 8 + 4, width // 3 : 2 * width // 3] = 70
    return image


def book_stack(b: Builder, count: int) -> None:
    """Add books lying on each other."""
    z = 0.0
    for _ in range(count):
        thick = float(b.rng.uniform(0.02, 0.045))
        with b.frame(b.rng.normal(0, 0.008), b.rng.normal(0, 0.008), z, b.rng.normal(0, 0.15)):
            b.box((0, 0, thick / 2), (b.rng.uniform(0.15, 0.21), b.rng.uniform(0.2, 0.27), thick),
                  painted(pic.random_color(b.rng)), "fblrt", front=pic.book_row, top=pic.poster,
                  texel_m=0.0015, shadow=False)
        z += thick
    b.solid((0, 0, z / 2), (0.17, 0.22, z))


def mug(b: Builder, x: float, y: float, z: float) -> None:
    """Add a mug."""
    skin = painted(pic.random_color(b.rng, 0.7))
    b.prism((x, y, z), (0.04, 0.042), 0.1, 8, skin, painted((60, 40, 30)))


def table_lamp(b: Builder, height_m: float) -> None:
    """Add a lamp with a bright shade."""
    b.prism((0, 0, 0), (0.08, 0.07), 0.02, 10, painted(_STEEL), painted(_STEEL), shadow=False)
    b.box((0, 0, height_m / 2), (0.02, 0.02, height_m), painted(_STEEL), "fblr")
    b.prism((0, 0, height_m - 0.04), (0.13, 0.09), 0.18, 10, fabric((240, 214, 165)),
            painted((250, 235, 200)), emission=1.1, shadow=False)


def chair(b: Builder) -> None:
    """Add an upholstered chair whose back points to +y."""
    cloth = fabric(vary(b.rng, pic.random_color(b.rng, 0.6), 0.1))
    frame = wood((120.0, 82.0, 52.0))
    legs(b, 0.44, 0.42, 0.42, frame)
    b.box((0, 0, 0.45), (0.46, 0.44, 0.06), cloth, "fblrt")
    b.box((0, 0.2, 0.66), (0.44, 0.05, 0.38), cloth, "fblrt")


def bookshelf(b: Builder, width_m: float, height_m: float, shelves: int) -> None:
    """Add open shelves with books, boxes and ornaments, back against the wall."""
    skin = wood(vary(b.rng, (150.0, 104.0, 66.0), 0.25))
    deep, plate = 0.32, 0.025
    for x in (-width_m / 2, width_m / 2):
        b.box((x, deep / 2, height_m / 2), (plate, deep, height_m), skin, "flr")
    b.wall_panel(-width_m / 2, 0, width_m, height_m, skin, 0.015)
    gap = (height_m - plate) / shelves
    for k in range(shelves + 1):
        b.box((0, deep / 2, k * gap + plate / 2), (width_m, deep, plate), skin, "ftu")
    for k in range(shelves):
        x = -width_m / 2 + 0.03
        with b.frame(0, 0, k * gap + plate):
            while x < width_m / 2 - 0.12:
                wide = float(min(b.rng.uniform(0.16, 0.42), width_m / 2 - 0.03 - x))
                _shelf_item(b, x + wide / 2, wide, gap - plate)
                x += wide + float(b.rng.uniform(0.0, 0.05))


def _shelf_item(b: Builder, x: float, wide: float, free_m: float) -> None:
    kind = b.rng.random()
    if kind < 0.7:
        tall = float(free_m * b.rng.uniform(0.62, 0.9))
        deep = float(b.rng.uniform(0.17, 0.25))
        b.box((x, deep / 2 + 0.02, tall / 2), (wide, deep, tall), painted((222, 214, 196)),
              "flrt", front=pic.book_row, texel_m=0.0012)
    elif kind < 0.85:
        tall = float(free_m * b.rng.uniform(0.45, 0.7))
        tone = pic.random_color(b.rng, 0.5)
        b.box((x, 0.14, tall / 2), (wide * 0.8, 0.24, tall), fabric(tone), "flrt")
    else:
        tall = float(min(0.22, free_m * 0.7))
        b.prism((x, 0.15, 0), (0.05, 0.07), tall, 8, painted(pic.random_color(b.rng, 0.7)),
                painted((40, 36, 34)))


def sofa(b: Builder) -> None:
    """Add a sofa with cushions, back against the wall."""
    tone = vary(b.rng, pic.random_color(b.rng, 0.45), 0.1)
    cloth = fabric(tone)
    b.box((0, 0.42, 0.2), (1.9, 0.8, 0.4), cloth, "flrt")
    b.box((0, 0.12, 0.56), (1.9, 0.2, 0.5), cloth, "flrt")
    for x in (-0.87, 0.87):
        b.box((x, 0.42, 0.5), (0.16, 0.8, 0.22), cloth, "fblrt")
    for x in (-0.58, -0.1, 0.5):
        with b.frame(x, 0.29, 0.41, b.rng.normal(0, 0.15)):
            stripe = pic.random_color(b.rng, 0.8)
            b.box((0, 0, 0.19), (0.4, 0.13, 0.36), fabric(pic.random_color(b.rng, 0.6), stripe),
                  "flrt")


def low_table(b: Builder) -> None:
    """Add a coffee table with magazines, a bowl and a mug, below camera height."""
    legs(b, 1.0, 0.6, 0.36, painted(_BLACK))
    b.box((0, 0, 0.38), (1.0, 0.6, 0.035), wood((130.0, 88.0, 55.0)), "fblrtu")
    for x, y in ((-0.28, 0.05), (-0.12, -0.12), (0.22, 0.12)):
        with b.frame(x, y, 0.4, b.rng.uniform(-0.8, 0.8)):
            b.box((0, 0, 0.004), (0.21, 0.28, 0.008), painted((230, 228, 220)), "fblrt",
                  top=pic.poster, texel_m=0.001, shadow=False)
    b.prism((0.3, -0.12, 0.398), (0.07, 0.13), 0.06, 10, painted((190, 90, 60)),
            painted((90, 42, 30)))
    mug(b, -0.02, 0.18, 0.398)


def sideboard(b: Builder, width_m: float) -> None:
    """Add a low cupboard with a radio, plants, frames and books on top."""
    skin = wood(vary(b.rng, (196.0, 160.0, 116.0), 0.15))
    b.box((0, 0.21, 0.36), (width_m, 0.4, 0.62), skin, "flrt", front=_doors)
    b.box((0, 0.2, 0.03), (width_m - 0.1, 0.3, 0.06), painted(_BLACK), "flr")
    left = -width_m / 2
    with b.frame(left + 0.28, 0.2, 0.67):
        b.box((0, 0, 0.11), (0.4, 0.2, 0.22), wood((110.0, 70.0, 42.0)), "flrt", front=_radio)
    with b.frame(left + 0.72, 0.2, 0.67):
        plant(b, 0.45, 12)
    with b.frame(left + 1.08, 0.2, 0.67, 0.15):
        book_stack(b, 7)
    with b.frame(left + 1.42, 0.16, 0.67, -0.2):
        b.box((0, 0, 0.14), (0.22, 0.03, 0.28), painted((60, 50, 42)), "flrt", front=pic.poster,
              texel_m=0.0012)


def _doors(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    image = wood((190.0, 152.0, 108.0))(rng, height, width, texel_m)
    for k in range(1, 4):
        x = k * width // 4
        image[:, x - 2 : x + 2] = (70, 50, 34)
    for k in range(4):
        x = k * width // 4 + (width // 5 if k % 2 == 0 else width // 20)
        image[height // 2 - 20 : height // 2 + 20, x : x + 6] = 60
    return image


def _radio(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    image = wood((130.0, 84.0, 50.0))(rng, height, width, texel_m)
    image[height // 8 : -height // 8, width // 12 : width // 2] = (196, 184, 150)
    image[height // 8 : -height // 8 : 4, width // 12 : width // 2] = (120, 108, 84)
    for k in range(3):
        center = (int(width * (0.62 + 0.13 * k)), int(0.65 * height))
        cv2.circle(image, center, height // 9, (215, 205, 180), -1, cv2.LINE_AA)
    pic.text_line(image, "ORION FM", int(0.58 * width), int(0.35 * height), int(0.35 * width),
                  height // 8, (240.0, 226.0, 190.0), rng)
    return image


def plant(b: Builder, height_m: float, leaves: int) -> None:
    """Add a potted plant with drooping leaves."""
    pot = vary(b.rng, (176.0, 98.0, 66.0), 0.1)
    b.prism((0, 0, 0), (0.22 * height_m, 0.3 * height_m), 0.4 * height_m, 8,
            speckled(pot, 0.06), speckled((58, 44, 34), 0.3))
    for k in range(leaves):
        angle = 2.4 * k + b.rng.normal(0, 0.2)
        rise = b.rng.uniform(0.15, 1.0)
        out = np.array([np.cos(angle), np.sin(angle), 0.0])
        along = out * (1.1 - 0.7 * rise) + np.array([0, 0, 0.25 + rise])
        along /= np.linalg.norm(along)
        across = np.cross(along, [0, 0, 1.0])
        across /= np.linalg.norm(across)
        length, wide = 0.5 * height_m * b.rng.uniform(0.8, 1.25), 0.17 * height_m
        base = np.array([0, 0, height_m * (0.4 + 0.25 * rise)]) + out * 0.05 * height_m
        tip = base + along * length - across * wide / 2
        outline = _LEAF * (wide, length)
        skin = leaf((62.0, 112.0, 48.0))
        b.quad(list(tip), list(across), list(-along), wide, length, skin, 0.0025,
               outline_K2=outline)
        b.quad(list(tip + across * wide), list(-across), list(-along), wide, length, skin, 0.0025,
               outline_K2=outline)
    b.solid((0, 0, 0.75 * height_m), (0.5 * height_m, 0.5 * height_m, 0.6 * height_m))


def cartons(b: Builder) -> None:
    """Add stacked cardboard boxes."""
    for x, z, size, yaw in ((0, 0, 0.46, 0.1), (0.02, 0.38, 0.36, -0.25)):
        with b.frame(x, 0.3, z, yaw):
            tall = 0.38 if z == 0 else 0.3
            b.box((0, 0, tall / 2), (size, size * 0.85, tall), pic.carton, "fblrt")


def door(b: Builder, width_m: float = 0.95, height_m: float = 2.06) -> None:
    """Add a door leaf in its frame, standing slightly proud of the wall."""
    b.box((0, 0.02, height_m / 2), (width_m, 0.04, height_m), painted((214, 208, 196)), "flrt",
          front=pic.door, shadow=False)


def ceiling_lamp(b: Builder, z: float, emission: float) -> None:
    """Add a round lamp hanging from the ceiling at height z."""
    b.prism((0, 0, z - 0.12), (0.2, 0.24), 0.1, 10, painted((250, 246, 235)), emission=emission,
            shadow=False)
    outline_radius = 0.2
    angles = (np.arange(10) + 0.5) * np.pi / 5
    ring = np.stack([np.cos(angles), -np.sin(angles)], 1) * outline_radius + outline_radius
    b.quad((-outline_radius, outline_radius, z - 0.12), (1, 0, 0), (0, -1, 0), 2 * outline_radius,
           2 * outline_radius, painted((252, 248, 238)), emission=emission, outline_K2=ring)
