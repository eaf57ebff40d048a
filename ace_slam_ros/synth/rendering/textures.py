"""Procedural materials: colored noise, plaster, wallpaper, brick, wood, carpet, fabric, leaves.

Every material is a function of a generator and a size in texels and returns (H, W, 3) uint8 RGB
albedo; the caller chooses the texel size in meters through `Texels`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from ...core.geometry.arrays import Float32Array, UInt8Image

Color = tuple[float, float, float]
#: A material paints a surface of (height, width) texels of `texel_m` meters.
Material = Callable[[np.random.Generator, int, int, float], UInt8Image]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the random generator of one purpose, so that purposes never disturb each other."""
    return np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(purpose.encode())])


def to_uint8(image: npt.NDArray[np.floating]) -> UInt8Image:
    """Round and clip to uint8."""
    return np.asarray(np.clip(image + 0.5, 0, 255), np.uint8)


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, coarsest: float, octaves: int,
    gain: float = 0.55, stretch: float = 1.0,
) -> Float32Array:
    """Sum of smooth random fields, about unit variance.

    Args:
        rng: source of the fields.
        height, width: size in texels.
        coarsest: feature size of the first octave in texels; each octave halves it.
        octaves: number of fields.
        gain: amplitude ratio of successive octaves.
        stretch: features are this much longer along the width.

    Returns:
        (height, width) float32.
    """
    total = np.zeros((height, width), np.float32)
    power, amplitude, size = 0.0, 1.0, coarsest
    for _ in range(octaves):
        rows = max(2, int(np.ceil(height / size)) + 2)
        columns = max(2, int(np.ceil(width / (size * stretch))) + 2)
        rows, columns = min(rows, height + 2), min(columns, width + 2)
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += amplitude * np.asarray(
            cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        )
        power += amplitude**2
        amplitude *= gain
        size = max(1.0, size / 2)
    return total / np.float32(np.sqrt(power * 0.6))


def tinted(color: Color, shade: Float32Array) -> UInt8Image:
    """Multiply a color (0..255) by a shade image (H, W) around one."""
    return to_uint8(shade[..., None] * np.asarray(color, np.float32))


def vary(rng: np.random.Generator, color: Color, amount: float) -> Color:
    """Return a color near `color`: brightness and hue drift by `amount` (fraction)."""
    c = np.asarray(color) * (1 + amount * rng.standard_normal())
    c = np.clip(c * (1 + 0.4 * amount * rng.standard_normal(3)), 4, 250)
    return float(c[0]), float(c[1]), float(c[2])


def painted(color: Color, mottle: float = 0.025, grain: float = 0.015) -> Material:
    """Return wall paint or plastic: soft mottling, fine grain, a few scuffs on large areas."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        shade = 1 + mottle * fractal_noise(rng, height, width, 0.5 / texel_m, 5, 0.6)
        shade += grain * fractal_noise(rng, height, width, 3.0, 2)
        area_m2 = height * width * texel_m**2
        for _ in range(int(rng.poisson(1.2 * area_m2)) if area_m2 > 0.8 else 0):
            start = rng.uniform((0, 0), (width, height))
            end = start + rng.normal(0, 0.06 / texel_m, 2)
            cv2.line(shade, _xy(start), _xy(end), float(rng.uniform(0.82, 1.06)), 2, cv2.LINE_AA)
        return tinted(color, shade)

    return paint


def wallpaper(ground: Color, ink: Color, period_m: float = 0.28) -> Material:
    """Return stripes with a repeated drawn motif, slightly uneven as if aged."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        size = max(12, round(period_m / texel_m))
        tile = np.full((2 * size, size, 3), ground, np.float32)
        tile[:, : size // 6] = 0.93 * np.asarray(ground, np.float32)
        for cx, cy in ((size // 2, size // 2), (0, 3 * size // 2), (size, 3 * size // 2)):
            for k in range(6):
                angle = np.pi * k / 3
                petal = _xy((cx + 0.19 * size * np.cos(angle), cy + 0.19 * size * np.sin(angle)))
                cv2.ellipse(tile, petal, (size // 6, size // 12), np.degrees(angle), 0, 360,
                            ink, -1, cv2.LINE_AA)
            cv2.circle(tile, (cx, cy), max(1, size // 14), ground, -1, cv2.LINE_AA)
            cv2.line(tile, (cx, cy + size // 4), (cx, cy + size // 2), ink, max(1, size // 30))
        repeats = (height // (2 * size) + 1, width // size + 1, 1)
        image = np.tile(tile, repeats)[:height, :width]
        shade = 1 + 0.035 * fractal_noise(rng, height, width, 0.6 / texel_m, 5)
        return to_uint8(image * shade[..., None])

    return paint


def brick(color: Color, mortar: Color) -> Material:
    """Return running-bond brickwork, each brick with its own tone."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        shade = np.float32(1) + 0.06 * fractal_noise(rng, height, width, 0.02 / texel_m, 3)
        image = np.empty((height, width, 3), np.float32)
        image[:] = mortar
        row_px, brick_px, joint = 0.075 / texel_m, 0.24 / texel_m, 0.012 / texel_m
        for row in range(int(height / row_px) + 1):
            offset = (row % 2) * 0.5 * brick_px
            for column in range(-1, int(width / brick_px) + 1):
                tone = vary(rng, color, 0.13)
                x0 = column * brick_px + offset + joint / 2 + rng.uniform(0, 0.4) * joint
                y0 = row * row_px + joint / 2
                x1, y1 = x0 + brick_px - joint, y0 + row_px - joint
                cv2.rectangle(image, _xy((x0, y0)), _xy((x1, y1)), tone, -1)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.8))
        return to_uint8(image * shade[..., None])

    return paint


def wood(color: Color, plank_m: float = 0.0, length_m: float = 0.9) -> Material:
    """Return wood with grain along the width; `plank_m` > 0 lays planks of that width."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        rings = fractal_noise(rng, height, width, 0.09 / texel_m, 3, 0.5, 9.0)
        streaks = fractal_noise(rng, height, width, 5.0, 3, 0.8, 28.0)
        shade = 1 + 0.09 * np.sin(9.0 * rings) * 0.7 + 0.07 * streaks
        if plank_m > 0:
            plank_px = plank_m / texel_m
            for row in range(int(height / plank_px) + 1):
                y0, y1 = int(row * plank_px), int((row + 1) * plank_px)
                x = -rng.uniform(0, length_m) / texel_m
                while x < width:
                    end = x + length_m * rng.uniform(0.7, 1.2) / texel_m
                    block = shade[y0:y1, max(0, int(x)):int(end)]
                    block *= rng.uniform(0.78, 1.15)
                    block[:, :1] *= 0.6
                    x = end
                shade[y0 : y0 + 1] *= 0.6
        return tinted(color, np.asarray(shade, np.float32))

    return paint


def fabric(color: Color, stripe: Color | None = None) -> Material:
    """Return woven cloth, optionally with colored stripes."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        image = np.empty((height, width, 3), np.float32)
        image[:] = color
        if stripe is not None:
            period, at = 0.12 / texel_m, 0.03 / texel_m
            while at < width:
                wide = rng.uniform(0.08, 0.35) * period
                image[:, int(at) : int(at + wide) + 1] = vary(rng, stripe, 0.15)
                at += period * rng.uniform(0.7, 1.3)
        folds = fractal_noise(rng, height, width, 0.25 / texel_m, 3)
        weave = rng.standard_normal((height, width), dtype=np.float32)
        shade = 1 + 0.06 * folds + 0.07 * np.asarray(cv2.GaussianBlur(weave, (0, 0), 0.7))
        return to_uint8(image * shade[..., None])

    return paint


def carpet(ground: Color, ink: Color, accent: Color) -> Material:
    """Return a bordered rug with a mirrored random ornament."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        half_h, half_w = (height + 1) // 2, (width + 1) // 2
        quarter = np.empty((half_h, half_w, 3), np.float32)
        quarter[:] = ground
        for _ in range(int(70 * height * width * texel_m**2 / 4) + 8):
            center = rng.uniform((0, 0), (half_w, half_h))
            radius = rng.uniform(0.02, 0.09) / texel_m
            tone = vary(rng, (ground, ink, accent)[int(rng.integers(3))], 0.12)
            if rng.random() < 0.5:
                angles = np.linspace(0, 2 * np.pi, 5)[:4]
                corners = center + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
                cv2.fillConvexPoly(quarter, corners.astype(np.int32), tone, cv2.LINE_AA)
            else:
                axes = (max(1, int(radius)), max(1, int(0.45 * radius)))
                cv2.ellipse(quarter, _xy(center), axes, float(rng.uniform(0, 180)), 0, 360, tone,
                            -1, cv2.LINE_AA)
        image = np.concatenate([quarter, quarter[::-1]])[:height]
        image = np.ascontiguousarray(np.concatenate([image, image[:, ::-1]], 1)[:, :width])
        bands = ((0.02, accent, 0.03), (0.09, ink, 0.05), (0.15, accent, 0.01))
        for inset_m, tone, thick_m in bands:
            inset = int(inset_m / texel_m)
            cv2.rectangle(image, (inset, inset), (width - 1 - inset, height - 1 - inset), tone,
                          max(1, int(thick_m / texel_m)))
        weave = rng.standard_normal((height, width), dtype=np.float32)
        shade = 1 + 0.1 * weave + 0.06 * fractal_noise(rng, height, width, 0.3 / texel_m, 4)
        return to_uint8(image * shade[..., None])

    return paint


def speckled(color: Color, grain: float = 0.12) -> Material:
    """Return carpet tiles, stone or cardboard: strong fine grain over soft patches."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        shade = 1 + grain * fractal_noise(rng, height, width, 4.0, 3, 0.9)
        shade += 0.04 * fractal_noise(rng, height, width, 0.7 / texel_m, 4)
        return tinted(color, shade)

    return paint


def tiles(color: Color, size_m: float, joint: Color) -> Material:
    """Return square floor or ceiling tiles with joints and a per-tile tone."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        size = size_m / texel_m
        rows, columns = int(height / size) + 1, int(width / size) + 1
        tones = rng.normal(1.0, 0.035, (rows, columns)).astype(np.float32)
        shade = np.kron(tones, np.ones((int(size) + 1, int(size) + 1), np.float32))
        shade = shade[:height, :width]
        shade += 0.05 * fractal_noise(rng, height, width, 0.03 / texel_m, 4)
        image = tinted(color, np.asarray(shade, np.float32))
        for k in range(max(rows, columns) + 1):
            at = int(k * (int(size) + 1))
            image[:, at : at + 1] = joint
            image[at : at + 1] = joint
        return image

    return paint


def leaf(color: Color) -> Material:
    """Return a plant leaf with a mid-rib and veins."""

    def paint(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
        shade = 1 + 0.15 * fractal_noise(rng, height, width, 0.03 / texel_m, 3)
        image = tinted(vary(rng, color, 0.2), shade)
        pale = vary(rng, (150, 180, 90), 0.1)
        cv2.line(image, (width // 2, 0), (width // 2, height), pale, max(1, width // 18))
        for k in range(1, 7):
            y = height * k // 7
            for side in (-1, 1):
                tip = (width // 2 + side * width // 2, y - height // 8)
                cv2.line(image, (width // 2, y), tip, pale, 1, cv2.LINE_AA)
        return image

    return paint


def _xy(point: npt.NDArray[np.float64] | tuple[float, float]) -> tuple[int, int]:
    """Round a point to the integer pixel that OpenCV's drawing functions take."""
    return int(round(float(point[0]))), int(round(float(point[1])))
