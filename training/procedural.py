"""Procedural "dead leaves" images: overlapping textured shapes, text and lines, by seed."""

from __future__ import annotations

import string

import cv2
import numpy as np
import numpy.typing as npt

UInt8Image = npt.NDArray[np.uint8]
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
          cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX)


def colored_noise(
    rng: np.random.Generator, size: int, exponent: float
) -> npt.NDArray[np.float32]:
    """Gaussian noise with spectrum 1/f^exponent, zero mean, unit variance, (size, size)."""
    fx = np.fft.rfftfreq(size)[None, :]
    fy = np.fft.fftfreq(size)[:, None]
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    spectrum /= np.maximum(np.hypot(fx, fy), 1.0 / size) ** exponent
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (size, size)).astype(np.float32)
    return field / (field.std() + 1e-6)


def _texture(
    rng: np.random.Generator, bank: list[npt.NDArray[np.float32]], size: int
) -> npt.NDArray[np.float32]:
    """Return a (size, size) float32 fill: flat, gradient, noise, stripes or checkers."""
    base = np.float32(rng.uniform(10, 245))
    kind = rng.choice(5, p=[0.30, 0.2, 0.32, 0.10, 0.08])
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) / size
    if kind == 0:
        return np.full((size, size), base, np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = xx * np.float32(np.cos(angle)) + yy * np.float32(np.sin(angle))
    if kind == 1:
        return base + np.float32(rng.uniform(-90, 90)) * along
    if kind == 2:
        noise = bank[int(rng.integers(len(bank)))]
        dy, dx = rng.integers(0, noise.shape[0] - size, 2) if noise.shape[0] > size else (0, 0)
        return base + np.float32(rng.uniform(4, 45)) * noise[dy:dy + size, dx:dx + size]
    contrast = np.float32(rng.uniform(15, 110))
    period = float(np.exp(rng.uniform(np.log(4), np.log(40)))) / size
    wave = np.sin(2 * np.pi * along / period)
    if kind == 4:
        across = -xx * np.float32(np.sin(angle)) + yy * np.float32(np.cos(angle))
        wave = wave * np.sin(2 * np.pi * across / period)
    if rng.random() < 0.6:
        wave = np.sign(wave)
    return (base + contrast * wave).astype(np.float32)


def _shape_mask(
    rng: np.random.Generator, size: int, center: npt.NDArray[np.float64], radius: float
) -> UInt8Image:
    """Return a (size, size) uint8 anti-aliased mask of a random shape."""
    mask = np.zeros((size, size), np.uint8)
    kind = rng.choice(4, p=[0.2, 0.35, 0.3, 0.15])
    cx, cy = (int(v * 16) for v in center)
    if kind == 0:
        cv2.circle(mask, (cx, cy), int(radius * 16), 255, -1, cv2.LINE_AA, 4)
    elif kind == 1:  # rotated rectangle, often elongated
        half = np.array([radius, radius * np.exp(rng.uniform(-1.8, 0))])
        a = rng.uniform(0, np.pi) if rng.random() < 0.6 else rng.choice([0.0, np.pi / 2])
        R = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half @ R.T + center
        cv2.fillConvexPoly(mask, (corners * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    elif kind == 2:
        n = int(rng.integers(3, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, n))
        radii = radius * rng.uniform(0.4, 1.2, n)
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + center
        cv2.fillPoly(mask, [(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    else:
        axes = (int(radius * 16), int(radius * 16 * rng.uniform(0.25, 1)))
        cv2.ellipse(mask, (cx, cy), axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA, 4)
    return mask


def _marks(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> None:
    """Draw text and lines over the image in place."""
    size = image.shape[0]
    for _ in range(int(rng.integers(0, 7))):
        text = "".join(rng.choice(list(string.ascii_letters + string.digits + "  .-"),
                                  int(rng.integers(2, 14))))
        where = tuple(int(v) for v in rng.uniform(-0.1, 0.95, 2) * size)
        layer = np.zeros((size, size), np.uint8)
        cv2.putText(layer, text, where, int(rng.choice(_FONTS)), rng.uniform(0.3, 1.6), 255,
                    int(rng.integers(1, 4)), cv2.LINE_AA)
        M = cv2.getRotationMatrix2D(where, rng.uniform(-40, 40), 1.0)
        alpha = cv2.warpAffine(layer, M, (size, size)).astype(np.float32) / 255
        image += alpha * (np.float32(rng.uniform(0, 255)) - image)
    for _ in range(int(rng.integers(0, 8))):
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * size
        layer = np.zeros((size, size), np.uint8)
        cv2.line(layer, tuple(int(v) for v in ends[0]), tuple(int(v) for v in ends[1]), 255,
                 int(rng.integers(1, 6)), cv2.LINE_AA)
        image += layer.astype(np.float32) / 255 * (np.float32(rng.uniform(0, 255)) - image)


def noise_bank(rng: np.random.Generator, count: int, size: int) -> list[npt.NDArray[np.float32]]:
    """Return `count` colored-noise fields to cut textures from."""
    return [colored_noise(rng, size, rng.uniform(0.3, 1.8)) for _ in range(count)]


def dead_leaves(
    rng: np.random.Generator, bank: list[npt.NDArray[np.float32]], size: int = 320
) -> UInt8Image:
    """Render one (size, size) gray image of overlapping shapes with power-law sizes.

    Args:
        rng: the only source of randomness.
        bank: colored-noise fields of at least (size, size), see `noise_bank`.
        size: side in pixels.
    """
    image = _texture(rng, bank, size)
    smallest, largest = 4.0, size * 0.45
    for _ in range(int(rng.integers(60, 220))):
        u = rng.random()  # sizes follow p(r) ~ r^-2, big shapes drawn first fill the scene
        radius = 1.0 / (u / smallest + (1 - u) / largest)
        center = rng.uniform(-0.1, 1.1, 2) * size
        x0, y0 = np.maximum((center - 1.5 * radius - 2).astype(int), 0)
        x1, y1 = np.minimum((center + 1.5 * radius + 2).astype(int), size)
        side = int(max(x1 - x0, y1 - y0))
        if x1 <= x0 or y1 <= y0:
            continue
        mask = _shape_mask(rng, side, center - (x0, y0), radius)[: y1 - y0, : x1 - x0]
        alpha = mask.astype(np.float32) * np.float32(1 / 255)
        window = image[y0:y1, x0:x1]
        fill = _texture(rng, bank, max(side, 8))[: y1 - y0, : x1 - x0]
        if rng.random() < 0.3:  # a soft shadow around the shape
            shade = cv2.GaussianBlur(alpha, (0, 0), max(1.0, radius * 0.15))
            window *= 1 - np.float32(rng.uniform(0.1, 0.5)) * shade
        window += alpha * (fill - window)
    _marks(rng, image)
    if rng.random() < 0.5:
        shade = bank[int(rng.integers(len(bank)))][:size, :size]
        image *= np.float32(1) + np.float32(0.15) * shade
    return np.clip(image, 0, 255).astype(np.uint8)
